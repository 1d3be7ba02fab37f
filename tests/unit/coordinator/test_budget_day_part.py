"""A holder's part of a day limit: never more than the limit whatever is lost, late, or written by others."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.budget import lots
from coordinator.budget.day_part import PLENTY, STOCK_LOTS, DayPart

NAMES = ("a", "b")
QUARTER = lots.QUARTER_MS
WHATS = ["ask", "ask", "settle", "write", "lose", "late", "news", "rejoin", "time", "idle"]
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WHATS), st.integers(1, 9)), max_size=100)


class Store:
    def __init__(self):
        self.value, self.revision, self.now = None, 0, 10

    def write(self, value, base):
        self.now += 1
        if base != self.revision:
            return 0
        self.value, self.revision = value, self.now
        return self.now


def made(name, limit=60, inc=1):
    part = DayPart(holder=name, limit=limit, settle_ms=0)
    part.holders = len(NAMES)
    part.adopted(inc, None, 0)
    return part


def carry(part, store, now_ms, *, idle=False):
    write = part.next_write(now_ms, idle=idle)
    if write is not None:
        base = part.revision
        part.sending(write)
        revision = store.write(write.value, base)
        part.done(revision) if revision else part.undone(store.value, store.revision)
    return write


def test_what_is_at_hand_lasts_one_node_for_ten_silent_minutes():
    a, store = made("a", 10_000), Store()
    a.want(1, urgent=False)
    carry(a, store, 0)
    at_hand = [a.free]
    while len(at_hand) < 1_000:  # a message every two seconds
        a.take(1)
        a.settle(1, 1, 0)
        carry(a, store, 0)
        at_hand.append(a.free)
    assert min(at_hand) >= 30 * 10 - 1
    assert max(at_hand) == lots.LOT_MAX * STOCK_LOTS


@given(st.integers(1, 20_000), st.integers(0, 20_000))
def test_a_dead_holder_takes_along_a_small_part_of_what_is_left(limit, used):
    a, store = made("a", limit), Store()
    a.adopted(1, msgspec.json.encode({"0": min(used, limit)}), 1)
    store.revision, left = 1, limit - min(used, limit)
    a.want(1, urgent=False)
    carry(a, store, 0)
    lot = min(lots.lot_size(limit, left, len(NAMES)), left)
    assert lot <= a.free <= max(lot, left // (PLENTY * len(NAMES)))


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_units_used_and_at_hand_always_fit_and_stand_in_the_record(steps):
    store, parts = Store(), {name: made(name) for name in NAMES}
    flying, used, now_ms = {name: [] for name in NAMES}, [], 0
    opened = dict.fromkeys(NAMES, 0)
    for name, what, number in steps:
        part = parts[name]
        if what == "time":
            now_ms += number * 100_000
        elif what == "ask":
            if number <= part.room(now_ms):
                part.take(number)
                opened[name] += number
            else:
                part.want(number, urgent=False)
        elif what == "settle" and opened[name]:
            part.settle(opened[name], opened[name], now_ms)
            used.append((now_ms, opened[name]))
            opened[name] = 0
        elif what in ("write", "idle"):
            carry(part, store, now_ms, idle=what == "idle")
        elif what == "lose" and (write := part.next_write(now_ms, idle=False)) is not None:
            flying[name].append((write.value, part.revision))
            part.sending(write)
            part.unanswered()
        elif what == "late" and flying[name]:
            store.write(*flying[name].pop(0))
        elif what == "news" and store.revision:
            part.learned(store.value, store.revision)
        elif what == "rejoin":
            flying[name].clear()
            store.now += 1
            part.adopted(store.now, store.value, store.revision)
        mine = sum(each.free + each.spare + each.open for each in parts.values())
        day = [units for at, units in used if at > now_ms - lots.DAY_MS + QUARTER]
        assert mine + sum(day) <= 60
        assert min(part.free, part.spare, part.open, part.late) >= 0


def test_a_lost_answer_is_recognised_by_our_mark_in_a_later_record():
    store, a, b = Store(), made("a", 10_000), made("b", 10_000)
    a.want(1, urgent=False)
    write = a.next_write(0, idle=False)
    a.sending(write)
    a.unanswered()
    assert (a.free, a.next_write(0, idle=False)) == (0, write)
    store.write(write.value, 0)
    b.learned(store.value, store.revision)
    b.want(1, urgent=False)
    carry(b, store, 0)
    a.learned(store.value, store.revision)
    assert a.free == lots.LOT_MAX * STOCK_LOTS
    assert not a.doubt
    assert a.used(0) == a.free + b.free


def test_units_move_on_a_minute_before_their_quarter_ends_and_open_ones_too():
    store, part = Store(), made("a", 10_000)
    part.want(5, urgent=False)
    carry(part, store, 0)
    part.take(5)
    assert part.next_write(QUARTER - 60_001, idle=False) is None
    carry(part, store, QUARTER - 60_000)
    assert part.stamp == QUARTER
    assert part.room(QUARTER - 1) == part.room(QUARTER) == part.free
    assert msgspec.json.decode(store.value)[str(QUARTER)] == part.free + 5
    assert part.room(2 * QUARTER) == 0
    assert part.room(2 * QUARTER, silent=True) == part.free
    part.settle(5, 5, 2 * QUARTER)
    assert part.late == 5
    carry(part, store, 2 * QUARTER)
    counts = msgspec.json.decode(store.value)
    assert (part.late, counts.get(str(QUARTER), 0), counts[str(2 * QUARTER)]) == (0, 0, part.free + 5)


def test_urgent_work_has_the_kept_units_and_others_do_not():
    store, part = Store(), made("a", 20)
    part.kept = 5
    part.want(15, urgent=False)
    carry(part, store, 0)
    part.take(15)
    part.want(1, urgent=False)
    assert carry(part, store, 0) is None
    part.want(5, urgent=True)
    carry(part, store, 0)
    assert (part.room(0), part.room(0, urgent=True)) == (0, 5)
    part.take(5)
    assert part.open == 20


def test_idle_units_go_back_and_only_those():
    store, part = Store(), made("a", 10_000)
    part.want(5, urgent=False)
    carry(part, store, 0)
    part.take(5)
    carry(part, store, 0, idle=True)
    assert (part.free, part.open, part.used(0)) == (0, 5, 5)
    assert part.next_write(0, idle=True) is None


@pytest.mark.parametrize("value", [b"", b"[1]", b'{"900001": 1}', b'{"x": 1}', b'{"0": -1}', b'{"0": "1"}', None])
def test_what_is_no_record_is_left_alone_and_units_at_hand_stay(value):
    store, part = Store(), made("a", 10_000)
    part.want(5, urgent=False)
    carry(part, store, 0)
    had = part.free
    part.learned(value, store.revision + 5)
    assert part.fault
    assert part.free == had
    part.want(500, urgent=False)
    assert part.next_write(0, idle=False) is None
    part.learned(b'{"0": 200, "by/a": 1}', store.revision + 9)
    assert not part.fault


def test_when_units_can_be_had_again():
    part = made("a", 100)
    part.learned(msgspec.json.encode({"0": 60, str(QUARTER): 40}), 20)
    assert part.free_at_ms(1, 2 * QUARTER) == lots.DAY_MS + QUARTER + 1
    assert part.free_at_ms(61, 2 * QUARTER) == lots.DAY_MS + 2 * QUARTER + 1
    assert made("a", 100).free_at_ms(100, 0) == 0


def test_a_reading_overtaken_by_news_does_not_bring_the_older_counts_back():
    part = made("a")
    older, newer = (msgspec.json.encode({"0": units, "by/b": mark}) for units, mark in ((5, 1), (50, 2)))
    part.learned(newer, 9)
    part.adopted(2, older, 7)
    assert (part.inc, part.revision, part.used(0)) == (2, 9, 50)
