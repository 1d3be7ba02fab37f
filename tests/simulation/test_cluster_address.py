"""I4 and the fencing of sessions after every step of bad days and long ones; a failing seed replays exactly."""

import pytest

from tests.simulation.cluster_runs import HOUR_S, SECONDS, hour, simulate, without_fallback

BLOCKS, PER_BLOCK = 100, 10
"""Hours in the usual suite: a thousand."""


@pytest.mark.parametrize("block", range(4))
def test_one_kernel_at_most(block):
    moves = kept = bound = 0
    for seed in range(block * 15, block * 15 + 15):
        tally = simulate(seed).tally
        moves, kept, bound = moves + tally.moves, kept + tally.kept_in_silence, bound + tally.bound_s
    assert moves > 20
    assert kept > 0
    assert bound > 15 * SECONDS / 3


@pytest.mark.parametrize("block", range(2))
def test_one_kernel_at_most_without_fallback(block):
    for seed in range(10_000 + block * 15, 10_000 + block * 15 + 15):
        simulate(seed, timing=without_fallback(), unanimity=False)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_thousand_hours(block):
    bound = 0.0
    for seed in range(block * PER_BLOCK, (block + 1) * PER_BLOCK):
        bound += hour(seed).tally.bound_s
    assert bound > PER_BLOCK * HOUR_S * 0.9


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_one_kernel_at_most_in_two_thousand_seeds(block):
    for seed in range(20_000 + block * 100, 20_100 + block * 100):
        simulate(seed)
        simulate(seed, timing=without_fallback(), unanimity=False)


def test_a_seed_replays_exactly():
    for run in (simulate, hour):
        first, second = run(7), run(7)
        assert first.log == second.log
        assert first.etcd.model.items == second.etcd.model.items
        assert first.etcd.model.revision == second.etcd.model.revision
