"""Connections to a path without published limits: fewer at once, more again in time, never beyond the bounds."""

from hypothesis import given
from hypothesis import strategies as st

from node.policy.pace import ONE_MOMENT_MS, QUIET_MS, RISE_AFTER, delivered, slowed, started


def test_each_refusal_of_its_own_moment_halves_down_to_one():
    pace, now_ms, limits = started(5), 0, []
    for _ in range(4):
        pace = slowed(pace, now_ms)
        limits.append(pace.limit)
        now_ms += ONE_MOMENT_MS
    assert limits == [2, 1, 1, 1]


def test_what_parallel_connections_say_within_a_moment_counts_once():
    pace = started(8)
    for now_ms in range(0, ONE_MOMENT_MS, 1000):
        pace = slowed(pace, now_ms)
    assert pace.limit == 4


def test_it_rises_one_by_one_after_deliveries_and_quiet():
    pace = slowed(started(3), 0)
    for _ in range(RISE_AFTER):
        pace = delivered(pace, QUIET_MS - 1)
    assert pace.limit == 1
    pace = delivered(pace, QUIET_MS)
    assert (pace.limit, pace.good) == (2, 0)
    for _ in range(2 * RISE_AFTER):
        pace = delivered(pace, QUIET_MS)
    assert pace.limit == 3
    assert delivered(pace, QUIET_MS) == pace


@given(st.integers(1, 50), st.lists(st.tuples(st.booleans(), st.integers(0, 100_000)), max_size=300))
def test_always_within_one_and_what_is_configured(ceiling, events):
    pace, now_ms = started(ceiling), 0
    for bad, after_ms in events:
        now_ms += after_ms
        before = pace.limit
        pace = slowed(pace, now_ms) if bad else delivered(pace, now_ms)
        assert 1 <= pace.limit <= ceiling
        assert pace.limit <= before + 1
