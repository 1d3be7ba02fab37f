"""Shares, lots, slots and everybody's word as plain values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import fallback as f
from coordinator.budget import leased_slots as ls
from coordinator.budget import lots, shares
from coordinator.session import Session
from coordinator.timing import FAST

HOURS_24 = 86_400_000
MOVES = st.lists(
    st.tuples(st.sampled_from(["take", "give", "give_back", "reclaim"]), st.sampled_from("abc"), st.integers(0, 40)),
    max_size=60,
)


@given(st.integers(1, 60), MOVES)
def test_parts_always_add_up_and_the_writer_knows_its_gain(limit, moves):
    record = shares.fresh(limit)
    for what, holder, free in moves:
        before = shares.share_of(record, holder)
        if what == "take":
            moved = shares.take(record, holder, limit)
        elif what == "reclaim":
            moved = shares.reclaim(record, holder)
        else:
            moved = getattr(shares, what)(record, holder, free)
        record = shares.checked(moved.record, limit)
        if what != "reclaim":
            assert shares.share_of(record, holder) == before + moved.gained


def test_who_waits_first_is_served_first_with_half_of_what_is_free():
    record = {"pool": 0, "share/a": 30}
    for holder in ("c", "b", "c"):
        record = shares.take(record, holder, 30).record
    assert shares.waiting(record) == ("c", "b")
    moved = shares.give(record, "a", 9)
    assert (moved.gained, shares.share_of(moved.record, "c"), shares.waiting(moved.record)) == (-4, 4, ("b",))
    assert shares.give(record, "a", 0).record == record
    assert shares.give(record, "a", 1).gained == -1


@pytest.mark.parametrize(
    "record", [{"pool": 31}, {"pool": 40, "share/a": -10}, {}, {f"share/{n}": 0 for n in range(1_001)}]
)
def test_a_record_that_does_not_add_up_is_believed_by_nobody(record):
    with pytest.raises(shares.Overdrawn):
        shares.checked(record, 30)


def test_a_lowered_limit_waits_until_the_pool_can_bear_it():
    record = {"pool": 5, "share/a": 25}
    assert shares.resize(record, 30, 20).record == record
    assert shares.resize({"pool": 15, "share/a": 15}, 30, 20).record == {"pool": 5, "share/a": 15}
    assert shares.resize(record, 30, 40).record == {"pool": 15, "share/a": 25}


def reserve(counts, now_ms, need=1, limit=10_000, holders=3):
    return lots.reserve(counts, limit=limit, need=need, holders=holders, now_ms=now_ms, settle_ms=60_000)


def test_lots_shrink_to_one_near_the_limit():
    assert [lots.lot_size(10_000, left, 3) for left in (10_000, 150, 149)] == [50, 50, 1]
    assert lots.lot_size(100, 100, 3) == 1
    assert reserve({"0": 9_990}, 1_000).lot.units == 1
    assert reserve({"0": 9_999}, 1_000, need=2) is None
    assert reserve({"0": 9_000}, 1_000, need=80).lot.units == 80


def test_a_lot_is_of_its_quarter_and_moves_with_what_is_left():
    first = reserve({}, 1_000)
    assert first.lot.usable(lots.QUARTER_MS - 1) == 50
    assert first.lot.usable(lots.QUARTER_MS) == 0
    left = lots.Lot(quarter_ms=0, units=20)
    moved = lots.restamp(first.counts, left, lots.QUARTER_MS, 60_000)
    assert moved.counts == {"0": 30, str(lots.QUARTER_MS): 20}
    assert moved.lot.usable(lots.QUARTER_MS) == 20
    assert lots.give_back(first.counts, left) == {"0": 30}


@given(st.lists(st.tuples(st.integers(1, 4_000_000), st.integers(1, 60)), min_size=1, max_size=80))
def test_no_day_holds_more_than_the_limit_whenever_units_of_a_lot_are_counted(steps):
    now_ms, counts, counted = 0, {}, []
    for gap, need in steps:
        now_ms += gap * 10
        done = reserve(counts, now_ms, need=need, limit=200)
        if done is not None:
            counts = done.counts
            assert len(counts) <= 100
            last_ms = min(lots.quarter_of(now_ms) + lots.QUARTER_MS - 1 + 60_000, now_ms + 960_000)
            counted.append((last_ms, done.lot.units))
    for end, _ in counted:
        assert sum(units for at, units in counted if end - HOURS_24 < at <= end) <= 200


def slots(held=(), unclean=(), ended=ls.Ended.HOST, lingering=(), gone_ms=0):
    return ls.Slots(
        held=dict.fromkeys(held, "x"), unclean=dict.fromkeys(unclean, ended), gone_ms=dict.fromkeys(unclean, gone_ms),
        lingering_since_ms={str(number): since for number, since in enumerate(lingering)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "now_ms", "may"),
    [
        (slots(), 0, True),
        (slots(held=(0,)), 0, False),
        (slots(held=(1,)), 0, True),
        (slots(unclean=(0,)), 2_999, False),
        (slots(unclean=(0,)), 3_000, True),
        (slots(unclean=(0,), gone_ms=5_000), 7_999, False),
        (slots(held=(1,), unclean=(0,)), 3_000, True),
        (slots(held=(1,), unclean=(0,), lingering=(0,)), 359_999, False),
        (slots(held=(1,), unclean=(0,), lingering=(0,)), 360_000, True),
        (slots(held=(1,), unclean=(0,), ended=ls.Ended.PROCESS, lingering=(0,)), 3_000, True),
    ],
)
def test_a_slot_is_taken_only_beside_what_lingers(scope, now_ms, may):
    assert ls.may_take(scope, 0, began_ms=0, now_ms=now_ms, linger_ms=360_000, sessions=3) is may


def test_everything_counts_from_our_sessions_begin_if_that_is_later():
    scope = slots(unclean=(0, 1))
    assert not ls.may_take(scope, 0, began_ms=10_000, now_ms=12_999, linger_ms=360_000, sessions=3)
    assert ls.lingering(scope, began_ms=10_000, now_ms=369_999, linger_ms=360_000) == 2
    assert ls.lingering(scope, began_ms=10_000, now_ms=370_000, linger_ms=360_000) == 0


def test_rotation_only_when_somebody_waits():
    about = {"used": 50, "held_ms": 0, "used_max": 50, "held_max_ms": 10}
    assert ls.should_give_back(others_wait=True, **about)
    assert not ls.should_give_back(others_wait=False, **about)


OUT = Session(timing=FAST)
EMPTY = f.Fallback(nodes=frozenset("bc"))


def test_only_all_words_in_time_let_it_go_on_and_only_for_three_seconds():
    asked = f.on_round(EMPTY, 1_000)
    one = f.on_answer(asked, "b", 1_000, 1_500, is_lost=True)
    assert not f.active(one, OUT, 1_500)
    assert not f.active(f.on_answer(one, "c", 1_000, 2_001, is_lost=True), OUT, 2_001), "too late an answer"
    assert not f.active(f.on_answer(one, "c", 900, 1_600, is_lost=True), OUT, 1_600), "to no round of ours"
    both = f.on_answer(one, "c", 1_000, 1_600, is_lost=True)
    assert f.active(both, OUT, 3_999)
    assert not f.active(both, OUT, 4_000)
    assert not f.active(f.on_answer(both, "b", 1_000, 1_700, is_lost=False), OUT, 1_700)


def test_alone_in_the_list_no_word_is_needed():
    assert f.active(f.on_round(f.Fallback(nodes=frozenset()), 0), OUT, 1)


def test_rounds_are_bounded():
    fallback = EMPTY
    for sent_ms in range(100):
        fallback = f.on_round(fallback, sent_ms)
    assert len(fallback.rounds) == f.ROUNDS_MAX
