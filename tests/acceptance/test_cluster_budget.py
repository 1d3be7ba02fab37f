"""Microsoft's limits kept by three nodes as one: full queues, faults between, a silent etcd; and little of it unused.

How the share used is counted: see ``test_budget.py``. Every time of the service is divided by the same scale in the
quick runs, so that a minute's window lasts ten seconds.
"""

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance.test_budget import LIMIT, used_share, used_share_of_a_part
from tests.acceptance.test_kill import all_receipts
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import Simulated, directory
from tests.support.world import QUICK, client

GOAL = 0.97
TURN_S = 60.0
"""No node with mail waits longer than this for its turn."""


@dataclass
class Run:
    """What came of a run."""

    stats: dict
    receipts: list[dict]
    window_s: float
    began_ms: int
    ended_ms: int
    notes: list[str] = field(default_factory=list)

    @property
    def times(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for receipt in self.receipts:
            found.setdefault(receipt["account"], []).append(receipt["at_ms"])
        return found

    @property
    def used(self) -> list[float]:
        return [used_share(times, self.window_s) for times in self.times.values()]

    def longest_wait_s(self, node: str) -> float:
        """The longest time a node sent nothing, from start to end of the run."""
        times = sorted(one["at_ms"] for one in self.receipts if f"by {node}.test" in one["headers"])
        marks = [self.began_ms, *times, self.ended_ms]
        return max(after - before for before, after in pairwise(marks)) / 1000

    def __str__(self) -> str:
        accounts = self.stats["accounts"].values()
        used = sorted(self.used)
        return (
            f"\n{len(self.receipts)} messages; used of the allowed: least {100 * used[0]:.2f} %,"
            f" mean {100 * sum(used) / len(used):.2f} %; worst window {max(a['worst_window'] for a in accounts)} of"
            f" {LIMIT}, sessions {max(a['sessions_peak'] for a in accounts)} of 3,"
            f" refused {self.stats['messages'].get('refused', 0)}, violations {self.stats['violations']['total']};"
            f" longest wait for a turn {max(map(self.longest_wait_s, NAMES)):.1f} s"
            + "".join(f"\n  {note}" for note in self.notes)
        )


def feed(cluster: RelayCluster, home: Path, name: str, count: int, rate: float = 0) -> subprocess.Popen:
    """Hand a node its share of the mail, as fast as it takes it or at a rate."""
    node = cluster.nodes[name]
    return subprocess.Popen(
        [
            sys.executable, "-m", "node.rehearsal", "load", "--server", f"{cluster.address(name)}:{node.port()}",
            "--ledger", str(home / f"ledger-{name}"), "--count", str(count), "--sessions", "5",
            "--per-connection", "50", "--run", name, "--size", "1KiB", "--rate", str(rate),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextmanager
def full_queues(home: Path, *, accounts: int, window_s: float, lasts_s: float, **options):
    """Three nodes, each with more mail than the whole cluster may send meanwhile."""
    scale = 60 / window_s
    options.setdefault("timing", "fast" if window_s < 60 else "steady")
    limits = {"rate": f"{LIMIT}/{window_s:.0f}s", "sessions": 3, "recipients": "1000000/24h"}
    timing = {"latency": "600ms", "latency_longest": "20s", "time_scale": scale}
    names = [f"relay{number}" for number in range(1, accounts + 1)]
    changes = {
        "plans": {"quick": {"retry": QUICK}},
        "clients": {"apps": client("127.0.0.0/8", plan="quick")},
    }
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(home / "sim", directory(names, limits=limits, timing=timing)))
        cluster = stack.enter_context(
            RelayCluster(home, cloud, {name: {"limits": limits} for name in names}, **changes, **options)
        )
        count = int(1.2 * accounts * LIMIT * lasts_s / window_s) + 60
        began_ms = time.time_ns() // 1_000_000
        feeding = [feed(cluster, home, name, count) for name in NAMES]
        run = Run({}, [], window_s, began_ms, 0)
        try:
            yield cluster, cloud, run
        finally:
            run.ended_ms = time.time_ns() // 1_000_000
            run.stats, run.receipts = cloud.stats(), all_receipts(cloud)
            for each in feeding:
                each.kill()
                each.communicate()


def keeps_the_limits(run: Run) -> None:
    assert run.stats["violations"]["total"] == 0, run.stats["violations"]
    assert run.stats["messages"].get("refused", 0) == 0
    for account in run.stats["accounts"].values():
        assert account["worst_window"] <= LIMIT
        assert account["sessions_peak"] <= 3


def undisturbed(home: Path, accounts: int, window_s: float, lasts_s: float) -> Run:
    with full_queues(home, accounts=accounts, window_s=window_s, lasts_s=lasts_s) as (cluster, _, run):
        time.sleep(lasts_s)  # the length of the run, not a wait for anything
        for name, node in cluster.nodes.items():
            assert node.waiting() > 0, f"{name} had no mail left"
    print(run)
    keeps_the_limits(run)
    assert len(run.times) == accounts
    return run


@pytest.mark.long
@pytest.mark.timeout(240)
def test_three_nodes_and_two_accounts_six_times_faster(tmp_path):
    run = undisturbed(tmp_path, 2, 10, 40)
    assert min(run.used) >= 0.90


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("accounts", [1, 10, 100])
def test_ten_minutes_use_ninety_seven_percent(tmp_path, accounts):
    run = undisturbed(tmp_path, accounts, 60, 600)
    assert sum(run.used) / accounts >= GOAL
    # Nine rounds of thirty begin and end a second or two early or late by the replies they happened to get: of a
    # hundred accounts that sent 298 to 300 messages each the yardstick says 96.8 to 99.1 % (docs/performance.md).
    assert min(run.used) >= (GOAL if accounts <= 10 else GOAL - 0.02)
    assert max(map(run.longest_wait_s, NAMES)) <= TURN_S


def disturbed(home: Path, accounts: int, window_s: float, lasts_s: float, after_s: float = 0.0) -> Run:
    """A node is killed and stays away; another loses the store for a while; the whole limit is back in time.

    ``after_s``: how much longer than ``lasts_s`` it is watched.
    """
    with full_queues(home, accounts=accounts, window_s=window_s, lasts_s=lasts_s + after_s) as (cluster, _, run):
        killed, parted, spared = NAMES
        time.sleep(lasts_s * 0.15)
        cluster.nodes[killed].kill()
        kill_ms = time.time_ns() // 1_000_000
        time.sleep(lasts_s * 0.15)
        cluster.gates[parted].shut()
        time.sleep(lasts_s * 0.15)
        cluster.gates[parted].open()
        run.notes.append(f"killed {killed}, cut {parted} from the store for {lasts_s * 0.15:.0f} s; {spared} untouched")
        time.sleep(lasts_s * 0.55 + after_s)
    run.killed_ms = kill_ms
    print(run)
    keeps_the_limits(run)
    return run


@pytest.mark.timeout(240)
def test_a_node_killed_and_another_cut_off_break_no_limit(tmp_path):
    disturbed(tmp_path, 2, 10, 60)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("accounts", [1, 10, 100])
def test_ten_minutes_with_faults_break_no_limit_and_the_whole_limit_returns(tmp_path, accounts):
    run = disturbed(tmp_path, accounts, 60, 600, after_s=240)
    # From 2.5 min after the last fault ended (0.45 of the run) on the whole limit is used again: by all accounts
    # together; one that has a single connection while a vanished host's may linger for 6 min loses a little to it.
    after_ms = run.began_ms + int(0.45 * 600_000) + 150_000
    late = [used_share_of_a_part([at for at in times if at >= after_ms], 60) for times in run.times.values()]
    print(f"  the last seven minutes: least {100 * min(late):.2f} %, mean {100 * sum(late) / len(late):.2f} %")
    assert sum(late) / len(late) >= GOAL
    # Of a hundred some meet several long replies on the one connection they have in these minutes.
    assert min(late) >= (0.95 if accounts <= 10 else 0.90)


def silent(
    home: Path,
    accounts: int,
    window_s: float,
    before_s: float,
    silence_s: float,
    after_s: float,
    goals: tuple[float, float],
) -> None:
    """The whole store is gone for a while, with all nodes up: mail keeps flowing on what each node held."""
    lasts_s = before_s + silence_s + after_s
    with full_queues(home, accounts=accounts, window_s=window_s, lasts_s=lasts_s) as (cluster, _, run):
        time.sleep(before_s)
        for member in cluster.etcd.members:
            member.kill()
        gone_ms = time.time_ns() // 1_000_000
        time.sleep(silence_s)
        for member in cluster.etcd.members:
            member.start()
        cluster.etcd.wait_healthy()
        back_ms = time.time_ns() // 1_000_000
        time.sleep(after_s)
    assert len(run.times) == accounts
    silent_for = [sum(gone_ms + 15_000 <= at < back_ms for at in times) for times in run.times.values()]
    run.notes.append(f"{sum(silent_for)} messages while etcd was silent for {(back_ms - gone_ms) / 1000:.0f} s")
    print(run)
    keeps_the_limits(run)
    allowed = LIMIT * (back_ms - gone_ms - 15_000) / 1000 / window_s
    assert sum(silent_for) >= goals[0] * allowed * accounts, (silent_for, allowed)
    assert min(silent_for) >= 0.75 * goals[0] * allowed, f"an account stood still: {silent_for}"
    back = [[at for at in times if at >= back_ms + 10_000] for times in run.times.values()]
    shares = [used_share_of_a_part(times, window_s) for times in back]
    share = sum(shares) / len(shares)
    print(
        f"  from 10 s after the return: least {100 * min(shares):.1f} %, mean {100 * share:.1f} %;"
        f" {allowed * accounts:.0f} allowed during the silence"
    )
    assert share >= goals[1]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_mail_flows_while_etcd_is_silent(tmp_path):
    silent(tmp_path, 2, 10, 15, 30, 30, (0.5, 0.7))  # beside other tests, with every pause six times as long


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_minutes_without_etcd_break_no_limit(tmp_path):
    silent(tmp_path, 10, 60, 60, 600, 610, (0.8, GOAL))
