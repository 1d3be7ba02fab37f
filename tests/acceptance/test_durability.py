"""Three real nodes with disks of their own under load: one is destroyed, one loses power, one is cut from the others.

The hundred rounds drawn from a seed are ``python -m tests.durability``; see docs/durability.md.
"""

import random
from pathlib import Path

import pytest

from tests.durability import disks, plan, report
from tests.durability.plan import Fault
from tests.durability.run import EMPTY_S, run
from tests.durability.world import NAMES, Load

pytestmark = pytest.mark.skipif(not disks.usable(), reason="needs root, mkfs.ext4 and loop devices")

LIGHT = Load(preferred=6, strict=6, accounts=60)
THREE = ((Fault.DESTROY, "relay-a"), (Fault.POWER, "relay-b"), (Fault.CUT_PEERS, "relay-c"))


def judged(home: Path, rounds: list[plan.Round], seed: int, load: Load, empty_s: float) -> report.Summary:
    summary = run(home, rounds, seed, load, lambda outcome: print(report.line(outcome), flush=True), empty_s)
    print(report.text(summary))
    assert summary.forbidden == []
    assert summary.unexplained == []
    assert summary.violations == 0
    assert summary.problems == []
    assert summary.rounds == len(rounds)
    assert min(summary.accepted.values()) > 5 * len(rounds)
    return summary


@pytest.mark.timeout(240)
def test_a_destroyed_node_a_power_cut_and_a_cut_line_lose_nothing(tmp_path):
    rng = random.Random(1)
    rounds = [plan.made(number, [fault], rng) for number, fault in enumerate(THREE)]
    # What is put off for a minute is not waited for: it waits, so it is not lost.
    summary = judged(tmp_path, rounds, 1, LIGHT, empty_s=5)
    assert summary.kept < sum(summary.accepted.values()) / 2


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_hundred_rounds_lose_nothing_and_repeat_nothing_unexplained(tmp_path):
    summary = judged(tmp_path, [plan.drawn(number, 1, NAMES) for number in range(100)], 1, Load(), EMPTY_S)
    assert summary.kept == 0
