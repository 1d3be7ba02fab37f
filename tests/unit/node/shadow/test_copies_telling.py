"""What was told of a message is put together in the order it was told."""

from node.policy.envelope import RecipientState
from node.shadow.entries import Intent, Lines, Outcome, Progress
from node.shadow.telling import fold
from node.spool.contract import JourneyLine
from tests.support.spool_mail import T0

S = RecipientState


def intent(*indexes, attempt="a1"):
    return Intent(message_id="m", attempt_id=attempt, indexes=indexes, dot_ms=T0 + 5)


def test_words_are_put_together_in_order():
    line, held = JourneyLine(at_ms=T0, event="deferred"), JourneyLine(at_ms=T0, event="held")
    told = [
        intent(0, attempt="a1"),
        Outcome(message_id="m", attempt_id="a1", progress=(Progress(index=0, state=S.DEFERRED),)),
        Lines(message_id="m", lines=(line,)),
        intent(0, 1, attempt="a2"),
        Outcome(message_id="m", attempt_id="", progress=(Progress(index=1, state=S.HELD),)),
        Lines(message_id="m", lines=(line, held)),
    ]
    progress, intents, lines = fold((Progress(index=2, state=S.DELIVERED),), told)
    assert [(each.index, each.state) for each in progress] == [(0, S.DEFERRED), (1, S.HELD), (2, S.DELIVERED)]
    assert [each.attempt_id for each in intents] == ["a2"]
    assert lines == (line, held)
