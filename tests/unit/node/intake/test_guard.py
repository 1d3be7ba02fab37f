"""Guessing gets slow; nobody is ever locked out."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.intake.guard import LONGEST_DELAY_S, MEMORY_MS, Guard, delay_after

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MINUTE_MS = 60_000


def test_delays_grow_and_end():
    guard = Guard()
    delays = [guard.failed("ann", "10.0.0.1", n) for n in range(12)]
    assert delays[:5] == [0.0, 0.0, 1.0, 2.0, 4.0]
    assert delays[-1] == LONGEST_DELAY_S
    assert delays == sorted(delays)


def test_failures_elsewhere_do_not_count_here():
    guard = Guard()
    for n in range(50):
        guard.failed("ann", "192.0.2.66", n)
    assert guard.failed("ann", "10.0.0.1", 60) == 0.0


def test_a_success_starts_afresh():
    guard = Guard()
    for n in range(9):
        guard.failed("ann", "10.0.0.1", n)
    guard.succeeded("ann", "10.0.0.1")
    assert guard.failed("ann", "10.0.0.1", 10) == 0.0


def test_spraying_over_users_slows_the_address_even_with_one_good_account():
    guard = Guard()
    delays = []
    for n in range(30):
        delays.append(guard.failed(f"user{n}", "192.0.2.66", n))
        guard.succeeded("mine", "192.0.2.66")
    assert delays[0] == 0.0
    assert delays[-1] == LONGEST_DELAY_S


def test_memory_ends():
    guard = Guard()
    for n in range(9):
        guard.failed("ann", "10.0.0.1", n)
    assert guard.failed("ann", "10.0.0.1", MEMORY_MS + MINUTE_MS) == 0.0
    assert guard.counts().entries == 2


@CALM
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, MINUTE_MS)), max_size=80))
def test_the_table_is_bounded_and_delays_are_too(steps):
    guard = Guard(entries=10)
    now_ms = 0
    for user, address, later_ms in steps:
        now_ms += later_ms
        assert 0.0 <= guard.failed(str(user), str(address), now_ms) <= LONGEST_DELAY_S
        assert guard.counts().entries <= 10
    counts = guard.counts()
    assert counts.failures == len(steps)


def test_counts():
    guard = Guard()
    for n in range(4):
        guard.failed("ann", "10.0.0.1", n)
    guard.succeeded("ann", "10.0.0.1")
    counts = guard.counts()
    assert (counts.failures, counts.successes, counts.delayed, counts.entries) == (4, 1, 2, 1)


def test_delay_after_never_overflows():
    assert delay_after(10**9) == LONGEST_DELAY_S
