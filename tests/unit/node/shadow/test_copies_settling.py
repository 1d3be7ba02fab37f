"""As what a copied message is taken over: every state its owner may have told, every class, with and without intent."""

import msgspec
import pytest

from node.policy.envelope import FINAL_STATES, OnUnknown, RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.shadow.contract import KeptCopy
from node.shadow.entries import Intent, Lines, Outcome, Progress
from node.shadow.settling import entries_of, lines_of, take_over
from node.shadow.telling import fold
from node.spool.contract import JourneyLine
from node.spool.errors import WrongRequest
from node.spool.journal import arrival_of
from node.spool.rows import facts_of
from node.spool.work import Work
from tests.support.spool_mail import BODY, T0, accepted, message

S = RecipientState
NOW = T0 + 60_000
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def kept(made, progress=(), intents=(), lines=()):
    return KeptCopy(
        message_id=made.id, facts=facts_of(made), size_bytes=len(BODY), progress=progress, intents=intents, lines=lines
    )


def intent(*indexes, attempt="a1"):
    return Intent(message_id="m", attempt_id=attempt, indexes=indexes, dot_ms=T0 + 5)


def expected(state, on_unknown, sent):
    """The table: what the adopter makes of what was told."""
    if state in FINAL_STATES or state is S.HELD:
        return state
    if state is S.IN_FLIGHT and not sent:
        return S.QUEUED
    if state in (S.IN_FLIGHT, S.UNKNOWN) or sent:
        return S.QUEUED if on_unknown is OnUnknown.RESEND else S.UNKNOWN
    return state


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("on_unknown", OnUnknown)
@pytest.mark.parametrize("state", RecipientState)
def test_every_state(state, on_unknown, sent):
    made = message(on_unknown=on_unknown, to=("a@x.example", "b@x.example"))
    told = Progress(
        index=0, state=state, attempts=3, next_attempt_ms=T0 + 9, reason="busy", reply="450", way="p:a",
        traceparent=TRACE,
    )  # fmt: skip
    copy = kept(made, (told,), (intent(0),) if sent else ())
    first, second = entries_of(made, copy, NOW)
    assert first.state is expected(state, on_unknown, sent)
    assert (second.state, second.due_ms) == (S.QUEUED, T0)
    assert (first.attempts, first.reply, first.way, first.trace) == (3, "450", "p:a", TRACE)
    unchanged = first.state is state and not (sent and state in WAITING_STATES) and state is not S.UNKNOWN
    if unchanged and state in WAITING_STATES:
        assert first.due_ms == T0 + 9
    assert (first.due_ms is not None) is (first.state in WAITING_STATES)
    events = [line.event for line in lines_of(copy, (first, second), "relay-a", NOW)]
    if unchanged:
        assert (first.reason, events) == ("busy", ["adopted"])
    else:
        again = first.state is S.QUEUED
        assert (first.reason, events) == ("interrupted", ["adopted", "unknown", *(["resent"] if again else [])])
        assert not again or first.due_ms == NOW


def test_held_by_its_plan_stays_held_and_released_stays_released():
    made = message(held=True, to=("a@x.example", "b@x.example"))
    first, second = entries_of(made, kept(made, (Progress(index=1, state=S.QUEUED),)), NOW)
    assert (first.state, first.due_ms, second.state) == (S.HELD, None, S.QUEUED)


def test_what_was_told_of_recipients_that_are_not_there_counts_for_nothing():
    made = message()
    (only,) = entries_of(made, kept(made, (Progress(index=7, state=S.DELIVERED),), (intent(9),)), NOW)
    assert only.state is S.QUEUED


def test_a_message_that_is_here_is_not_taken_twice():
    made, work = message(), Work(next_seq=1)
    arrival, entries = arrival_of(accepted(made), len(BODY)), entries_of(made, kept(made), NOW)
    take_over(arrival, entries, (), NOW, work)
    with pytest.raises(WrongRequest, match="already"):
        take_over(arrival, entries, (), NOW, work)


def test_a_message_without_recipients_is_never_taken():
    made = msgspec.structs.replace(message(), recipients=())
    with pytest.raises(WrongRequest, match="0 recipients"):
        take_over(arrival_of(accepted(made), 1), entries_of(made, kept(made), NOW), (), NOW, Work(next_seq=1))


def test_words_are_put_together_in_order():
    line = JourneyLine(at_ms=T0, event="deferred")
    told = [
        intent(0, attempt="a1"),
        Outcome(message_id="m", attempt_id="a1", progress=(Progress(index=0, state=S.DEFERRED),)),
        Lines(message_id="m", lines=(line,)),
        intent(0, 1, attempt="a2"),
        Outcome(message_id="m", attempt_id="", progress=(Progress(index=1, state=S.HELD),)),
        Lines(message_id="m", lines=(line,)),
    ]
    progress, intents, lines = fold((Progress(index=2, state=S.DELIVERED),), told)
    assert [(each.index, each.state) for each in progress] == [(0, S.DEFERRED), (1, S.HELD), (2, S.DELIVERED)]
    assert [each.attempt_id for each in intents] == ["a2"]
    assert lines == (line, line)
