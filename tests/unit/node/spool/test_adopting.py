"""As what a message is taken over: every state its owner may have told, every class, with and without intent."""

import msgspec
import pytest

from node.policy.envelope import FINAL_STATES, OnUnknown, RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.policy.verdict import Scope
from node.spool.adopting import entries_of, lines_of, take_over
from node.spool.contract import Accepted, JourneyLine
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


LATER = NOW + 50_000


def put_off(event, scope="", index=0, **detail):
    return JourneyLine(at_ms=T0, event=event, indexes=(index,), detail=detail | ({"scope": scope} if scope else {}))


def due_of(attempts, lines):
    told = Progress(
        index=0, state=S.DEFERRED, attempts=attempts, next_attempt_ms=LATER, reason="path_broken", reply="450"
    )
    (entry,) = entries_of(standing(message(), (told,), lines), NONE, NOW)
    assert (entry.state, entry.attempts) == (S.DEFERRED, attempts)
    return entry.due_ms


@pytest.mark.parametrize("scope", Scope)
def test_what_the_upstream_said_of_the_mail_keeps_its_time_what_it_said_of_the_way_does_not(scope):
    of_the_mail = scope in (Scope.RECIPIENT, Scope.MESSAGE, Scope.ACCOUNT_FROM)
    assert due_of(3, (put_off("deferred", scope.value),)) == (LATER if of_the_mail else NOW)


@pytest.mark.parametrize("reason", ["path_broken", "no_permit", "no_slot", "parked", "connection"])
def test_what_was_put_off_there_is_tried_at_once_also_after_an_answer_of_the_upstream(reason):
    """A path broken there, an account parked there, a connection that failed there: nothing that holds here too."""
    lines = (put_off("deferred", "recipient"), put_off("claimed"), put_off("postponed", reason=reason))
    assert due_of(3, lines) == NOW
    assert due_of(0, lines[2:]) == NOW


def test_the_last_step_that_put_it_off_counts():
    assert due_of(3, (put_off("postponed"), put_off("claimed"), put_off("deferred", "message"))) == LATER


def test_what_put_off_another_recipient_says_nothing():
    assert due_of(3, (put_off("deferred", "recipient"), put_off("postponed", index=1))) == LATER


@pytest.mark.parametrize(("attempts", "due_ms"), [(0, NOW), (1, LATER)])
def test_where_no_step_is_known_what_was_tried_keeps_its_time(attempts, due_ms):
    assert due_of(attempts, ()) == due_ms


def test_what_is_due_already_keeps_its_place():
    told = Progress(index=0, state=S.DEFERRED, attempts=1, next_attempt_ms=T0 + 3)
    (entry,) = entries_of(standing(message(), (told,), (put_off("postponed"),)), NONE, NOW)
    assert entry.due_ms == T0 + 3
