"""A spool at the begin of a session, who is there with which spool, and which node keeps the copies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.keys import Keys, Role, encode
from coordinator.ownership import peers, spools
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import SpoolRecord, write
from coordinator.ownership.seats import Seat, Seats
from coordinator.ownership.spools import Verdict
from coordinator.ownership.views import Me
from coordinator.store.contract import Change, Item, Put, Seen
from coordinator.store.model import Model

KEYS = Keys(cluster="c")
MEMBERS = KEYS.member(Role.NODE, "")
ME = Me(node="a", spool="S")


def change(node, spool, inc, revision=None):
    value = encode({"node": node, "spool": spool}) if isinstance(spool, str) else spool
    item = Item(key=MEMBERS + node, value=value, create_revision=inc, mod_revision=inc)
    return Change(key=MEMBERS + node, item=item, revision=revision or inc)


def gone(node, revision):
    return Change(key=MEMBERS + node, item=None, revision=revision)


def seats(*there):
    found = Seats(MEMBERS, now_ms=5)
    found.feed(Seen(changes=tuple(change(*each) for each in there), revision=9, resync=True), 10)
    return found


def record(sequence, node="a", inc=3, revision=7):
    value = write(SpoolRecord(sequence=sequence, node=node, inc=inc))
    return Item(key=KEYS.spool("S"), value=value, create_revision=1, mod_revision=revision)


class TestJudge:
    @pytest.mark.parametrize(
        ("told", "verdict"), [(99, Verdict.BEHIND), (100, Verdict.GOOD), (101, Verdict.GOOD), (0, Verdict.BEHIND)]
    )
    def test_a_spool_that_forgot_telling_is_an_older_copy(self, told, verdict):
        assert spools.judge(record(100), ME, seats(), told=told).verdict is verdict

    def test_one_that_was_never_told_of_is_good(self):
        assert spools.judge(None, ME, seats(), told=0).verdict is Verdict.GOOD

    def test_one_that_somebody_else_has_is_a_twin(self):
        found = spools.judge(record(1), ME, seats(("b", "S", 4)), told=9)
        assert (found.verdict, found.text) == (Verdict.TWIN, "b has this spool")

    def test_my_own_seat_is_no_twin(self):
        assert spools.judge(record(1), ME, seats(("a", "S", 4)), told=9).verdict is Verdict.GOOD

    @pytest.mark.parametrize("value", [b"garbage", b'{"form":7,"sequence":1,"node":"a","inc":1}'])
    def test_what_is_not_understood_opens_nothing(self, value):
        item = Item(key="k", value=value, create_revision=1, mod_revision=2)
        assert spools.judge(item, ME, seats(), told=9).verdict is Verdict.STRANGE


class TestOpen:
    def open(self, model, me, inc, *, told, members=None):
        item = model.items.get(KEYS.spool("S"))
        known = spools.judge(item, me, members or seats(), told=told).known
        return spools.to_open(KEYS, me, item, known, members or seats(), sequence=told, inc=inc)

    def test_the_second_of_two_is_refused(self):
        model = Model()
        first, second = self.open(model, ME, 3, told=1), self.open(model, Me(node="b", spool="S"), 4, told=1)
        assert model.txn(*first).succeeded
        assert not model.txn(*second).succeeded

    def test_whoever_had_it_last_must_not_be_there_with_it(self):
        model = Model()
        model.txn(*self.open(model, ME, 3, told=1))
        moved = self.open(model, Me(node="b", spool="S"), 4, told=1)
        model.txn([], [Put(key=KEYS.member(Role.NODE, "a"), value=b"{}")])
        assert not model.txn(*moved).succeeded

    def test_a_disk_moves_to_another_node_when_its_own_is_gone_or_has_another(self):
        model = Model()
        model.txn(*self.open(model, ME, 3, told=1))
        assert model.txn(*self.open(model, Me(node="b", spool="S"), 4, told=1)).succeeded
        model.txn([], [Put(key=KEYS.member(Role.NODE, "b"), value=b"{}")])
        there = seats(("b", "another", model.items[KEYS.member(Role.NODE, "b")].create_revision))
        assert model.txn(*self.open(model, ME, 9, told=1, members=there)).succeeded

    def test_opened_means_in_this_very_session(self):
        assert spools.opened(record(1, inc=3), ME, inc=3)
        assert not spools.opened(record(1, inc=3), ME, inc=4)
        assert not spools.opened(record(1, node="b", inc=3), ME, inc=3)
        assert not spools.opened(record(1, inc=0), ME, inc=0)
        assert not spools.opened(None, ME, inc=3)
        assert not spools.opened(Item(key="k", value=b"?", create_revision=1, mod_revision=1), ME, inc=3)


def test_it_is_told_often_enough_and_only_when_it_moved():
    assert spools.due(record(5), sequence=6, noted_ms=0, now_ms=spools.NOTE_MS * 4 // 5)
    assert not spools.due(record(5), sequence=6, noted_ms=1, now_ms=spools.NOTE_MS * 4 // 5)
    assert not spools.due(record(5), sequence=5, noted_ms=0, now_ms=10**9)
    assert not spools.due(
        Item(key="k", value=b"?", create_revision=1, mod_revision=1), sequence=6, noted_ms=0, now_ms=10**9
    )


def test_telling_compares_the_record():
    model = Model()
    model.txn([], [Put(key=KEYS.spool("S"), value=record(1).value)])
    note = spools.to_note(KEYS, ME, model.items[KEYS.spool("S")], sequence=5, inc=3)
    assert model.txn(*note).succeeded
    assert not model.txn(*note).succeeded


class TestSeats:
    def test_a_spool_is_gone_since_it_was_learnt(self):
        found = seats(("a", "S", 2), ("b", "T", 3))
        found.feed(Seen(changes=(gone("a", 20),), revision=20), 700)
        assert found.get("a") is None
        assert found.with_spool("S") is None
        assert found.spool_gone_ms("S") == 700

    def test_never_seen_is_gone_since_we_watch(self):
        assert seats().spool_gone_ms("S") == 5

    def test_a_resync_without_it_is_the_end_too(self):
        found = seats(("a", "S", 2), ("b", "T", 3))
        found.feed(Seen(changes=(change("b", "T", 3),), revision=30, resync=True), 800)
        assert found.live == (Seat(node="b", inc=3, spool="T"),)
        assert found.spool_gone_ms("S") == 800

    def test_a_node_back_with_another_disk_has_left_the_old_one(self):
        found = seats(("a", "S", 2))
        found.feed(Seen(changes=(change("a", "new", 25),), revision=25), 900)
        assert found.with_spool("new") == Seat(node="a", inc=25, spool="new")
        assert found.spool_gone_ms("S") == 900

    @pytest.mark.parametrize("value", [b"?", b"{}", b'{"spool":3}'])
    def test_whoever_does_not_say_is_there_all_the_same(self, value):
        assert seats(("a", value, 2)).get("a") == Seat(node="a", inc=2, spool="")

    def test_news_about_others_is_nothing(self):
        found = seats()
        found.feed(Seen(changes=(Change(key="/else", item=None, revision=3),), revision=3), 1)
        assert found.live == ()


CANDIDATES = st.lists(
    st.builds(
        Candidate, node=st.sampled_from("abcd"), spool=st.sampled_from(["", "S", "T", "U"]), site=st.sampled_from("12"),
        load=st.integers(0, 3), healthy=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda each: each.node,
)  # fmt: skip


@given(CANDIDATES, st.sampled_from(["", "b", "c"]))
def test_the_choice(candidates, current):
    chosen = peers.choose(candidates, node="a", spool="S", site="1", current=current)
    may = [each for each in candidates if each.healthy and each.node != "a" and each.spool not in {"", "S"}]
    if not may:
        assert chosen is None
    elif current in {each.node for each in may}:
        assert chosen.node == current, "kept while it lives"
    else:
        assert chosen.site == "2" or all(each.site == "1" for each in may), "another site first"
        same = [each for each in may if each.site == chosen.site]
        assert chosen.load == min(each.load for each in same), "then the least loaded"
    assert chosen == peers.choose(candidates[::-1], node="a", spool="S", site="1", current=current)
