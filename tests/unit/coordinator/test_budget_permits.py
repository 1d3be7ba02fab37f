"""Permits, slots, day counters and rates against slow twins that count at the worst moment."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.budget.day import DAY_MS, DayCounter
from coordinator.budget.forecast import exhausted_ms
from coordinator.budget.gcra import Gcra
from coordinator.budget.permits import Permits
from coordinator.budget.reserve import CLAIM_MS, ElasticPermits, Pool, share_of
from coordinator.budget.slots import Slots
from tests.support.upstream_counters import Span, most_sessions, worst_window, worst_window_fast

W, H = 60_000, 60_000

steps = st.lists(
    st.tuples(
        st.integers(0, 4_000),  # wait before
        st.integers(0, 20_000),  # conversation
        st.sampled_from(["finish", "finish", "finish", "vanish", "cancel"]),
        st.integers(0, H),  # how late a vanished one is counted
        st.booleans(),  # urgent
    ),
    max_size=120,
)


def drive(permits: ElasticPermits, script, resize=None, resized=None) -> list[Span]:
    """Run conversations that overlap as they like; the spans in which each may be counted, in order of start."""
    now, ends, spans = 1_000_000, [], []
    for number, (wait, length, how, late, urgent) in enumerate(script):
        now += wait
        for entry in sorted(ends):
            at, kind, pool = entry
            if at <= now:
                ends.remove(entry)
                {"finish": permits.finish, "vanish": permits.vanish}.get(kind, lambda p, _: permits.cancel(p))(pool, at)
        if resize and number == len(script) // 2:
            permits.resize(resize, W, now, reserve=resize // 5)
            resized.append(len(spans))
        pool = permits.take(now, urgent=urgent)
        if pool is not None:
            ends.append((now + length, how, pool))
            if how != "cancel":
                spans.append(Span(now, now + length + (late if how == "vanish" else 0)))
    return spans


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(1, 12), st.integers(0, 4))
def test_no_window_ever_holds_more_than_the_limit_whatever_moment_is_counted(script, limit, reserve):
    permits = ElasticPermits(limit=limit, window_ms=W, settle_ms=H, reserve=min(limit, reserve))
    spans = drive(permits, script)
    assert worst_window(spans, W) <= limit
    assert worst_window_fast(spans, W) == worst_window(spans, W)


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(5, 12), st.integers(1, 4))
def test_a_lowered_limit_holds_for_everything_started_after_it(script, limit, lower):
    permits = ElasticPermits(limit=limit, window_ms=W, settle_ms=H, reserve=limit // 5)
    resized = []
    spans = drive(permits, script, resize=lower, resized=resized)
    assert worst_window(spans, W) <= limit
    for number in range(resized[0], len(spans)) if resized else ():
        # At each start under the new limit: all that a window reaching back from here can still contain.
        inside = [span for span in spans[: number + 1] if span.end_ms >= spans[number].start_ms - W]
        assert len(inside) <= lower


def test_full_load_reaches_the_limit_exactly():
    permits, spans, now = ElasticPermits(limit=30, window_ms=W, settle_ms=H), [], 0
    while now < 10 * W:
        pool = permits.take(now, urgent=False)
        if pool is None:
            now = permits.next_free_ms(now)
            continue
        spans.append(Span(now, now + 600))
        now += 600
        permits.finish(pool, now)
    assert worst_window(spans, W) == 30


def test_a_permit_is_out_until_the_final_answer_and_a_window():
    permits = Permits(limit=1, window_ms=W, settle_ms=H)
    assert permits.take(0)
    assert not permits.take(10 * W)
    permits.finish(10 * W)
    assert permits.next_free_ms(10 * W) == 11 * W + 1
    assert not permits.take(11 * W)
    assert permits.take(11 * W + 1)


def test_a_vanished_one_is_out_for_the_settle_time_longer_and_a_cancelled_one_not_at_all():
    permits = Permits(limit=2, window_ms=W, settle_ms=H)
    assert permits.take(0)
    assert permits.take(0)
    permits.vanish(5_000)
    permits.cancel()
    assert permits.free(5_000) == 1
    assert permits.free(5_000 + H + W) == 1
    assert permits.free(5_001 + H + W) == 2


def test_ending_what_never_started_is_refused():
    permits = Permits(limit=2, window_ms=W, settle_ms=H)
    with pytest.raises(ValueError, match="no permit is out"):
        permits.finish(0)
    with pytest.raises(ValueError, match="impossible permits"):
        Permits(limit=-1, window_ms=W, settle_ms=H)


def test_a_longer_window_assumes_that_the_whole_limit_was_just_used():
    permits = Permits(limit=3, window_ms=W, settle_ms=H)
    assert permits.take(0)
    permits.finish(0)
    permits.resize(3, 2 * W, W + 1)
    assert permits.free(W + 1) == 0
    assert permits.free(3 * W + 2) == 3


def test_next_free_knows_several_returns():
    permits = Permits(limit=3, window_ms=W, settle_ms=H)
    for at in (1, 2, 3):
        assert permits.take(at)
        permits.finish(at)
    assert permits.next_free_ms(10, 2) == W + 3
    assert permits.next_free_ms(W + 10, 2) == W + 10


def test_ordinary_units_borrow_from_the_reserve_in_spaced_loans():
    permits = ElasticPermits(limit=10, window_ms=W, settle_ms=H, reserve=2)
    assert [permits.take(0, urgent=False) for _ in range(9)] == [Pool.COMMON] * 8 + [Pool.RESERVE]
    assert permits.take(0, urgent=False) is None
    gap = W * 9 // 10 // 2
    assert permits.next_free_ms(0) == gap
    assert permits.take(gap - 1, urgent=False) is None
    assert permits.take(gap, urgent=False) is Pool.RESERVE


def test_urgent_units_take_whatever_is_free():
    permits = ElasticPermits(limit=10, window_ms=W, settle_ms=H, reserve=2)
    assert [permits.take(0, urgent=True) for _ in range(10)] == [Pool.RESERVE] * 2 + [Pool.COMMON] * 8


def test_the_next_permit_that_returns_waits_for_an_urgent_unit_but_not_for_ever():
    permits = ElasticPermits(limit=1, window_ms=W, settle_ms=H)
    pool = permits.take(0, urgent=False)
    permits.finish(pool, 0)
    assert permits.take(5, urgent=True) is None
    back = W + 1
    assert permits.take(back, urgent=False) is None
    assert permits.next_free_ms(back) == back + CLAIM_MS
    assert permits.next_free_ms(back, urgent=True) == back
    assert permits.take(back + CLAIM_MS, urgent=False) is Pool.COMMON


def test_an_urgent_unit_under_full_load_waits_a_bounded_time():
    """L 30, R 6: a reserve permit returns at least every W + d - 5 gaps; measured over 20 minutes of full load."""
    permits = ElasticPermits(limit=30, window_ms=W, settle_ms=H, reserve=6)
    random.seed(4)
    now, ends, waits, asked, next_ask = 0, [], [], 0, 120_000
    while now < 20 * W:
        now += 50
        for at, pool in [end for end in ends if end[0] <= now]:
            ends.remove((at, pool))
            permits.finish(pool, at)
        if not asked and now >= next_ask:
            asked = now
        if asked and (pool := permits.take(now, urgent=True)) is not None:
            waits.append(now - asked)
            asked, next_ask = 0, now + random.randrange(10_000, 40_000)
            ends.append((now + 600, pool))
        while len(ends) < 2 and (pool := permits.take(now, urgent=False)) is not None:
            ends.append((now + 600, pool))
    assert len(waits) > 20
    assert max(waits) <= W + 600 + 100 - 5 * (W * 9 // 10 // 6)


def test_small_limits_keep_no_reserve():
    assert [share_of(limit, 20) for limit in (0, 1, 4, 5, 30)] == [0, 0, 0, 1, 6]
    with pytest.raises(ValueError, match="does not fit"):
        ElasticPermits(limit=1, window_ms=W, settle_ms=H, reserve=2)


day_steps = st.lists(
    st.tuples(
        st.integers(0, 5_000_000),
        st.integers(1, 60),
        st.integers(0, 600_000),
        st.sampled_from(["use", "use", "part", "none", "vanish"]),
    ),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(day_steps, st.integers(60, 300), st.integers(0, 2 * DAY_MS))
def test_no_24_hours_hold_more_than_the_limit_whatever_moment_is_counted(script, limit, now):
    day, spans, ends = DayCounter(limit=limit, settle_ms=H), [], []
    for wait, units, length, how in script:
        now += wait
        for end in sorted(ends):
            if end[0] <= now:
                ends.remove(end)
                day.settle(end[1], end[2], end[0])
        if day.reserve(units, now):
            used = {"part": units // 2, "none": 0}.get(how, units)
            ends.append((now + length, units, used))
            if used:
                spans.append(Span(now, now + length + (H if how == "vanish" else 0), used))
        assert len(day._counts) <= 99
    assert worst_window(spans, DAY_MS) <= limit


def test_the_day_comes_back_a_quarter_hour_and_the_settle_time_late_at_most():
    day, step = DayCounter(limit=10, settle_ms=H), 900_000
    assert day.reserve(10, 5 * step)
    day.settle(10, 10, 5 * step)
    free = day.free_at_ms(1, 5 * step)
    assert free == 6 * step + DAY_MS + H + 1
    assert day.room(free - 1) == 0
    assert day.room(free) == 10


def test_the_urgent_share_of_a_day_is_fixed():
    day = DayCounter(limit=100, settle_ms=H)
    assert day.reserve(95, 0, kept=5)
    assert not day.reserve(1, 0, kept=5)
    assert day.reserve(5, 0)


def test_the_day_survives_a_restart_with_what_was_reserved():
    day = DayCounter(limit=100, settle_ms=H)
    assert day.reserve(30, DAY_MS)
    day.settle(20, 15, DAY_MS)
    again = DayCounter(limit=100, settle_ms=H)
    again.restore(day.snapshot(DAY_MS), DAY_MS + 5)
    assert again.used(DAY_MS + 5) == 25
    late = DayCounter(limit=100, settle_ms=H)
    late.restore(day.snapshot(DAY_MS), 3 * DAY_MS)
    assert late.used(3 * DAY_MS) == 0


def test_day_faults_are_named():
    day = DayCounter(limit=10, settle_ms=H)
    with pytest.raises(ValueError, match="cannot settle"):
        day.settle(1, 1, 0)
    with pytest.raises(ValueError, match="impossible day limit"):
        DayCounter(limit=0, settle_ms=H)
    assert day.free_at_ms(11, 0) >= DAY_MS


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 100_000), st.booleans()), max_size=80),
    st.integers(1, 5),
)
def test_sessions_never_exceed_the_limit_with_those_of_vanished_hosts(script, limit):
    slots, now, open_slots, spans = Slots(limit=limit, linger_ms=360_000), 0, {}, []
    for wait, length, vanish in script:
        now += wait
        for index in [i for i, end in open_slots.items() if end[0] <= now]:
            end, gone, begun = open_slots.pop(index)
            slots.give_back(index, end, linger=gone)
            spans.append(Span(begun, end + (360_000 if gone else 0)))
        index = slots.take(now)
        if index is not None:
            open_slots[index] = (now + length, vanish, now)
    assert most_sessions(spans) <= limit
    assert slots.held <= max(1, limit - 1)
    assert len(slots._lingering) <= limit


def test_two_slots_are_used_and_the_third_covers_a_vanished_host():
    slots = Slots(limit=3, linger_ms=360_000)
    assert [slots.take(0), slots.take(0), slots.take(0)] == [0, 1, None]
    slots.give_back(0, 0, linger=True)
    assert slots.take(1) == 0
    slots.give_back(1, 1, linger=True)
    assert slots.take(2) is None
    assert slots.next_free_ms(2) == 360_000
    assert slots.take(360_000) == 1
    assert slots.next_free_ms(360_001) == 0
    slots.restore_lingering(9, 360_001, 400_000)
    assert slots.lingering_until(360_001) == (400_000,) * 3
    slots.restore_lingering(2, 360_001, 500_000)
    assert slots.lingering_until(360_001) == (400_000, 500_000, 500_000)
    slots.restore_lingering(2, 450_000, 440_000)
    assert slots.lingering(450_000) == 2


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9_000), st.booleans(), st.booleans()), max_size=100), st.integers(1, 12))
def test_an_arrival_rate_is_exact(script, amount):
    """Twin: a bucket in exact fractions. Counted arrivals conform to it, and none it would allow is refused."""
    from fractions import Fraction

    rate, level, last, now, held = Gcra(amount=amount, window_ms=W), Fraction(0), 0, 0, 0
    for wait, accept, ask in script:
        now += wait
        level, last = max(Fraction(0), level - Fraction((now - last) * amount, W)), now
        if ask:
            fits = level + held + 1 <= amount
            assert rate.reserve(now) is fits
            held += fits
        elif held:
            held -= 1
            if accept:
                rate.count(now)
                level += 1
            else:
                rate.release()
        assert level <= amount
        assert rate.level(now) == -(-level.numerator // level.denominator) + held


def test_a_rate_says_when_to_come_again():
    rate = Gcra(amount=10, window_ms=W)
    for _ in range(10):
        assert rate.reserve(0)
        rate.count(0)
    assert rate.next_ms(0) == 6_000
    assert not rate.reserve(5_999)
    assert rate.reserve(6_000)
    rate.release()
    with pytest.raises(ValueError, match="no arrival"):
        rate.release()
    with pytest.raises(ValueError, match="impossible rate"):
        Gcra(amount=0, window_ms=W)


def test_holding_and_giving_up_arrivals_earns_no_credit():
    rate = Gcra(amount=2, window_ms=W)
    assert rate.reserve(0)
    assert rate.reserve(0)
    assert not rate.reserve(0)
    assert not rate.reserve(5 * W)
    rate.release()
    rate.release()
    assert [rate.reserve(5 * W) for _ in range(3)] == [True, True, False]


def test_the_forecast_follows_the_last_hour_and_takes_off_what_leaves():
    step, now = 900_000, 200 * 900_000
    assert exhausted_ms({}, 100, now) == 0
    assert exhausted_ms({now: 100}, 100, now) == now
    pace = {now - k * step: 10 for k in range(1, 5)}
    assert now + 3_600_000 <= exhausted_ms(pace, 80, now) <= now + 3_600_000 + step
    steady = {now - k * step: 1 for k in range(1, 97)}
    assert exhausted_ms(steady, 120, now) == 0
