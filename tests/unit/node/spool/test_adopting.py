"""As what a message is taken over: every state its owner may have told, every class, with and without intent."""

import msgspec
import pytest

from node.policy.envelope import FINAL_STATES, OnUnknown, RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.spool.adopting import entries_of, lines_of, take_over
from node.spool.contract import Accepted
from node.spool.errors import WrongRequest
from node.spool.journal import arrival_of
from node.spool.paired import Progress, Standing
from node.spool.rows import facts_of
from node.spool.work import CopyState, Work
from tests.support.spool_mail import BODY, T0, accepted, message

S = RecipientState
NOW = T0 + 60_000
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
NONE = frozenset()


def standing(made, progress=(), lines=(), pairing=0):
    return Standing(
        message=made, facts=facts_of(made), size_bytes=len(BODY), pairing=pairing, confirmed=False, moving=False,
        progress=progress, lines=lines,
    )  # fmt: skip


def expected(state, on_unknown, sent):
    """The table: what the adopter makes of what was told."""
    if state in FINAL_STATES or state is S.HELD:
        return state
    if state is S.IN_FLIGHT and not sent:
        return S.QUEUED
    if state in (S.IN_FLIGHT, S.UNKNOWN) or sent:
        return S.QUEUED if on_unknown is OnUnknown.RESEND else S.UNKNOWN
    return state


@pytest.mark.parametrize("dot", [False, True], ids=["no intent", "intent"])
@pytest.mark.parametrize("on_unknown", OnUnknown)
@pytest.mark.parametrize("state", RecipientState)
def test_every_state(state, on_unknown, dot):
    made = message(on_unknown=on_unknown, to=("a@x.example", "b@x.example"))
    told = Progress(
        index=0, state=state, attempts=3, next_attempt_ms=T0 + 9, reason="busy", reply="450", way="p:a",
        traceparent=TRACE,
    )  # fmt: skip
    as_told, sent = standing(made, (told,)), frozenset({0}) if dot else NONE
    first, second = entries_of(as_told, sent, NOW)
    assert first.state is expected(state, on_unknown, dot)
    assert (second.state, second.due_ms) == (S.QUEUED, T0)
    assert (first.attempts, first.reply, first.way, first.trace) == (3, "450", "p:a", TRACE)
    unchanged = first.state is state and not (dot and state in WAITING_STATES) and state is not S.UNKNOWN
    if unchanged and state in WAITING_STATES:
        assert first.due_ms == T0 + 9
    assert (first.due_ms is not None) is (first.state in WAITING_STATES)
    events = [line.event for line in lines_of(as_told, (first, second), sent, "relay-a", NOW)]
    if unchanged:
        assert (first.reason, events) == ("busy", ["adopted"])
    else:
        again = first.state is S.QUEUED
        assert (first.reason, events) == ("interrupted", ["adopted", "unknown", *(["resent"] if again else [])])
        assert not again or first.due_ms == NOW


def test_held_by_its_plan_stays_held_and_released_stays_released():
    made = message(held=True, to=("a@x.example", "b@x.example"))
    first, second = entries_of(standing(made, (Progress(index=1, state=S.QUEUED),)), NONE, NOW)
    assert (first.state, first.due_ms, second.state) == (S.HELD, None, S.QUEUED)


def test_what_was_told_of_recipients_that_are_not_there_counts_for_nothing():
    told = standing(message(), (Progress(index=7, state=S.DELIVERED),))
    (only,) = entries_of(told, frozenset({9}), NOW)
    assert only.state is S.QUEUED


def take(made, work, *, progress=(), pairing=0):
    told = standing(made, progress)
    arrival = arrival_of(Accepted(message=made, body=BODY, pairing=pairing), len(BODY))
    take_over(arrival, entries_of(told, NONE, NOW), (), NOW, work)


def test_a_message_that_is_here_is_not_taken_twice():
    made, work = message(), Work(next_seq=1)
    take(made, work)
    with pytest.raises(WrongRequest, match="already"):
        take(made, work)


def test_a_message_without_recipients_is_never_taken():
    made = msgspec.structs.replace(message(), recipients=())
    with pytest.raises(WrongRequest, match="0 recipients"):
        take_over(
            arrival_of(accepted(made), 1), entries_of(standing(made), NONE, NOW), (), NOW, Work(next_seq=1)
        )  # fmt: skip


@pytest.mark.parametrize("pairs", [None, frozenset(), frozenset({1})])
def test_a_number_nobody_was_given_is_a_mistake(pairs):
    work = Work(next_seq=1, pairs=pairs)
    with pytest.raises(WrongRequest, match="number 2"):
        take(message(), work, pairing=2)
    assert not work.changed()


def test_it_is_attached_and_unconfirmed_or_settled_and_to_be_told():
    work = Work(next_seq=1, pairs=frozenset({2}))
    live, past = message(), message()
    take(live, work, pairing=2)
    take(past, work, progress=(Progress(index=0, state=S.DELIVERED),), pairing=2)
    found = [(work.records[each.id].pairing, work.records[each.id].copy) for each in (live, past)]
    assert found == [(2, CopyState.UNCONFIRMED), (2, CopyState.SETTLED)]


@pytest.mark.parametrize(("attempts", "due_ms"), [(0, NOW), (1, NOW + 50_000)])
def test_what_was_put_off_without_an_answer_is_tried_at_once(attempts, due_ms):
    """An account parked there, a connection that failed there: nothing that holds here too."""
    told = Progress(
        index=0, state=S.DEFERRED, attempts=attempts, next_attempt_ms=NOW + 50_000, reason="connection", reply="450"
    )
    (entry,) = entries_of(standing(message(), (told,)), NONE, NOW)
    assert (entry.state, entry.due_ms) == (S.DEFERRED, due_ms)
