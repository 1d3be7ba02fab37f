"""A 250 that two machines hold, with real processes: nodes die with their disks, freeze, are cut off, drain, return."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_kill import all_receipts, reconciled
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.sending import Sending, refusals
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import QUICK, client, events, until, view

ACCOUNTS = [f"relay{number}" for number in range(1, 13)]
SLOW = {"latency": "400ms", "latency_longest": "2s"}


@contextmanager
def three_nodes(home: Path, *, timing=SLOW, copies: str = "preferred", accounts=ACCOUNTS, kind=RelayCluster, **more):
    limits = {"rate": "1000000/min", "sessions": 3, "recipients": "1000000/24h"}
    changes = {"plans": {"quick": {"retry": QUICK}}, "clients": {"apps": client("127.0.0.0/8", plan="quick")}}
    with Simulated(home / "sim", directory(accounts, limits=WIDE, timing=timing)) as cloud:
        options = {name: {"limits": limits} for name in accounts}
        with kind(home, cloud, options, copies=copies, **changes, **more) as cluster:
            try:
                yield cluster, cloud
            finally:
                end_sending()


SENDING: list[subprocess.Popen] = []


def end_sending() -> None:
    """A test that fails leaves no client behind, which would knock at ports that are the next one's by then."""
    while SENDING:
        with SENDING.pop() as process:
            process.kill()


def send(cluster: RelayCluster, ledger: Path, name: str, count: int, *more: str) -> subprocess.Popen:
    node = cluster.nodes[name]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "node.rehearsal", "load", "--server", f"{cluster.address(name)}:{node.port()}",
            "--ledger", str(ledger), "--count", str(count), "--sessions", "10", "--per-connection", "20",
            "--run", ledger.name, *more,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    SENDING.append(process)
    return process


def sent(sending: subprocess.Popen, bound_s: float = 60) -> None:
    said = sending.communicate(timeout=bound_s)
    assert sending.returncode == 0, said


def at_accounts(node, action: str) -> None:
    """Park or resume every account at one node: what comes in there stays until it is given away."""
    for account in ACCOUNTS:
        node.post(f"/v1/accounts/{action}", account=f"{account}@{DOMAIN}", reason="the test", here=True)


def protected(cluster: RelayCluster, name: str) -> bool:
    copies = cluster.nodes[name].status()["copies"]
    return bool(copies["shadow"]) and not copies["unprotected"]


def accepted(ledger: Path) -> int:
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return sum(json.loads(line)["result"] == "accepted" for line in lines)


@pytest.mark.timeout(180)
def test_what_a_destroyed_node_had_accepted_is_delivered_by_its_shadow(tmp_path):
    ledger = tmp_path / "ledger"
    with three_nodes(tmp_path) as (cluster, cloud):
        dead = cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        sent(send(cluster, ledger, NAMES[0], 400))
        delivered = cloud.stats()["messages"]["accepted"]
        dead.kill()
        shutil.rmtree(dead.home / "spool")
        killed_ms = time.time_ns() // 1_000_000
        assert delivered < 300, "there must be mail left to take over"
        until(lambda: cloud.stats()["messages"]["accepted"] >= 400, 60)
        resumed = [one["at_ms"] for one in all_receipts(cloud) if one["at_ms"] > killed_ms + 1_000]
        code, result = reconciled(cloud, ledger)
    took_s = (min(resumed) - killed_ms) / 1000
    print(f"\n{delivered} of 400 delivered before the node was destroyed; the shadow went on after {took_s:.1f} s;")
    print(f"lost {len(result['lost'])}, duplicated {len(result['duplicated'])}")
    assert result["lost"] == []
    assert code in (0, 1)
    assert len(result["duplicated"]) <= 40


@pytest.mark.timeout(240)
def test_a_drained_node_gives_its_mail_away_and_takes_it_back_no_more(tmp_path):
    ledger = tmp_path / "ledger"
    with three_nodes(tmp_path) as (cluster, cloud):
        drained = cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        at_accounts(drained, "park")
        sent(send(cluster, ledger, NAMES[0], 400))
        drained.ctl("drain", NAMES[0], "--reason", "maintenance")
        began = time.monotonic()
        until(lambda: drained.waiting() == 0, 30, 0.01)
        took_s = time.monotonic() - began
        given = drained.metric("relay_copies_given_total")
        until(lambda: cloud.stats()["messages"]["accepted"] >= 400, 90)
        until(lambda: not any(cluster.nodes[name].waiting() for name in NAMES), 30)
        code, result = reconciled(cloud, ledger)
        drained.ctl("drain", NAMES[0], "--end", "--reason", "done")
        at_accounts(drained, "resume")
        until(lambda: drained.status()["readiness"]["ready"], 20)
        sent(send(cluster, tmp_path / "again", NAMES[0], 20))
        until(lambda: cloud.stats()["messages"]["accepted"] >= 420, 60)
    print(f"\nempty {took_s:.2f} s after the wish")
    assert given == 400
    assert result["lost"] == []
    assert code == 0, result


@pytest.mark.long
@pytest.mark.timeout(600)
def test_all_nodes_are_restarted_in_turn_and_nothing_is_refused_lost_or_repeated(tmp_path):
    """Stopped by signal under load; clients of one message and clients that keep their sessions go on with another."""
    with three_nodes(tmp_path, timing={"latency": "60ms", "latency_longest": "1s"}) as (cluster, cloud):
        heard, results, total = restarted_in_turn(cluster, cloud, tmp_path, rate=30, between=60)
    print(f"\n{total} accepted, {heard}")
    assert [refusals(one) for one in heard.values()] == [{}, {}]
    assert all(result["lost"] == [] and result["duplicated"] == [] for result in results)


@pytest.mark.timeout(180)
def test_a_disk_put_back_to_an_older_copy_is_quarantined_and_its_mail_taken_over(tmp_path):
    with three_nodes(tmp_path, timing={"latency": "400ms", "latency_longest": "2s"}) as (cluster, cloud):
        node = cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        sent(send(cluster, tmp_path / "first", NAMES[0], 20))
        until(lambda: cloud.stats()["messages"]["accepted"] >= 20, 30)
        until(lambda: node.waiting() == 0)
        # Else the end of one of them may be known to the dead node alone, and its shadow rightly sends it again.
        until(
            lambda: not any(cluster.nodes[name].metric("relay_copies_kept", node=NAMES[0]) for name in NAMES[1:]),
            30,
            0.1,
        )
        node.kill()
        shutil.copytree(node.home / "spool", tmp_path / "older")
        node.start()
        until(lambda: protected(cluster, NAMES[0]), 30)
        sent(send(cluster, tmp_path / "second", NAMES[0], 250))
        time.sleep(11)  # the spool's progress is told every ten seconds: a younger copy cannot be recognised
        node.kill()
        shutil.rmtree(node.home / "spool")
        shutil.copytree(tmp_path / "older", node.home / "spool")
        node.start(wait=False)
        until(lambda: "quarantined" in str(readiness(node)), 30)
        until(lambda: cloud.stats()["messages"]["accepted"] >= 270, 60)
        until(lambda: not any(cluster.nodes[name].waiting() for name in NAMES[1:]), 30)
        assert "quarantined" in str(readiness(node))
        until(lambda: node.metric("relay_quarantined") == 1, 10, 0.1)
        results = [reconciled(cloud, tmp_path / name)[1] for name in ("first", "second")]
    print(f"\nduplicated {[len(result['duplicated']) for result in results]}")
    assert [result["lost"] for result in results] == [[], []]
    assert results[0]["duplicated"] == [], "what was delivered before the copy was made is not sent again"


@pytest.mark.timeout(180)
def test_mail_flows_and_is_copied_while_etcd_is_silent(tmp_path):
    ledger = tmp_path / "ledger"
    with three_nodes(tmp_path, timing={"latency": "60ms", "latency_longest": "1s"}) as (cluster, cloud):
        for name in NAMES:
            until(lambda name=name: protected(cluster, name), 30)
        # What no node holds when the store falls silent nobody may take: so there must be mail before.
        sending = send(cluster, ledger, NAMES[0], 400, "--rate", "15")
        until(lambda: cloud.stats()["messages"]["accepted"] >= 30, 30)
        for member in cluster.etcd.members:
            member.kill()
        until(lambda: not cluster.nodes[NAMES[0]].status()["copies"]["sending"], 20)
        until(lambda: all(cluster.nodes[name].status()["copies"]["sending"] for name in NAMES), 20)
        before = cloud.stats()["messages"]["accepted"]
        until(lambda: cloud.stats()["messages"]["accepted"] >= before + 40, 40)
        assert not cluster.nodes[NAMES[0]].status()["copies"]["unprotected"]
        for member in cluster.etcd.members:
            member.start()
        cluster.etcd.wait_healthy()
        sent(sending)
        until(lambda: all(protected(cluster, name) for name in NAMES), 40)
        until(lambda: not any(cluster.nodes[name].waiting() for name in NAMES), 60)
        _, result = reconciled(cloud, ledger)
        # What waited for its answer when the session ended is the only thing that may have been sent twice.
        told = [events(view(cluster.nodes[NAMES[0]], one["queue_id"])) for one in result["duplicated"]]
    assert result["lost"] == []
    assert all("unknown" in lines for lines in told), told
    assert len(told) <= 2 * len(ACCOUNTS)


def readiness(node) -> list[str]:
    try:
        return node.status()["readiness"]["reasons"]
    except (AssertionError, OSError):
        return []


def restarted_in_turn(
    cluster, cloud, home: Path, *, rate: float, between: int, before: int = 0
) -> tuple[dict, list, int]:
    """Stop and start each node while both kinds of clients send to all; what they heard, and what became of it all."""
    for name in NAMES:
        until(lambda name=name: protected(cluster, name), 30)
        cluster.nodes[name].config["listeners"]["smtp"]["port"] = cluster.nodes[name].port()
    servers = [f"{cluster.address(name)}:{_port(cluster, name)}" for name in NAMES]
    with (
        Sending(home / "once", servers, rate=rate, sessions=12) as once,
        Sending(home / "kept", servers, rate=rate, sessions=12, per_connection=0) as kept,
    ):
        both = (once, kept)
        for name in NAMES:
            wanted = [(one, one.accepted() + between) for one in both]
            until(lambda wanted=wanted: all(one.accepted() >= many for one, many in wanted), 90, 0.2)
            began = time.monotonic()
            assert cluster.nodes[name].stop() == 0
            print(f"\n{name} stopped in {time.monotonic() - began:.1f} s")
            cluster.nodes[name].start(wait=False).wait_ready(120)
            until(lambda name=name: protected(cluster, name), 60)
        heard = {"once": once.end(), "kept": kept.end()}
        total = sum(one.accepted() for one in both)
    until(lambda: cloud.stats()["messages"]["accepted"] >= before + total, 120)
    until(lambda: not any(cluster.nodes[name].waiting() for name in NAMES), 60)
    return heard, [reconciled(cloud, home / name)[1] for name in heard], total


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_nodes_are_restarted_in_turn_at_two_hundred_messages_a_second(tmp_path):
    with three_nodes(tmp_path, timing={"latency": "40ms", "latency_longest": "400ms"}) as (cluster, cloud):
        heard, results, total = restarted_in_turn(cluster, cloud, tmp_path, rate=100, between=2_000)
    print(f"\n{total} accepted, {heard}")
    assert total >= 12_000
    assert [refusals(one) for one in heard.values()] == [{}, {}]
    assert all(result["lost"] == [] and result["duplicated"] == [] for result in results)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_node_with_fifty_thousand_queued_is_drained_and_then_all_are_restarted_in_turn(tmp_path):
    """An operator's whole day of maintenance, and not one message refused, lost or sent twice by it."""
    queued = 50_000
    with three_nodes(tmp_path, timing={"latency": "10ms", "latency_longest": "100ms"}) as (cluster, cloud):
        full = cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        at_accounts(full, "park")
        sent(send(cluster, tmp_path / "queued", NAMES[0], queued), 300)
        assert full.waiting() == queued
        full.ctl("drain", NAMES[0], "--reason", "maintenance")
        began = time.monotonic()
        until(lambda: full.waiting() == 0, 120, 0.1)
        print(f"\nempty {time.monotonic() - began:.1f} s after the wish")
        until(lambda: cloud.stats()["messages"]["accepted"] >= queued, 900, 0.5)
        until(lambda: not any(cluster.nodes[name].waiting() for name in NAMES), 60, 0.2)
        print(f"all delivered {time.monotonic() - began:.1f} s after the wish")
        full.ctl("drain", NAMES[0], "--end", "--reason", "done")
        at_accounts(full, "resume")
        until(lambda: full.status()["readiness"]["ready"], 20)
        heard, results, total = restarted_in_turn(cluster, cloud, tmp_path, rate=100, between=2_000, before=queued)
        results.append(reconciled(cloud, tmp_path / "queued")[1])
    print(f"{queued} and {total} accepted, {heard}")
    assert [refusals(one) for one in heard.values()] == [{}, {}]
    assert all(result["lost"] == [] and result["duplicated"] == [] for result in results)


def _port(cluster: RelayCluster, name: str) -> int:
    return cluster.nodes[name].config["listeners"]["smtp"]["port"]
