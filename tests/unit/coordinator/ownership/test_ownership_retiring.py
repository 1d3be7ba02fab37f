"""Which disks count as lost, which keys go then, and what each transaction compares."""

import pytest

from coordinator.keys import Keys, Role, encode
from coordinator.ownership import answers, moves, retiring, spools, views, writes
from coordinator.ownership.moves import Here, Move, Scene
from coordinator.ownership.records import Pairing, PairKey, SpoolRecord, read_spool, write
from coordinator.ownership.retiring import RETIRED_MAX, Around, books, next_chore
from coordinator.ownership.rows import Attached, Row
from coordinator.ownership.seats import Seats
from coordinator.ownership.spools import Verdict
from coordinator.ownership.views import Me, State, View
from coordinator.session import Phase, Session
from coordinator.store.contract import Change, Delete, Put, Seen
from coordinator.store.model import Model
from coordinator.timing import STEADY

KEYS = Keys(cluster="c")
MEMBERS = KEYS.member(Role.NODE, "")
KEY = PairKey(spool="old", shadow="b")
PATH = KEYS.ownership("old", "b")
DELAY_MS, HOUR_MS = 3_600_000, 4_000_000
B = Me(node="b", spool="T")


class Cluster:
    """A store in which node a works on a new disk and b keeps the copies of its old one."""

    def __init__(self):
        self.model, self.seats = Model(), Seats(MEMBERS, now_ms=0)
        self.put(KEYS.spool("old"), SpoolRecord(sequence=9, node="a", inc=1))
        self.put(KEYS.spool("T"), SpoolRecord(sequence=9, node="b", inc=2))
        self.pair()
        self.join("b", "T")

    def put(self, key, record):
        self.model.txn([], [Put(key=key, value=write(record))])

    def pair(self, key=KEY, **about):
        pairing = Pairing(**{"owner": "a", "epoch": 5, "copy": "T"} | about)
        self.put(KEYS.ownership(key.spool, key.shadow), pairing)

    def join(self, node, spool):
        key = MEMBERS + node
        self.model.txn([], [Delete(key=key)])
        self.model.txn([], [Put(key=key, value=encode({"spool": spool}))])
        item = self.model.items[key]
        change = Change(key=key, item=item, revision=item.mod_revision)
        self.seats.feed(Seen(changes=(change,), revision=item.mod_revision), 0)

    def leave(self, node, now_ms=0):
        self.model.txn([], [Delete(key=MEMBERS + node)])
        change = Change(key=MEMBERS + node, item=None, revision=self.model.revision)
        self.seats.feed(Seen(changes=(change,), revision=self.model.revision), now_ms)

    def around(self, **about):
        given = {"listed": frozenset("abc"), "began_ms": 0, "now_ms": HOUR_MS, "delay_ms": DELAY_MS} | about
        return Around(seats=self.seats, **given)

    def books(self):
        return books(KEYS, self.model.items)

    def chore(self, **about):
        return next_chore(KEYS, self.books(), self.around(**about))

    def do(self, transaction):
        return self.model.txn(*transaction).succeeded

    def mark(self):
        self.join("a", "new")
        assert self.do(self.chore())

    def view(self, me=B):
        retired = self.books().retired("old")
        return views.learned(View(key=KEY), self.model.items.get(PATH), me, inc=1, retired=retired)


@pytest.fixture
def cluster():
    return Cluster()


def lost(cluster, **about):
    return retiring.lost("old", SpoolRecord(sequence=9, node="a", inc=1), cluster.around(**about))


class TestLost:
    def test_its_node_works_on_another_disk_for_an_hour(self, cluster):
        cluster.join("a", "new")
        assert lost(cluster)
        assert not lost(cluster, now_ms=DELAY_MS - 1)
        assert not lost(cluster, began_ms=HOUR_MS - DELAY_MS + 1), "who has just come cannot know"

    def test_a_node_that_is_away_may_come_back(self, cluster):
        assert not lost(cluster)
        assert lost(cluster, listed=frozenset("bc"))
        assert lost(cluster, dead=frozenset("a"))

    def test_a_node_that_does_not_say_what_it_works_on_may_have_it(self, cluster):
        cluster.join("a", "")
        assert not lost(cluster)

    def test_whoever_has_it_has_it(self, cluster):
        cluster.join("c", "old")
        assert not lost(cluster, dead=frozenset("a"))
        cluster.leave("c", now_ms=HOUR_MS - 1)
        assert not lost(cluster, dead=frozenset("a"))


class TestMarking:
    def test_the_record_says_so_and_keeps_what_it_knew(self, cluster):
        cluster.mark()
        record = read_spool(cluster.model.items[KEYS.spool("old")].value)
        assert record == SpoolRecord(sequence=9, node="a", inc=1, lost=True)
        assert spools.judge(cluster.model.items[KEYS.spool("old")], Me(node="a", spool="old"), Seats("m/", now_ms=0),
                            told=9).verdict is Verdict.BEHIND  # fmt: skip

    def test_not_while_a_pause_lasts(self, cluster):
        cluster.join("a", "new")
        assert cluster.chore(paused=True) is None

    def test_not_when_somebody_opened_it_or_its_node_came_back(self, cluster):
        cluster.join("a", "new")
        chore = cluster.chore()
        cluster.join("a", "old")
        assert not cluster.do(chore)
        cluster.join("a", "new")
        chore = cluster.chore()
        cluster.put(KEYS.spool("old"), SpoolRecord(sequence=10, node="c", inc=7))
        assert not cluster.do(chore)

    def test_a_spool_released_by_an_operator_is_in_use_again(self, cluster):
        cluster.mark()
        item, me = cluster.model.items[KEYS.spool("old")], Me(node="c", spool="old")
        known = read_spool(item.value)
        assert cluster.do(spools.to_open(KEYS, me, item, known, cluster.seats, sequence=11, inc=3))
        assert not cluster.books().retired("old")


def scene(cluster, **about):
    session = Session(timing=STEADY, phase=Phase.LIVE, lease=1, inc=1, began_ms=0, renewed_ms=HOUR_MS)
    given = {"me": B, "session": session, "now_ms": HOUR_MS, "seats": cluster.seats}
    return Scene(**given | {"retired": cluster.books().retired("old")} | about)


class TestShadow:
    @pytest.mark.parametrize("about", [{}, {"owner": "b"}, {"owner": "b", "void": True}, {"void": True}])
    def test_it_removes_the_key_once_nothing_is_left(self, cluster, about):
        cluster.pair(**about)
        assert moves.decide(cluster.view(), Here(), scene(cluster)) is not Move.REMOVE, "it may come back"
        cluster.mark()
        view = cluster.view()
        assert moves.decide(view, Here(), scene(cluster)) is Move.REMOVE
        assert cluster.do(writes.to_remove(KEYS, view, cluster.model.items[KEYS.spool("old")]))
        assert views.learned(view, None, B, inc=1, retired=True).state is State.UNPAIRED
        assert views.learned(view, None, B, inc=1).state is State.STRANGE

    @pytest.mark.parametrize("here", [Here(own=1), Here(spare=1), Here(moving=1)])
    def test_not_while_a_row_is_under_it(self, cluster, here):
        cluster.mark()
        assert not moves.may_remove(cluster.view(), here, scene(cluster))

    def test_not_by_another_disk_of_its_name_and_not_while_a_pause_lasts(self, cluster):
        cluster.mark()
        other = Me(node="b", spool="T2")
        assert not moves.may_remove(cluster.view(other), Here(), scene(cluster, me=other))
        assert not moves.may_remove(cluster.view(), Here(), scene(cluster, paused=True))

    def test_not_when_it_was_released_or_adopted_meanwhile(self, cluster):
        cluster.mark()
        view, record = cluster.view(), cluster.model.items[KEYS.spool("old")]
        cluster.put(KEYS.spool("old"), SpoolRecord(sequence=11, node="a", inc=8))
        assert not cluster.do(writes.to_remove(KEYS, view, record))
        cluster.put(KEYS.spool("old"), SpoolRecord(sequence=11, node="a", inc=8, lost=True))
        cluster.pair(owner="b")
        assert not cluster.do(writes.to_remove(KEYS, view, cluster.model.items[KEYS.spool("old")]))

    def test_copies_of_a_lost_disk_are_refused_also_when_its_key_is_gone(self):
        row = Row(attached=Attached(key=KEY, epoch=5))
        assert answers.received(row, None, B, copy="T") is not None
        assert answers.received(row, None, B, copy="T", retired=True) is None


class TestBehind:
    """Keys whose shadow has another disk, or is gone."""

    def test_the_shadows_own_business_is_left_to_it(self, cluster):
        cluster.mark()
        assert cluster.chore() is None

    def test_not_while_the_shadow_may_come_back_with_its_disk(self, cluster):
        cluster.mark()
        cluster.leave("b")
        assert cluster.chore() is None

    def test_removed_once_both_disks_are_lost(self, cluster):
        cluster.mark()
        cluster.join("b", "T2")
        assert cluster.do(cluster.chore())
        assert cluster.books().retired("T")
        assert cluster.do(cluster.chore())
        assert PATH not in cluster.model.items
        assert cluster.chore() is None

    def test_a_disk_that_was_never_taken_into_use_has_nothing_unless_it_is_taken_meanwhile(self, cluster):
        cluster.mark()
        cluster.pair(copy="T0")
        chore = cluster.chore()
        cluster.put(KEYS.spool("T0"), SpoolRecord(sequence=1, node="b", inc=5))
        assert not cluster.do(chore)
        cluster.model.txn([], [Delete(key=KEYS.spool("T0"))])
        assert cluster.do(cluster.chore())

    @pytest.mark.parametrize("value", [b"?", b'{"form":99}'])
    def test_what_is_not_understood_stays(self, cluster, value):
        cluster.mark()
        cluster.model.txn([], [Put(key=PATH, value=value)])
        assert cluster.chore() is None
        cluster.pair(copy="T9")
        cluster.model.txn([], [Put(key=KEYS.spool("T9"), value=value)])
        assert cluster.chore() is None
        assert not retiring.settled("a", cluster.books())


def test_a_node_is_settled_when_its_disks_are_marked_and_no_key_is_left(cluster):
    assert not retiring.settled("a", cluster.books())
    cluster.mark()
    assert not retiring.settled("a", cluster.books())
    cluster.model.txn([], [Delete(key=PATH)])
    assert retiring.settled("a", cluster.books())


def test_of_lost_disks_the_newest_are_remembered(cluster):
    cluster.mark()
    for number in range(RETIRED_MAX - 1):
        cluster.put(KEYS.spool(f"x{number:03d}"), SpoolRecord(sequence=1, node="a", inc=1, lost=True))
    assert cluster.chore() is None
    cluster.put(KEYS.spool("y"), SpoolRecord(sequence=1, node="a", inc=1, lost=True))
    assert cluster.do(cluster.chore())
    assert KEYS.spool("old") in cluster.model.items, "a key of it is left"
    assert KEYS.spool("x000") not in cluster.model.items
    assert cluster.chore() is None


def test_a_record_of_before_is_not_marked():
    assert read_spool(write(SpoolRecord(sequence=3, node="a", inc=1, lost=True))).lost
    assert not read_spool(b'{"form":1,"sequence":3,"node":"a","inc":1}').lost
