"""I1, I3 and I5 of rows kept on two disks, after every step of bad days and long ones; seeds replay exactly."""

from collections import Counter

import pytest

from tests.simulation.cluster_copies_runs import CLOSED, FOUR, PAIR, SWAPPED, SWAPS, hour, simulate


def runs(seeds, **options) -> Counter:
    count: Counter = Counter()
    for seed in seeds:
        count += simulate(seed, **options).count
    return count


def test_what_was_answered_is_never_lost():
    count = runs(range(30))
    assert count["answered"] > 2_500
    assert min(count["adopt"], count["give"], count["void"], count["destroyed"], count["quarantined"]) > 2
    assert count["shadow_to_own"] > 50
    assert count["twice"] + count["twice_elsewhere"] < count["delivered"] // 20
    assert count["unprotected"] < count["answered"] // 4


def test_two_hosts_alone():
    assert runs(range(100, 112), **PAIR)["adopt"] > 0


def test_four_hosts_on_two_sites():
    assert runs(range(200, 206), **FOUR)["adopt"] > 0


def test_what_waits_is_kept_twice_again():
    """The other side takes nothing at the end: every row that waits then is on two disks."""
    assert runs(range(300, 310), **CLOSED)["waiting_twice"] > 50


def test_keys_of_replaced_disks_go_and_no_row_with_them():
    """Also when a disk is put back after it was given up; at the end no key of a lost one is left."""
    count = runs(range(400, 412), weather=SWAPS, **SWAPPED)
    assert min(count["swapped"], count["put_back"], count["marked"], count["removed"], count["keys_judged"]) > 2


@pytest.mark.parametrize("seed", range(1))
def test_an_hour(seed):
    assert hour(seed).count["answered"] > 500


def test_a_seed_replays_exactly():
    first, second = simulate(7), simulate(7)
    assert first.log == second.log
    assert first.count == second.count
    assert first.etcd.model.items == second.etcd.model.items


@pytest.mark.long
@pytest.mark.parametrize("block", range(30))
def test_what_was_answered_is_never_lost_in_four_thousand_seeds(block):
    runs(range(20_000 + block * 100, 20_100 + block * 100))


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_other_clusters_in_many_seeds(block):
    for options in (PAIR, FOUR, CLOSED):
        runs(range(30_000 + block * 50, 30_050 + block * 50), **options)


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_keys_of_replaced_disks_in_two_thousand_seeds(block):
    runs(range(block * 100, 100 + block * 100), weather=SWAPS, **SWAPPED)


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_a_hundred_hours(block):
    for seed in range(100 + block * 5, 105 + block * 5):
        hour(seed)
