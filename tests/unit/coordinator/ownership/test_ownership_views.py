"""One pairing as its two ends see it: every state meets every piece of news; revisions and sessions decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.ownership.records import Pairing, PairKey, write
from coordinator.ownership.views import (
    TABLE,
    End,
    Me,
    News,
    State,
    View,
    began,
    end_of,
    ended,
    learned,
    leaving,
    may_copy,
    mine,
    not_left,
    step,
    written,
)
from coordinator.session import IllegalMove
from coordinator.store.contract import Item

KEY = PairKey(spool="S", shadow="b")
A, B, C = Me(node="a", spool="S"), Me(node="b", spool="T"), Me(node="c", spool="U")
SAYS = {
    News.ABSENT: State.UNPAIRED,
    News.OLD: State.UNCLAIMED,
    News.MINE: State.HELD,
    News.MINE_VOID: State.VOID,
    News.THEIRS: State.SPARE,
    News.THEIRS_VOID: State.SPARE_VOID,
    News.STRANGE: State.STRANGE,
}
LOSES = {State.HELD, State.VOID, State.LEAVING}


def expected(state, news):
    if news in SAYS:
        return SAYS[news]
    if news is News.LEAVE:
        return State.LEAVING if state in {State.HELD, State.VOID} else None
    return State.UNCLAIMED if state in LOSES else state


@pytest.mark.parametrize("news", News)
@pytest.mark.parametrize("state", State)
def test_every_state_meets_every_piece_of_news(state, news):
    after = expected(state, news)
    if after is None:
        with pytest.raises(IllegalMove):
            step(state, news)
        assert (state, news) not in TABLE
    else:
        assert step(state, news) is after


def item(revision, owner="a", *, epoch=5, void=False, copy="T", value=None):
    data = value if value is not None else write(Pairing(owner=owner, epoch=epoch, void=void, copy=copy))
    return Item(key="k", value=data, create_revision=1, mod_revision=revision)


def view(me, found, *, inc):
    return learned(View(key=KEY), found, me, inc=inc)


@pytest.mark.parametrize(
    ("me", "owner", "void", "state"),
    [
        (A, "a", False, State.HELD),
        (A, "a", True, State.VOID),
        (A, "b", False, State.SPARE),
        (A, "b", True, State.SPARE_VOID),
        (B, "b", False, State.HELD),
        (B, "a", False, State.SPARE),
        (B, "a", True, State.SPARE_VOID),
        (C, "a", False, State.UNPAIRED),
        (Me(node="b", spool="new disk"), "b", False, State.UNPAIRED),
        (Me(node="a", spool="new disk"), "a", False, State.UNPAIRED),
        (Me(node="d", spool="S"), "a", False, State.SPARE),
    ],
)
def test_what_the_key_means_to_each(me, owner, void, state):
    assert view(me, item(20, owner, void=void), inc=10).state is state


def test_ends():
    pairing = Pairing(owner="a", epoch=1, copy="T")
    assert end_of(KEY, pairing, A) is End.SPOOL
    assert end_of(KEY, pairing, B) is End.COPY
    assert end_of(KEY, pairing, Me(node="b", spool="other")) is End.NONE
    assert end_of(KEY, None, B) is End.NONE


def test_only_what_was_written_since_my_session_began_is_mine():
    assert view(A, item(20), inc=21).state is State.UNCLAIMED
    assert view(A, item(20), inc=0).state is State.UNCLAIMED
    held = view(A, item(20), inc=20)
    assert held.state is State.HELD
    assert began(held, A, inc=30).state is State.UNCLAIMED
    claimed = written(
        began(held, A, inc=30), write(Pairing(owner="a", epoch=5, copy="T")), A, key="k", revision=31, inc=30
    )
    assert claimed.state is State.HELD


def test_older_news_and_the_same_news_change_nothing():
    held = view(A, item(20), inc=10)
    assert learned(held, item(19, "b"), A, inc=10) is held
    assert learned(held, item(20, "b"), A, inc=10) is held


def test_a_session_that_ended_holds_nothing():
    assert ended(view(A, item(20), inc=10)).state is State.UNCLAIMED
    assert ended(view(A, item(20, void=True), inc=10)).state is State.UNCLAIMED
    assert ended(view(A, item(20, "b"), inc=10)).state is State.SPARE


class TestLeaving:
    """A transaction that gives or voids, and whose answer nobody has."""

    left = leaving(view(A, item(20), inc=10))

    def test_nothing_is_mine_meanwhile(self):
        assert self.left.state is State.LEAVING
        assert not mine(self.left)
        assert not may_copy(self.left)

    def test_reading_the_same_revision_tells_nothing(self):
        assert learned(self.left, item(20), A, inc=10).state is State.LEAVING

    def test_a_newer_revision_tells(self):
        assert learned(self.left, item(21), A, inc=10).state is State.HELD
        assert learned(self.left, item(21, "b"), A, inc=10).state is State.SPARE

    def test_a_definite_no_takes_it_back(self):
        assert not_left(self.left, A, inc=10).state is State.HELD

    def test_the_end_of_the_session_does_not_settle_it(self):
        lost = ended(self.left)
        assert lost.state is State.UNCLAIMED
        assert not may_copy(lost), "the store may still do it"

    def test_the_next_session_does(self):
        again = began(ended(self.left), A, inc=30)
        assert again.state is State.UNCLAIMED
        assert may_copy(again)

    @pytest.mark.parametrize("state", [state for state in State if state not in {State.HELD, State.VOID}])
    def test_only_what_is_mine_can_be_left(self, state):
        with pytest.raises(IllegalMove):
            leaving(View(key=KEY, state=state))


def test_what_is_not_understood_stays_so_until_a_newer_value_is():
    strange = view(A, item(20, value=b'{"form":9}'), inc=10)
    assert strange.state is State.STRANGE
    assert "newer version" in strange.fault
    assert learned(strange, item(21), A, inc=10).state is State.HELD


def test_an_epoch_that_goes_back_is_not_believed():
    held = view(A, item(20, epoch=7), inc=10)
    back = learned(held, item(21, epoch=6), A, inc=10)
    assert back.state is State.STRANGE
    assert "put back" in back.fault


def test_a_key_that_is_gone_is_not_understood():
    assert learned(View(key=KEY), None, A, inc=10).state is State.UNPAIRED
    assert learned(view(A, item(20), inc=10), None, A, inc=10).state is State.STRANGE


def test_copies_rely_on_a_pairing_also_without_a_session_unless_it_is_void():
    assert may_copy(view(A, item(20), inc=10))
    assert may_copy(ended(view(A, item(20), inc=10)))
    assert not may_copy(ended(view(A, item(20, void=True), inc=10)))
    assert not may_copy(view(A, item(20, "b"), inc=10))


OWNERS = st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 9))


@given(st.lists(st.tuples(st.integers(1, 60), OWNERS), max_size=20), st.integers(0, 60), st.randoms())
def test_the_newest_revision_decides_whatever_the_order(news, inc, shuffle):
    by_revision = {revision: item(revision, owner, void=void, epoch=5) for revision, (owner, void, _) in news}
    order = list(by_revision.values())
    shuffle.shuffle(order)
    found = View(key=KEY)
    for each in order:
        found = learned(found, each, A, inc=inc)
    if order:
        assert found.revision == max(by_revision)
        assert found.state is view(A, by_revision[found.revision], inc=inc).state
        assert not mine(found) or found.revision >= inc > 0
