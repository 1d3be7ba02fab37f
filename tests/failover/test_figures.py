"""The figures of a run, from attempts and changes made up by hand."""

import pytest

from tests.failover.figures import EVERY_S, PROMPT_S, Attempt, Change, binding, service


def tries(begun: float, ended: float, outcome: str = "ok", took_s: float = 0.002) -> list[Attempt]:
    count = round((ended - begun) / EVERY_S)
    starts = [begun + EVERY_S * number for number in range(count)]
    return [
        Attempt(started=at, outcome=outcome, banner=at + took_s if outcome in ("ok", "said 421") else None)
        for at in starts
    ]


def moves(*steps: tuple[int, bool, float], look_s: float = 0.0) -> list[Change]:
    return [Change(host=host, bound=bound, before=at - look_s, at=at) for host, bound, at in steps]


def test_without_a_fault_the_gap_is_the_pause_between_two_attempts():
    found = service(tries(0, 10), 2.0, 10.0)
    assert found.gap_s == pytest.approx(EVERY_S - 0.002)
    assert found.recovered
    assert (found.delayed, found.failed) == (0, {})
    assert found.attempts == 160


def test_the_gap_goes_from_the_last_banner_before_to_the_first_start_after():
    found = service(tries(0, 2) + tries(2, 3, "refused") + tries(3, 5), 2.0, 5.0)
    assert found.gap_s == pytest.approx(3.0 - 1.952)
    assert found.failed == {"refused": 20}
    assert found.recovered


def test_an_attempt_that_succeeded_late_is_delayed_and_ends_no_gap():
    found = service(tries(0, 2) + tries(2, 3, took_s=1.03) + tries(3, 5), 2.0, 5.0)
    assert found.gap_s == pytest.approx(3.0 - 1.952)
    assert found.delayed == 20
    assert found.longest_wait_s == pytest.approx(1.03)
    assert found.failed == {}


@pytest.mark.parametrize("outcome", ["refused", "reset", "timeout", "closed", "said 421", "No route to host"])
def test_whatever_is_no_220_is_a_failure_under_its_name(outcome):
    found = service(tries(0, 2) + tries(2, 2.5, outcome) + tries(2.5, 5), 2.0, 5.0)
    assert found.failed == {outcome: 10}
    assert found.gap_s == pytest.approx(0.548)


def test_a_service_that_never_comes_back_is_said():
    found = service(tries(0, 2) + tries(2, 12, "timeout"), 2.0, 12.0)
    assert not found.recovered
    assert found.gap_s == pytest.approx(12 - 1.952)
    nobody = service(tries(2, 12, "timeout"), 2.0, 12.0)
    assert not nobody.recovered
    assert nobody.gap_s == pytest.approx(10)


def test_of_two_gaps_the_longer_counts():
    times = tries(0, 2) + tries(2.5, 4) + tries(4, 6, "timeout") + tries(6, 8)
    assert service(times, 2.0, 8.0).gap_s == pytest.approx(6 - 3.952)


def test_a_client_that_was_held_up_itself_is_told_apart():
    assert service(tries(0, 10), 2.0, 10.0).held_up_s == pytest.approx(0, abs=1e-6)
    assert service(tries(0, 3) + tries(3.75, 10), 2.0, 10.0).held_up_s == pytest.approx(0.75)
    assert service(tries(0, 3) + tries(3, 5, "timeout") + tries(5, 10), 2.0, 10.0).held_up_s < 0.01


def test_the_bound_of_prompt_lies_below_the_first_retransmission():
    assert PROMPT_S < 1.0


def test_a_clean_move_has_no_overlap():
    found = binding(moves((0, True, 0), (0, False, 5), (1, True, 5.1)), 4.0, 10.0)
    assert found.overlap_s == 0
    assert found.unbound_s == pytest.approx(0.1)
    assert found.holders == (0, 1)
    assert found.moved_s == pytest.approx(1.1)


def test_two_kernels_with_the_address_are_an_overlap():
    found = binding(moves((0, True, 0), (1, True, 5), (0, False, 5.75)), 4.0, 10.0)
    assert found.overlap_s == pytest.approx(0.75)
    assert found.unbound_s == 0


def test_an_overlap_that_does_not_end_lasts_until_the_watch_ends():
    assert binding(moves((0, True, 0), (1, True, 5)), 4.0, 10.0).overlap_s == pytest.approx(5)


def test_three_holders_are_one_overlap():
    steps = moves((0, True, 0), (1, True, 5), (2, True, 6), (2, False, 7), (0, False, 9))
    assert binding(steps, 4.0, 10.0).overlap_s == pytest.approx(4)


def test_the_longest_overlap_counts_not_the_sum():
    steps = moves((0, True, 0), (1, True, 5), (1, False, 5.2), (1, True, 6), (0, False, 6.7))
    assert binding(steps, 4.0, 10.0).overlap_s == pytest.approx(0.7)


def test_between_two_looks_an_overlap_is_possible_but_not_sure():
    found = binding(moves((0, True, 0), (0, False, 5), (1, True, 5.004), look_s=0.005), 4.0, 10.0)
    assert found.overlap_s == 0
    assert found.overlap_most_s == pytest.approx(0.001)


def test_an_overlap_counts_only_what_both_surely_had():
    found = binding(moves((0, True, 0), (1, True, 5), (0, False, 6), look_s=0.01), 4.0, 10.0)
    assert found.overlap_s == pytest.approx(0.99)
    assert found.overlap_most_s == pytest.approx(1.01)


def test_what_a_dead_machine_held_does_not_count():
    steps = moves((0, True, 0), (1, True, 7))
    found = binding(steps, 4.0, 10.0, {0: 5.0})
    assert found.overlap_s == 0
    assert found.unbound_s == pytest.approx(2)
    assert found.moved_s == pytest.approx(3)


def test_an_address_that_stays_has_not_moved():
    found = binding(moves((2, True, 0)), 4.0, 10.0)
    assert found.holders == (2,)
    assert found.moved_s is None
    assert found.unbound_s == 0


def test_coming_back_to_the_same_host_is_no_move_but_a_turn():
    found = binding(moves((2, True, 0), (2, False, 5), (2, True, 6)), 4.0, 10.0)
    assert found.holders == (2, 2)
    assert found.moved_s is None
    assert found.unbound_s == pytest.approx(1)
