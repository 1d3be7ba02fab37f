"""The holder of a share as a value: whatever is lost, late or written by others, all readings fit into the limit."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.budget import holding as h
from coordinator.budget import shares
from coordinator.budget.holding import Holding, Situation

NAMES = ("a", "b", "c")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["move", "use", "end", "news", "wait", "calm", "late", "lose", "hear", "rejoin"]),
        st.integers(0, 5),
    ),
    max_size=120,
)


def encode(record):
    return msgspec.json.encode(record)


class Store:
    """One key, with writes that may be served long after their sender gave up."""

    def __init__(self):
        self.value, self.revision, self.now = None, 0, 10

    def write(self, record, base, guard_ok):
        self.now += 1
        if base != self.revision or not guard_ok:
            return None
        self.value, self.revision = encode(record), self.now
        return self.now


class Holder:
    def __init__(self, name, store, limit):
        self.name, self.store = name, store
        self.holding = Holding(holder=name, limit=limit)
        self.out = 0
        self.wants = self.idle = False
        self.flying = []
        self.answer = None
        self.inc = 0

    def rejoin(self):
        self.store.now += 1
        self.inc = self.store.now
        self.flying = [each for each in self.flying if each[2] == self.inc]  # guarded by the session that ended
        self.holding = h.adopted(self.holding, self.inc, self.store.value, self.store.revision)

    def news(self):
        self.holding = h.learned(self.holding, self.store.value, self.store.revision)

    def move(self):
        record = h.next_move(self.holding, Situation(out=self.out, wants=self.wants, idle=self.idle))
        if record is None:
            return None
        base = self.holding.revision
        self.holding = h.sending(self.holding, record)
        return record, base

    def write(self, record, base):
        """Served at once; the answer is on its way."""
        revision = self.store.write(record, base, guard_ok=True)
        self.answer = (self.inc, revision, self.store.value, self.store.revision)

    def hear(self):
        answer, self.answer = self.answer, None
        if answer is None or answer[0] != self.inc:
            return
        _, revision, value, found = answer
        self.holding = h.done(self.holding, revision) if revision else h.undone(self.holding, value, found)


def play(steps, limit, store=None, nodes=None):
    if store is None:
        store = Store()
        nodes = {name: Holder(name, store, limit) for name in NAMES}
        for node in nodes.values():
            node.rejoin()
    for name, what, number in steps:
        node = nodes[name]
        if what in ("wait", "calm"):
            node.wants, node.idle = what == "wait", number > 3 and what == "calm"
        elif what == "use" and node.out < h.usable(node.holding, needs=node.wants):
            node.out += 1
        elif what == "end":
            node.out = max(0, node.out - 1)
        elif what in ("news", "rejoin", "hear"):
            getattr(node, what)()
        elif what == "late" and node.flying:
            record, base, inc = node.flying.pop(0)  # served now, its sender long gone
            store.write(record, base, guard_ok=inc == node.inc)
        elif what in ("move", "lose") and (made := node.move()):
            if what == "lose":
                node.flying.append((*made, node.inc))
                node.holding = h.unanswered(node.holding)
            else:
                node.write(*made)
        yield store, nodes


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), STEPS)
def test_all_readings_fit_into_the_limit_whatever_is_lost_or_late(limit, steps):
    for store, nodes in play(steps, limit):
        assert sum(node.holding.share for node in nodes.values()) <= limit
        assert sum(node.out for node in nodes.values()) <= limit
        if store.value:
            shares.checked(msgspec.json.decode(store.value), limit)


def live(holder="a", limit=30, record=None, revision=5, inc=1):
    start = Holding(holder=holder, limit=limit)
    return h.adopted(start, inc, None if record is None else encode(record), revision if record is not None else 0)


def record(pool=0, limit=None, want=(), urgent=(), **parts):
    made = {"limit": limit or pool + sum(parts.values()), "pool": pool}
    made |= {f"share/{name}": count for name, count in parts.items()}
    made |= {f"want/{name}": number for number, name in enumerate(want, 1)}
    return made | {f"urgent/{name}": number for number, name in enumerate(urgent, 1)}


def moved(holding, **about):
    about.setdefault("out", 0)
    return h.next_move(holding, Situation(**about))


def test_nothing_moves_without_a_session_a_record_understood_or_while_a_move_is_under_way():
    assert moved(Holding(holder="a", limit=30), wants=True) is None
    assert moved(live(record={"pool": 7, "limit": 30}), wants=True) is None
    sent = h.sending(live(), {"limit": 30, "pool": 24, "share/a": 6})
    assert moved(sent, wants=True) is None


def test_the_first_one_makes_the_record_and_what_is_out_already_is_its_own():
    assert moved(live(), wants=True) == record(pool=24, a=6)
    assert moved(live(), wants=True, out=11) == record(pool=19, a=11)
    assert moved(live()) is None


GARBAGE = [b"", b"[]", b"{", b'{"pool":"30"}', b"\xff", b'{"pool":30,"limit":30,"lanes":1}', b'{"pool":29,"limit":30}',
           b'{"pool":31,"share/a":-1,"limit":30}', b"9" * 5000]  # fmt: skip


@pytest.mark.parametrize("value", GARBAGE)
def test_what_is_no_record_stops_all_moves_and_takes_nothing_away(value):
    before = live(record=record(pool=20, a=10))
    after = h.learned(before, value, 9)
    assert (after.share, after.revision) == (10, 9)
    assert after.fault
    assert moved(after, wants=True, gone=("b",)) is None
    again = h.learned(after, encode(record(pool=10, a=10, b=10)), 12)
    assert (again.fault, again.share) == ("", 10)
    assert not live(record={}).share


def test_a_record_that_vanished_is_not_made_anew_by_who_holds_some_of_it():
    gone = h.learned(live(record=record(pool=20, a=10)), None, 9)
    assert (gone.share, moved(gone, wants=True)) == (10, None)
    assert gone.fault
    lost = h.undone(h.sending(live(record=record(pool=20, a=10)), record(pool=14, a=16)), None, 0)
    assert (lost.share, moved(lost, wants=True)) == (10, None)


def test_old_news_change_nothing():
    now = live(record=record(pool=20, a=10), revision=50)
    assert h.learned(now, encode(record(pool=30)), 50) is now
    assert h.learned(now, None, 49) is now


def test_an_unanswered_gift_leaves_the_lower_share_until_the_record_moves_on():
    start = live(record=record(a=30, want=("b",)))
    gift = moved(start, out=10)
    assert gift["share/a"] == 20
    unsure = h.unanswered(h.sending(start, gift))
    assert unsure.share == 20
    assert h.learned(unsure, encode(start.record), 5).share == 20, "the same revision settles nothing"
    again = moved(unsure, out=20)
    assert again == gift, "written once more, so that only one of the two can happen"
    assert h.done(h.sending(unsure, again), 7).share == 20
    assert h.undone(h.sending(unsure, again), encode(record(a=31, limit=31)), 6).share == 31


def test_another_condition_of_the_same_transaction_did_not_hold():
    start = live(record=record(a=30, want=("b",)))
    gift = moved(start, out=10)
    back = h.undone(h.sending(start, gift), encode(start.record), 5)
    assert (back.share, back.revision) == (30, 5)
    unsure = h.unanswered(h.sending(start, gift))
    again = h.undone(h.sending(unsure, moved(unsure, out=20)), encode(start.record), 5)
    assert again.share == 20, "the earlier one may still happen"


def test_a_new_session_ends_every_doubt():
    start = live(record=record(a=30, want=("b",)))
    unsure = h.unanswered(h.sending(start, moved(start, out=10)))
    again = h.adopted(unsure, 9, encode(start.record), 5)
    assert (again.share, again.unsure, again.inc) == (30, False, 9)
    assert h.done(again, 4) == again, "an answer of the life before comes too late"


def test_who_has_no_use_for_it_gives_half_and_who_needs_it_only_what_is_over_a_fair_part():
    full = live(record=record(a=30, want=("b", "c")))
    assert moved(full, out=10)["share/b"] == 10
    assert moved(full, out=10, wants=True)["share/b"] == 10
    assert moved(full, out=28, wants=True)["share/b"] == 2
    even = live(record=record(a=10, b=10, c=10, want=("a", "b", "c")))
    assert moved(even, out=8, wants=True) is None, "three that need more than there is leave one another alone"
    assert moved(even, out=8)["share/b"] == 11


def test_what_is_free_but_waits_for_something_else_is_given_only_over_a_fair_part():
    full = live(record=record(a=30, want=("b",)))
    assert moved(full, out=0, queues=True)["share/b"] == 15
    assert moved(live(record=record(a=15, b=15, want=("b",))), out=0, queues=True) is None
    assert moved(live(record=record(a=15, b=15, want=("b",))), out=0, queues=True, idle=True)["share/b"] == 30


def test_what_is_over_a_fair_part_is_kept_for_who_waits():
    rich = live(record=record(a=30, want=("b",)))
    assert h.usable(rich, needs=True) == 24
    assert h.usable(rich, needs=False) == 30
    assert h.usable(live(record=record(a=16, b=14, want=("b",))), needs=True) == 15
    assert h.usable(live(record=record(a=15, b=15, want=("b",))), needs=True) == 15


def test_one_permit_goes_round_among_those_who_need_it():
    only = live(limit=1, record=record(a=1, want=("b", "c")))
    assert h.usable(only, needs=True) == 0
    after = moved(only, wants=True)
    assert after == record(a=0, b=1, limit=1) | {"want/c": 2} or after["share/b"] == 1
    assert moved(only, wants=True, out=1) == only.record | {"want/a": 3}
    assert moved(only, wants=True, turn=True) is None, "used once before it goes on"


def test_urgent_work_elsewhere_gets_the_next_free_one_before_our_own():
    even = live(record=record(a=10, b=10, c=10, want=("a", "b"), urgent=("c",)))
    assert h.usable(even, needs=True) == 9
    after = moved(even, wants=True, out=9)
    assert (after["share/c"], "urgent/c" in after) == (11, False)
    assert moved(even, wants=True, urgent=True, out=9) is None, "ours is urgent too"
    mine = live(record=record(a=10, b=20))
    assert moved(mine, wants=True, urgent=True, out=10)["urgent/a"] == 1


def test_without_work_everything_free_goes_back():
    assert moved(live(record=record(pool=20, a=10, want=("a",))), idle=True, out=3) == record(pool=27, a=3)
    assert moved(live(record=record(pool=30)), idle=True) is None


def test_a_dead_holders_share_goes_back_but_never_our_own():
    left = live(record=record(pool=0, a=10, b=20, want=("b",)))
    assert moved(left, gone=("b", "a"), out=10) == record(pool=20, a=10)
    assert moved(left, gone=("b",), out=10, wants=True) == record(pool=14, a=16)


def test_a_lowered_limit_holds_at_once_and_settles_as_permits_come_free():
    low = replace(live(record=record(pool=6, a=24, b=30)), limit=30)
    other = replace(live("b", record=record(pool=6, a=24, b=30)), limit=30)
    assert (low.allowance, other.allowance) == (12, 15)
    assert moved(low, out=24, wants=True) is None
    step = moved(low, out=20, wants=True)
    assert step == record(pool=10, a=20, b=30)
    done = h.done(h.sending(low, step), 6)
    while (after := moved(done, out=min(12, done.share), idle=True)) is not None:
        done = h.done(h.sending(done, after), done.revision + 1)
    assert done.record == record(pool=18, a=12, b=30)
    enough = replace(live(record=record(pool=36, a=12, b=12)), limit=30)
    assert moved(enough) == record(pool=6, a=12, b=12)


def test_a_raised_limit_goes_to_the_pool():
    more = replace(live(record=record(pool=0, a=30)), limit=40)
    assert (more.allowance, moved(more)) == (30, record(pool=10, a=30))


GIFT = [("a", "wait", 0), *[("a", what, 0) for what in ("move", "hear", "use", "use") * 6], *[("a", "end", 0)] * 12,
        ("b", "wait", 0), ("b", "news", 0), ("b", "move", 0), ("a", "news", 0), ("a", "calm", 0)]  # fmt: skip
TALES = {
    "used": [*GIFT, *[("a", "use", 0)] * 12, ("a", "move", 0), ("b", "news", 0), *[("b", "use", 0)] * 12],
    "unheard": [*GIFT, ("a", "move", 0), ("b", "news", 0)],
    "late": [*GIFT, ("a", "lose", 0), ("a", "late", 0), ("b", "news", 0)],
    "read back": [*GIFT, ("a", "lose", 0), ("a", "news", 0), ("a", "late", 0), ("b", "news", 0)],
}


def overspent(tale):
    for _, nodes in play(TALES[tale], 12):
        most = max(sum(node.out for node in nodes.values()), sum(node.holding.share for node in nodes.values()))
    assert nodes["b"].holding.record is not None
    return most > 12


MUTATIONS = {
    "unheard": lambda m: m.setattr(Holding, "share", property(lambda g: shares.share_of(g.record or {}, g.holder))),
    "late": lambda m: m.setattr(h, "unanswered", lambda g: replace(g, sent=None)),
    "read back": lambda m: m.setattr(h, "learned", lambda g, v, r: g if r < g.revision else h._taken(g, v, r)),
    "used": lambda m: m.setattr(h, "_given", lambda r, g, n, free, real=h._given: real(r, g, n, g.share)),
}


@pytest.mark.parametrize("tale", MUTATIONS)
def test_a_rule_taken_away_overspends(monkeypatch, tale):
    """Unheard: used until the answer; late, read back: no answer taken for no; used: permits that are out move."""
    assert not overspent(tale)
    MUTATIONS[tale](monkeypatch)
    assert overspent(tale)


def test_a_reading_overtaken_by_news_does_not_bring_the_older_record_back():
    ours = {"limit": 30, "pool": 18, "share/a": 12}
    taken = {"limit": 30, "pool": 30}
    start = h.learned(h.Holding(holder="a", limit=30), encode(taken), 9)
    late = h.adopted(start, 8, encode(ours), 7)
    assert (late.inc, late.revision, late.share, late.sent) == (8, 9, 0, None)
