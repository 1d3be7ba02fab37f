"""Rows: what may be attempted, and what becomes of them at a change of owner; marks, answers, copies."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.ownership import answers, rows
from coordinator.ownership.answers import Answer, Mark
from coordinator.ownership.records import Pairing, PairKey, write
from coordinator.ownership.rows import Attached, Kind, OnUnknown, Resolution, Row, Stage
from coordinator.ownership.views import Me, State, View, learned, leaving
from coordinator.store.contract import Item

KEY = PairKey(spool="S", shadow="b")
A, B = Me(node="a", spool="S"), Me(node="b", spool="T")
HERE = Attached(key=KEY, epoch=5)


def view(me=A, owner="a", *, void=False, epoch=5, revision=30, inc=9):
    value = write(Pairing(owner=owner, epoch=epoch, void=void, copy="T"))
    item = Item(key="k", value=value, create_revision=1, mod_revision=revision)
    return learned(View(key=KEY), item, me, inc=inc)


HELD, VOID, GIVEN = view(), view(void=True), view(owner="b")
KINDS, STAGES, POLICIES = st.sampled_from(Kind), st.sampled_from(Stage), st.sampled_from(OnUnknown)
EPOCHS = st.sampled_from([None, 4, 5, 6])
STATES = st.sampled_from(State)


@given(KINDS, STAGES, EPOCHS, STATES, st.booleans(), st.booleans())
def test_only_own_rows_of_a_live_session_are_attempted(kind, stage, epoch, state, known, live):
    """The whole predicate against its own words: kind own, live, waiting; no pairing, or it names me in this epoch."""
    attached = None if epoch is None else Attached(key=KEY, epoch=epoch)
    row = Row(kind=kind, stage=stage, attached=attached)
    seen = replace(HELD, state=state) if known else None
    replaced = seen is not None and epoch is not None and epoch < 5 and state is not State.STRANGE
    names_me = seen is not None and epoch == 5 and state in {State.HELD, State.VOID}
    expected = live and kind is Kind.OWN and stage is Stage.WAITING and (epoch is None or replaced or names_me)
    assert rows.may_attempt(row, seen, A, live=live) is expected


def test_the_shadow_owns_no_row_of_an_epoch_that_was_replaced():
    row = Row(attached=Attached(key=KEY, epoch=4))
    assert rows.may_attempt(row, HELD, A, live=True)
    assert not rows.may_attempt(row, view(B, "b"), B, live=True)


@pytest.mark.parametrize("policy", OnUnknown)
@pytest.mark.parametrize("seen", [HELD, VOID, None])
def test_the_intent_is_there_first_unless_it_is_repeated_anyway(policy, seen):
    row = Row(stage=Stage.SENT, on_unknown=policy, attached=None if seen is None else HERE)
    asks = policy is not OnUnknown.REPEAT and seen is HELD
    assert rows.asks_first(row, seen) is asks
    assert rows.may_send(row, seen, A, live=True, intent_there=False) is not asks
    assert rows.may_send(row, seen, A, live=True, intent_there=True)
    assert not rows.may_send(row, seen, A, live=False, intent_there=True)
    assert not rows.may_send(replace(row, stage=Stage.WAITING), seen, A, live=True, intent_there=True)


class TestAligned:
    """The local half of adoption, hand-over and return."""

    @pytest.mark.parametrize(("intent", "stage"), [(False, Stage.WAITING), (True, Stage.UNKNOWN)])
    @pytest.mark.parametrize("kind", [Kind.SHADOW, Kind.GIVEN])
    def test_a_spare_becomes_my_own_unprotected_row(self, kind, intent, stage):
        row = Row(kind=kind, attached=HERE, intent=intent, confirmed=True)
        after = rows.aligned(row, HELD, A)
        assert (after.kind, after.stage, after.confirmed) == (Kind.OWN, stage, False)

    @pytest.mark.parametrize("epoch", [4, 6])
    def test_never_one_of_another_epoch(self, epoch):
        row = Row(kind=Kind.SHADOW, attached=Attached(key=KEY, epoch=epoch))
        assert rows.aligned(row, view(B, "b"), B) is row

    def test_what_is_no_longer_mine_is_kept_as_a_spare(self):
        row = Row(attached=HERE, confirmed=True)
        assert rows.aligned(row, GIVEN, A).kind is Kind.GIVEN
        assert rows.aligned(row, view(B, "a"), B).kind is Kind.SHADOW
        assert rows.aligned(replace(row, stage=Stage.SENT), GIVEN, A).stage is Stage.UNKNOWN

    def test_what_is_void_counts_as_unprotected(self):
        assert not rows.aligned(Row(attached=HERE, confirmed=True), VOID, A).confirmed

    @pytest.mark.parametrize("state", [State.UNCLAIMED, State.LEAVING, State.STRANGE, State.UNPAIRED])
    @pytest.mark.parametrize("kind", Kind)
    def test_nothing_changes_while_nothing_is_certain(self, state, kind):
        row = Row(kind=kind, attached=HERE)
        assert rows.aligned(row, replace(HELD, state=state), A) is row

    @given(KINDS, STAGES, st.booleans(), st.booleans(), STATES)
    def test_done_again_after_a_crash_it_changes_nothing_more(self, kind, stage, intent, confirmed, state):
        seen = replace(HELD, state=state)
        once = rows.aligned(Row(kind=kind, stage=stage, intent=intent, confirmed=confirmed, attached=HERE), seen, A)
        assert rows.aligned(once, seen, A) == once
        if seen.state is State.HELD:
            assert once.kind is Kind.OWN

    def test_a_void_pairing_given_back_brings_nothing(self):
        spare = Row(kind=Kind.GIVEN, attached=HERE)
        assert rows.aligned(spare, VOID, A) is spare


def test_a_dead_process_leaves_what_was_sent_unknown():
    assert rows.restarted(Row(stage=Stage.SENT)).stage is Stage.UNKNOWN
    assert rows.restarted(Row()).stage is Stage.WAITING


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (OnUnknown.REPEAT, Resolution.AGAIN),
        (OnUnknown.REPORT, Resolution.REPORT),
        (OnUnknown.VERIFY, Resolution.HOLD),
    ],
)
def test_the_owner_alone_settles_what_is_unknown(policy, found):
    row = Row(stage=Stage.UNKNOWN, on_unknown=policy, attached=HERE)
    assert rows.resolution(row, HELD, A, live=True) is found
    assert rows.resolution(row, GIVEN, A, live=True) is None
    assert rows.resolution(row, HELD, A, live=False) is None
    assert rows.resolution(replace(row, stage=Stage.SENT), HELD, A, live=True) is None


def test_a_row_moves_to_another_pairing_only_when_nobody_can_adopt_it_by_the_old_one():
    to = replace(HELD, key=PairKey(spool="S", shadow="c"))
    assert rows.may_attach(Row(), None, A, to=to)
    assert rows.may_attach(Row(attached=HERE), VOID, A, to=to)
    assert rows.may_attach(Row(attached=Attached(key=KEY, epoch=4)), HELD, A, to=to)
    assert not rows.may_attach(Row(attached=HERE), HELD, A, to=to)
    assert not rows.may_attach(Row(attached=HERE), GIVEN, A, to=to)
    assert not rows.may_attach(Row(kind=Kind.SHADOW, attached=HERE), VOID, A, to=to)
    assert not rows.may_attach(Row(stage=Stage.SENT), None, A, to=to)
    assert not rows.may_attach(Row(), None, A, to=replace(to, state=State.UNCLAIMED))


@pytest.mark.parametrize(
    ("seen", "counts"),
    [(HELD, True), (GIVEN, True), (VOID, False), (leaving(HELD), False), (None, False), (view(epoch=6), False)],
)
def test_the_other_ends_word_counts_only_while_nothing_makes_it_void(seen, counts):
    assert rows.kept_twice(Row(attached=HERE), seen) is counts


class TestMarks:
    def test_an_intent_and_then_its_end(self):
        shadow = answers.marked(Row(kind=Kind.SHADOW), Mark(attempt=1, by="a", intent=True))
        assert shadow.intent
        assert not answers.marked(shadow, Mark(attempt=1, by="a", intent=False)).intent

    def test_the_end_told_before_the_intent_stays(self):
        ended = answers.marked(Row(kind=Kind.SHADOW), Mark(attempt=1, by="a", intent=False))
        assert answers.marked(ended, Mark(attempt=1, by="a", intent=True)) == ended

    def test_an_adopter_that_learns_that_it_was_not_done_may_attempt(self):
        unknown = Row(stage=Stage.UNKNOWN, attempt=1, by="a", intent=True)
        assert answers.marked(unknown, Mark(attempt=1, by="a", intent=False)).stage is Stage.WAITING

    def test_and_one_that_learns_of_an_intent_may_not(self):
        assert answers.marked(Row(), Mark(attempt=1, by="a", intent=True)).stage is Stage.UNKNOWN

    def test_no_word_of_the_others_attempts_changes_what_is_known_of_my_own(self):
        sent = Row(stage=Stage.SENT, attempt=1, by="b", intent=True)
        for intent in (True, False):
            assert answers.marked(sent, Mark(attempt=1, by="a", intent=intent)) is sent

    @given(st.permutations([Mark(attempt=n, by="a", intent=i) for n in (1, 2, 3) for i in (True, False)]))
    def test_a_spare_ends_alike_whatever_the_order(self, marks):
        row = Row(kind=Kind.SHADOW)
        for mark in marks:
            row = answers.marked(row, mark)
        assert answers.mark_of(row) == Mark(attempt=3, by="a", intent=False)


def said(row, seen, *, epoch=5, settled=False, live=True):
    return answers.answer(row, seen, epoch=epoch, settled=settled, live=live)


class TestAnswers:
    """Knowledge drops, ignorance copies."""

    def test_what_is_settled_is_dropped_whoever_asks(self):
        for seen in (HELD, VOID, GIVEN, None):
            assert said(None, seen, settled=True, live=False) is Answer.SETTLED

    def test_what_is_here_under_the_same_epoch_is_kept(self):
        assert said(Row(attached=HERE), HELD) is Answer.KEEP

    def test_what_is_not_known_is_asked_for(self):
        assert said(None, HELD) is Answer.SEND
        assert said(None, VOID) is Answer.SEND

    def test_a_void_ones_copy_is_dropped_only_when_it_is_kept_twice_elsewhere(self):
        elsewhere = Attached(key=PairKey(spool="S", shadow="c"), epoch=8)
        assert said(Row(attached=HERE), VOID) is Answer.WAIT
        assert said(Row(attached=elsewhere), VOID) is Answer.WAIT
        assert said(Row(attached=elsewhere, confirmed=True), VOID) is Answer.ELSEWHERE

    @pytest.mark.parametrize("seen", [GIVEN, None, leaving(HELD), replace(HELD, state=State.UNCLAIMED)])
    def test_only_its_owner_knows(self, seen):
        assert said(None, seen) is Answer.WAIT
        assert said(Row(attached=HERE), seen) is Answer.WAIT
        assert said(None, HELD, live=False) is Answer.WAIT


class TestBrought:
    def test_a_row_not_known_becomes_its_owners(self):
        row = Row(kind=Kind.SHADOW, attached=HERE, intent=True)
        found = answers.brought(row, HELD, A)
        assert (found.kind, found.stage, found.confirmed) == (Kind.OWN, Stage.UNKNOWN, True)
        assert not answers.brought(row, VOID, A).confirmed

    def test_one_of_an_epoch_that_was_replaced_comes_in_alone(self):
        row = Row(kind=Kind.SHADOW, attached=Attached(key=KEY, epoch=4))
        assert answers.brought(row, HELD, A).attached is None
        assert answers.brought(row, view(B, "b"), B) is None

    def test_nobody_elses(self):
        assert answers.brought(Row(attached=HERE), GIVEN, A) is None


class TestReceived:
    sent = Row(attached=HERE)

    def received(self, seen, *, row=sent, copy="T"):
        return answers.received(row, seen, B, copy=copy)

    def test_a_copy_is_a_shadow(self):
        assert self.received(view(B, "a")).kind is Kind.SHADOW
        assert self.received(None).kind is Kind.SHADOW, "its key may not have been heard of yet"
        assert self.received(view(B, "a", epoch=4)).kind is Kind.SHADOW

    def test_one_that_comes_after_the_adoption_is_the_adopters(self):
        found = self.received(view(B, "b"))
        assert (found.kind, found.confirmed) == (Kind.OWN, True)

    @pytest.mark.parametrize(
        "seen", [view(B, "b", void=True), view(B, "a", void=True), view(B, "a", epoch=6), leaving(view(B, "b"))]
    )
    def test_refused_where_nobody_would_ever_adopt_it(self, seen):
        assert self.received(seen) is None

    def test_refused_when_meant_for_another_disk(self):
        assert self.received(None, copy="the disk before") is None
