"""The retry arithmetic: the whole schedule written out, the expiry never passed, nothing overflows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.retry import LAST_CHANCE_MS, delay_s, next_attempt_ms, postponed_ms

PLAN = (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
HOUR = 3_600_000


def test_the_default_schedule_without_jitter_until_it_expires_after_six_hours():
    now, moments = 0, []
    for attempt in range(1, 100):
        due = next_attempt_ms(PLAN, 0.0, attempt, now, 6 * HOUR, 0.5)
        if due is None:
            break
        moments.append(due // 1000)
        now = due
    assert moments == [60, 180, 480, 1080, 2880, 6480, 10080, 13680, 17280, 20880, 21540]


@pytest.mark.parametrize(("unit", "due"), [(0.0, 48_000), (0.5, 60_000), (0.999999, 72_000)])
def test_jitter_spreads_evenly_around_the_delay(unit, due):
    assert next_attempt_ms(PLAN, 0.2, 1, 0, HOUR, unit) == due


def test_a_cool_down_is_never_shortened_by_jitter():
    assert next_attempt_ms(PLAN, 0.2, 1, 0, HOUR, 0.0, at_least_s=900) == 900_000
    assert next_attempt_ms(PLAN, 0.2, 1, 0, HOUR, 0.5, at_least_s=900) == 990_000


def test_the_last_attempt_moves_before_the_expiry_instead_of_bouncing_early():
    assert next_attempt_ms(PLAN, 0.0, 6, 0, HOUR, 0.5) == HOUR - LAST_CHANCE_MS
    assert next_attempt_ms(PLAN, 0.0, 6, HOUR - LAST_CHANCE_MS, HOUR, 0.5) is None
    assert next_attempt_ms(PLAN, 0.0, 1, HOUR + 1, HOUR, 0.5) is None


def test_but_not_into_a_cool_down():
    assert next_attempt_ms(PLAN, 0.0, 1, 0, HOUR, 0.0, at_least_s=7200) is None


def test_no_delays_is_an_error():
    with pytest.raises(ValueError, match="at least one delay"):
        delay_s((), 1)


@given(
    st.lists(st.floats(0, 1e300), min_size=1, max_size=8),
    st.floats(0, 0.5),
    st.integers(-5, 10**12),
    st.integers(0, 10**14),
    st.integers(0, 10**14),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1e300),
)
def test_always_later_than_now_and_before_the_expiry(delays, jitter, attempts, now, expires, unit, least):
    due = next_attempt_ms(delays, jitter, attempts, now, expires, unit, at_least_s=least)
    assert due is None or now <= due < expires


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_the_last_delay_repeats(delays, more):
    assert delay_s(delays, len(delays) + more) == delay_s(delays, len(delays))
    assert math.isfinite(delay_s([math.inf], 1))


def test_postponed_recipients_do_not_all_wake_at_once():
    assert postponed_ms(10, 5, 0.0) == 10
    assert postponed_ms(10, 500, 0.5) == 1000
