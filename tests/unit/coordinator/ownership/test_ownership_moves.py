"""What an end does about a pairing, and when it may: delays, pauses, an operator's word, disks that were replaced."""

from dataclasses import replace

import pytest
from msgspec import structs

from coordinator.keys import encode
from coordinator.ownership import moves
from coordinator.ownership.moves import Here, Move, Scene, decide, may_pair
from coordinator.ownership.records import Pairing, PairKey, write
from coordinator.ownership.seats import Seat, Seats
from coordinator.ownership.views import Me, State, View, learned
from coordinator.session import Event, Session, step
from coordinator.store.contract import Change, Item, Seen
from coordinator.timing import STEADY

KEY = PairKey(spool="S", shadow="b")
A, B = Me(node="a", spool="S"), Me(node="b", spool="T")
BEGAN_MS = 1_000
GONE_MS = 60_000


def session(began_ms=BEGAN_MS, now_ms=None):
    live = step(
        step(Session(timing=STEADY), Event.BEGIN, began_ms), Event.JOINED, began_ms, sent_ms=began_ms, lease=1, inc=9
    )
    return step(live, Event.RENEWED, now_ms, sent_ms=now_ms, lease=1) if now_ms else live


def _join(node, spool, inc=60):
    item = Item(key="", value=encode({"spool": spool}), create_revision=inc, mod_revision=inc)
    return Change(key=f"m/{node}", item=item, revision=inc)


def seats(*there, gone=()):
    """Who is there with which spool; ``gone``: spools that went at GONE_MS."""
    found = Seats("m/", now_ms=0)
    changes = [_join(node, spool, inc) for inc, (node, spool) in enumerate([*there, *gone], 20)]
    found.feed(Seen(changes=tuple(changes), revision=40, resync=True), 0)
    left = [Change(key=f"m/{node}", item=None, revision=50) for node, _ in gone]
    found.feed(Seen(changes=tuple(left), revision=50), GONE_MS)
    return found


def scene(me, members, *, now_ms, began_ms=BEGAN_MS, **about):
    return Scene(me=me, session=_at(began_ms, now_ms), now_ms=now_ms, seats=members, **about)


def _at(began_ms, now_ms):
    return structs.replace(session(began_ms), renewed_ms=now_ms)


def view(me, owner, *, void=False, copy="T", inc=9, revision=30):
    value = write(Pairing(owner=owner, epoch=5, void=void, copy=copy))
    item = Item(key="k", value=value, create_revision=1, mod_revision=revision)
    return learned(View(key=KEY), item, me, inc=inc)


SPARES = Here(spare=3)
OWN = Here(own=3)
AWAY = seats(("b", "T"), gone=[("a", "S")])
AFTER = GONE_MS + moves.ADOPTION_DELAY_MS


class TestAdoption:
    @pytest.mark.parametrize(("now_ms", "move"), [(AFTER - 1, Move.NOTHING), (AFTER, Move.ADOPT)])
    def test_after_the_delay(self, now_ms, move):
        assert decide(view(B, "a"), SPARES, scene(B, AWAY, now_ms=now_ms)) is move

    def test_the_delay_counts_from_the_later_of_two_moments(self):
        began_ms = GONE_MS + 4_000
        early = scene(B, AWAY, now_ms=AFTER + 3_999, began_ms=began_ms)
        assert decide(view(B, "a"), SPARES, early) is Move.NOTHING
        assert decide(view(B, "a"), SPARES, replace(early, now_ms=AFTER + 4_000)) is Move.ADOPT

    def test_an_operators_word_replaces_the_delay(self):
        dead = scene(B, AWAY, now_ms=GONE_MS, dead=frozenset({"a"}))
        assert decide(view(B, "a"), SPARES, dead) is Move.ADOPT

    def test_but_not_what_is_seen_of_the_owner(self):
        there = scene(B, seats(("a", "S"), ("b", "T")), now_ms=AFTER, dead=frozenset({"a"}))
        assert decide(view(B, "a"), SPARES, there) is Move.NOTHING

    def test_a_pause_forbids_it_whoever_is_dead(self):
        paused = scene(B, AWAY, now_ms=AFTER, paused=True, dead=frozenset({"a"}))
        assert decide(view(B, "a"), SPARES, paused) is Move.NOTHING

    def test_from_a_node_that_is_back_with_another_disk(self):
        back = seats(("b", "T"), ("a", "new"), gone=[("a", "S")])
        back.feed(Seen(changes=(_join("a", "new"),), revision=60), GONE_MS + 1)
        assert decide(view(B, "a"), SPARES, scene(B, back, now_ms=AFTER)) is Move.ADOPT

    @pytest.mark.parametrize("there", [("a", "S"), ("a", ""), ("d", "S")])
    def test_never_while_somebody_is_there_who_has_or_may_have_the_spool(self, there):
        found = seats(("b", "T"), there)
        assert decide(view(B, "a"), SPARES, scene(B, found, now_ms=10**9)) is Move.NOTHING

    def test_never_what_is_void(self):
        assert decide(view(B, "a", void=True), SPARES, scene(B, AWAY, now_ms=AFTER)) is Move.NOTHING

    def test_nothing_where_there_is_nothing_to_take(self):
        assert decide(view(B, "a"), Here(), scene(B, AWAY, now_ms=AFTER)) is Move.NOTHING

    def test_a_new_disk_adopts_nothing_of_the_old_ones(self):
        new = Me(node="b", spool="new")
        assert decide(view(new, "a"), SPARES, scene(new, AWAY, now_ms=AFTER)) is Move.NOTHING

    def test_the_spools_own_node_takes_back_from_a_shadow_that_is_gone(self):
        away = seats(("a", "S"), gone=[("b", "T")])
        assert decide(view(A, "b"), SPARES, scene(A, away, now_ms=AFTER)) is Move.ADOPT


@pytest.mark.parametrize("state", State)
def test_without_a_live_session_or_an_open_spool_nothing_is_done(state):
    found = replace(view(A, "a"), state=state)
    ended = Scene(me=A, session=session(), now_ms=10**9, seats=AWAY)
    assert decide(found, OWN, ended) is Move.NOTHING
    assert decide(found, OWN, scene(A, AWAY, now_ms=AFTER, opened=False)) is Move.NOTHING


@pytest.mark.parametrize("state", [State.UNCLAIMED, State.LEAVING])
def test_what_may_be_mine_is_claimed(state):
    assert decide(replace(view(A, "a"), state=state), OWN, scene(A, AWAY, now_ms=AFTER)) is Move.CLAIM


class TestVoid:
    gone = seats(("a", "S"), gone=[("b", "T")])
    late = GONE_MS + moves.REPROTECT_DELAY_MS

    def decided(self, here=OWN, now_ms=late, me=A, owner="a", members=gone, **about):
        about = {"elsewhere": True} | about
        return decide(view(me, owner), here, scene(me, members, now_ms=now_ms, **about))

    def test_when_the_shadow_stays_away(self):
        assert self.decided() is Move.VOID
        assert self.decided(now_ms=self.late - 1) is Move.NOTHING

    def test_only_if_copying_can_begin_and_there_is_something_to_copy(self):
        assert self.decided(elsewhere=False) is Move.NOTHING
        assert self.decided(here=Here()) is Move.NOTHING

    def test_later_also_alone_if_rows_wait_for_its_word(self):
        later = GONE_MS + moves.ALONE_DELAY_MS
        asking = Here(own=3, asking=1)
        assert self.decided(asking, elsewhere=False, now_ms=later) is Move.VOID
        assert self.decided(asking, elsewhere=False, now_ms=later - 1) is Move.NOTHING
        assert self.decided(elsewhere=False, now_ms=later) is Move.NOTHING

    def test_at_once_when_the_shadow_has_another_disk(self):
        wiped = seats(("a", "S"), ("b", "new"))
        assert self.decided(members=wiped, now_ms=2_000, elsewhere=False, here=Here()) is Move.VOID

    def test_not_while_the_shadow_is_there(self):
        assert self.decided(members=seats(("a", "S"), ("b", "T")), now_ms=10**9) is Move.NOTHING

    def test_what_was_adopted_moves_on_as_soon_as_it_can(self):
        both = seats(("a", "S"), ("b", "T"))
        assert self.decided(me=B, owner="b", members=both, now_ms=2_000) is Move.VOID
        assert self.decided(me=B, owner="b", members=both, now_ms=2_000, elsewhere=False) is Move.NOTHING


class TestGive:
    both = seats(("a", "S"), ("b", "T"))

    @pytest.mark.parametrize(
        ("here", "move"),
        [
            (OWN, Move.GIVE),
            (Here(own=3, moving=1), Move.NOTHING),
            (Here(own=3, unconfirmed=1), Move.NOTHING),
            (Here(), Move.NOTHING),
        ],
    )
    def test_only_when_nothing_is_under_way_and_the_heir_has_it_all(self, here, move):
        assert decide(view(A, "a"), here, scene(A, self.both, now_ms=2_000, leaving=True)) is move

    def test_not_unless_asked_and_not_to_somebody_away(self):
        assert decide(view(A, "a"), OWN, scene(A, self.both, now_ms=2_000)) is Move.NOTHING
        away = seats(("a", "S"), gone=[("b", "T")])
        assert decide(view(A, "a"), OWN, scene(A, away, now_ms=GONE_MS, leaving=True)) is Move.NOTHING

    @pytest.mark.parametrize("void", [False, True])
    def test_a_shadow_gives_the_key_back_when_none_of_its_rows_is_left(self, void):
        found = view(B, "b", void=void)
        wanted = Here(wanted=True)
        assert decide(found, wanted, scene(B, self.both, now_ms=2_000)) is Move.GIVE
        assert decide(found, Here(), scene(B, self.both, now_ms=2_000)) is Move.NOTHING
        assert decide(found, replace(wanted, own=1), scene(B, self.both, now_ms=2_000)) is Move.NOTHING
        assert decide(found, replace(wanted, moving=1), scene(B, self.both, now_ms=2_000)) is Move.NOTHING
        assert decide(found, OWN, scene(B, self.both, now_ms=2_000)) is Move.NOTHING
        assert decide(found, wanted, scene(B, AWAY, now_ms=2_000)) is Move.NOTHING

    @pytest.mark.parametrize(("here", "asks"), [(Here(), True), (SPARES, False), (OWN, False)])
    def test_it_is_asked_for_only_when_nothing_waits_for_the_shadows_word(self, here, asks):
        now = scene(A, self.both, now_ms=2_000)
        assert moves.may_ask_back(view(A, "b"), here, now) is asks
        assert not moves.may_ask_back(view(A, "a"), here, now)
        assert not moves.may_ask_back(view(B, "a"), here, scene(B, self.both, now_ms=2_000))

    def test_back_to_the_spools_own_node(self):
        assert decide(view(B, "b"), OWN, scene(B, self.both, now_ms=2_000, leaving=True)) is Move.GIVE


class TestPair:
    both = seats(("a", "S"), ("b", "T"))

    def allowed(self, found, here=None, shadow=None):
        shadow = shadow or Seat(node="b", inc=2, spool="T")
        return may_pair(found, here or Here(), shadow, scene(A, self.both, now_ms=2_000))

    def test_under_a_key_that_is_absent_or_void(self):
        assert self.allowed(View(key=KEY))
        assert self.allowed(view(A, "a", void=True), here=OWN)
        assert not self.allowed(view(A, "a"))

    @pytest.mark.parametrize("void", [False, True])
    def test_never_over_what_the_shadow_owns(self, void):
        assert not self.allowed(view(A, "b", void=void))

    def test_unless_its_disk_is_gone_for_good_and_nothing_can_be_taken_back(self):
        new = Seat(node="b", inc=2, spool="new")
        assert self.allowed(view(A, "b", void=True), here=SPARES, shadow=new)
        assert self.allowed(view(A, "b"), shadow=new)
        assert not self.allowed(view(A, "b"), here=SPARES, shadow=new)

    @pytest.mark.parametrize(
        "shadow", [Seat(node="a", inc=1, spool="S"), Seat(node="b", inc=1, spool="S"), Seat(node="b", inc=1)]
    )
    def test_never_with_oneself_the_same_disk_or_one_that_is_not_known(self, shadow):
        assert not self.allowed(View(key=KEY), shadow=shadow)

    @pytest.mark.parametrize("state", [State.STRANGE, State.UNCLAIMED, State.LEAVING])
    def test_never_over_what_is_not_settled(self, state):
        assert not self.allowed(replace(view(A, "a"), state=state))
