"""kill -9 of the whole node every few seconds under load: nothing promised is lost, and every repetition was foreseen.

The simulator's receipts carry the queue id (in our ``Received``), so each copy is laid at the door of one journey.
"""

import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing

import pytest

from tests.support.ports import free_ports
from tests.support.simulated import WIDE, Simulated, directory
from tests.support.world import WIDE_ACCOUNT, hand_in, relay, until, view

NAMES = ["relay1", "relay2"]
ACCOUNT = {"limits": {**WIDE_ACCOUNT["limits"], "sessions": 9}}
_QUEUE_ID = re.compile(r"\tid ([0-9a-f-]{36});")


def load(port: int, ledger, count: int, rate: float, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable, "-m", "node.rehearsal", "load", "--server", f"127.0.0.1:{port}", "--ledger", str(ledger),
            "--count", str(count), "--rate", str(rate), "--sessions", "10", "--per-connection", "20",
            "--run", "kill", *more,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_while(node, sending: subprocess.Popen, rng: random.Random, shortest_s: float, longest_s: float) -> int:
    """Kill and restart until the load has ended; the number of kills."""
    kills = 0
    while sending.poll() is None:
        try:
            sending.wait(rng.uniform(shortest_s, longest_s))
        except subprocess.TimeoutExpired:
            node.kill()
            kills += 1
            node.start()
    return kills


def reconciled(cloud: Simulated, ledger, *more: str) -> tuple[int, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "node.rehearsal", "reconcile", str(ledger), cloud.ready["control"], "--json", *more],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def all_receipts(cloud: Simulated) -> list[dict]:
    found: list[dict] = []
    while True:
        more = cloud.ask(f"/receipts?limit=10000&after={found[-1]['number'] if found else 0}")
        if not more:
            return found
        found.extend(more)


def repetitions(cloud: Simulated) -> tuple[Counter, dict[str, set[str]]]:
    """Copies of each (queue id, recipient) beyond the first, and the queue ids of each rehearsal id."""
    copies: Counter = Counter()
    ids: dict[str, set[str]] = defaultdict(set)
    for receipt in all_receipts(cloud):
        queue_id = _QUEUE_ID.search(receipt["headers"])[1]
        ids[receipt["id"]].add(queue_id)
        copies.update((queue_id, recipient) for recipient in receipt["recipients"])
    return Counter({pair: count - 1 for pair, count in copies.items() if count > 1}), ids


def blameless(node, cloud, ledger) -> tuple[int, list[str]]:
    """Every repetition follows from an outcome the journey calls unknown, or from a try the sender calls unknown.

    Gives the repetitions of queue ids, and the rehearsal id of each outcome the journeys of those call unknown.
    """
    repeated, ids = repetitions(cloud)
    known_as = {queue_id: rehearsal_id for rehearsal_id, queue_ids in ids.items() for queue_id in queue_ids}
    listed: list[str] = []
    for (queue_id, recipient), times in repeated.items():
        told = view(node, queue_id)
        index = next(one["index"] for one in told["recipients"] if one["address"] == recipient)
        unknown = [line for line in told["lines"] if line["event"] == "unknown" and index in line["indexes"]]
        assert len(unknown) >= times, told
        listed += [known_as[queue_id]] * len(unknown)
    for queue_id, _ in list(repeated)[:1]:
        assert "interrupted" in node.ctl("trace", queue_id).stdout
    tries = Counter()
    for line in ledger.read_text().splitlines():
        entry = json.loads(line)
        tries[entry["id"]] += entry["result"] == "unknown"
    for rehearsal_id, queue_ids in ids.items():
        assert len(queue_ids) - 1 <= tries[rehearsal_id], (rehearsal_id, queue_ids)
    return repeated.total(), listed


def lives(tmp_path, count: int, rate: float, seed: int, processes: int) -> None:
    rng = random.Random(seed)
    ledger = tmp_path / "ledger"
    timing = {"latency": "60ms", "latency_longest": "2s"}
    cloud = Simulated(tmp_path / "sim", directory(NAMES, limits=WIDE, timing=timing))
    with cloud:
        node = relay(cloud, tmp_path / "node", dict.fromkeys(NAMES, ACCOUNT))
        port = node.config["listeners"]["smtp"]["port"] = free_ports(1)[0]
        node.config["intake"] = {"processes": processes}
        began = time.monotonic()
        with node:
            sending = load(port, ledger, count, rate)
            kills = kill_while(node, sending, rng, 2.0, 4.0)
            said, errors = sending.communicate()
            assert sending.returncode == 0, said + errors
            node.wait_empty(120)
            repeated, listed = blameless(node, cloud, ledger)
            unknown = tmp_path / "unknown"
            unknown.write_text("".join(f"{name}\n" for name in listed))
            code, result = reconciled(cloud, ledger, "--unknown", str(unknown))
        took = time.monotonic() - began
    print(
        f"\n{count} messages, {kills} kills in {took:.0f} s: accepted {result['accepted']}, delivered"
        f" {result['delivered']}, lost {len(result['lost'])}, duplicated {len(result['duplicated'])}"
        f" (of one queue id {repeated}, unknown outcomes listed for them {len(listed)}),"
        f" unexplained {result['unexplained']}"
    )
    assert kills >= min(2, took // 20), "too few kills for the time it took"
    assert result["lost"] == []
    assert code == 0
    assert result["accepted"] == result["delivered"] == count
    assert result["unexplained"] == 0


BOTH_DOORS = pytest.mark.parametrize("processes", [1, 2])
"""In the core's process, and in workers whose mail goes past its loop (``lane.py``)."""


@BOTH_DOORS
@pytest.mark.timeout(180)
def test_a_thousand_messages_survive_kills_every_few_seconds(tmp_path, processes):
    lives(tmp_path, 1_000, 120, 1, processes)


@pytest.mark.long
@BOTH_DOORS
@pytest.mark.timeout(1800)
def test_twenty_thousand_messages_survive_kills_every_few_seconds(tmp_path, processes):
    lives(tmp_path, 20_000, 150, 2, processes)


@pytest.mark.timeout(120)
def test_a_second_crash_forgets_nothing_that_the_first_left_open(tmp_path):
    """Microsoft may count what was cut off for a minute more, however often the node dies in it."""
    timing = {"latency": "10s", "latency_longest": "10s"}
    with Simulated(tmp_path / "sim", directory(NAMES, limits=WIDE, timing=timing)) as cloud:
        node = relay(cloud, tmp_path / "node", {NAMES[0]: ACCOUNT})
        port = node.config["listeners"]["smtp"]["port"] = free_ports(1)[0]
        with node:
            hand_in(port, "app@contoso.com", "to@customer.example")
            until(lambda: cloud.stats()["accounts"].get("relay1@contoso.com", {}).get("worst_window") == 1)
            node.kill()
            restarted_ms = time.time() * 1000
            node.start()
            node.kill()
            node.start()
        with closing(sqlite3.connect(tmp_path / "node" / "spool" / "spool.sqlite3")) as kept:
            ((until_ms,),) = kept.execute("SELECT finished_ms FROM attempts WHERE started_ms < ?", [restarted_ms])
    assert until_ms >= restarted_ms + 60_000


@pytest.mark.timeout(240)
def test_a_killed_node_stays_within_microsofts_limits(tmp_path):
    """Real limits with a window of 10 s instead of 60: what was out at the crash counts as out afterwards."""
    ledger = tmp_path / "ledger"
    limits = {"rate": "12/10s", "sessions": 3, "recipients": "40/24h"}
    timing = {"latency": "400ms", "latency_longest": "2s"}
    with Simulated(tmp_path / "sim", directory(NAMES, limits=limits, timing=timing)) as cloud:
        node = relay(cloud, tmp_path / "node", {name: {"limits": limits} for name in NAMES})
        port = node.config["listeners"]["smtp"]["port"] = free_ports(1)[0]
        with node:
            sending = load(port, ledger, 100, 100)
            until(lambda: cloud.stats()["messages"]["accepted"] >= 10)
            for wanted in (20, 35):
                until(lambda wanted=wanted: cloud.stats()["messages"]["accepted"] >= wanted, 120)
                node.kill()
                node.start()
            assert sending.wait(60) == 0, sending.communicate()
            # The day's recipients of both accounts end before the queue does: what is counted survives the crashes.
            until(lambda: cloud.stats()["messages"]["accepted"] >= 66, 150)
            stats, waiting, spent = cloud.stats(), node.waiting(), node.get("/v1/budget")
            sending.communicate()
        code, _ = reconciled(cloud, ledger)
    accounts = stats["accounts"].values()
    print(
        f"\nafter 2 kills: accepted {stats['messages']['accepted']}, waiting {waiting}, worst windows"
        f" {[a['worst_window'] for a in accounts]} of 12, sessions {[a['sessions_peak'] for a in accounts]} of 3,"
        f" recipients {[a['recipients'] for a in accounts]} of 40, violations {stats['violations']}"
    )
    assert spent
    assert stats["violations"]["total"] == 0
    assert stats["messages"].get("refused", 0) == 0
    assert max(a["worst_window"] for a in accounts) <= 12
    assert max(a["sessions_peak"] for a in accounts) <= 3
    assert waiting >= 100 - 80
    assert code in (0, 1)
