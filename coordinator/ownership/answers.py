"""What the two ends of a pairing tell each other: marks of attempts, outcomes, and how their rows are compared. Pure.

One rule: *knowledge drops, ignorance copies*. A spare is dropped only on positive word that its row is settled, or
kept twice elsewhere; a row the owner does not know is sent to it. So a message lost, late or repeated costs a second
attempt at most (I5), never a row (I1).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from coordinator.ownership.rows import Kind, Row, Stage, belongs, kept_twice
from coordinator.ownership.views import End, Me, State, View, end_of, mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is told of an attempt: an intent to send, or that it came to nothing and was not done."""

    attempt: int
    by: str
    intent: bool


def mark_of(row: Row) -> Mark:
    """Give what is told of a row's last attempt."""
    return Mark(attempt=row.attempt, by=row.by, intent=row.intent)


def marked(row: Row, mark: Mark) -> Row:
    """Take a mark from the other end. The end of an attempt counts after its intent, a later attempt after both.

    An owner that found the other end's attempt unknown and learns that it was not done may attempt again, whatever
    the policy; what it knows of its own attempts no mark changes.
    """
    if mark.by != row.by and row.kind is Kind.OWN:
        return _with(row, mark) if mark.intent and not row.intent else row
    if mark.by != row.by:
        return _with(row, mark) if mark.attempt >= row.attempt else row
    return _with(row, mark) if (mark.attempt, not mark.intent) > (row.attempt, not row.intent) else row


def _with(row: Row, mark: Mark) -> Row:
    after = replace(row, attempt=mark.attempt, by=mark.by, intent=mark.intent)
    if row.kind is not Kind.OWN or row.stage is Stage.SENT:
        return after
    if mark.intent:
        return replace(after, stage=Stage.UNKNOWN)
    known = row.stage is Stage.UNKNOWN and (mark.attempt, mark.by) == (row.attempt, row.by)
    return replace(after, stage=Stage.WAITING) if known else after


class Answer(StrEnum):
    """What the owner says of one row that the other end has as a spare."""

    KEEP = "keep"
    """I have it: keep yours, and count mine as kept twice."""
    SETTLED = "settled"
    """It is done with: drop yours."""
    ELSEWHERE = "elsewhere"
    """Yours no longer counts, and mine is kept twice elsewhere: drop it."""
    WAIT = "wait"
    """Nothing can be said now: ask again."""
    SEND = "send"
    """I do not know it: send it to me. Whoever is done with a row remembers it, so what is not known was never had."""


def answer(row: Row | None, view: View | None, *, epoch: int, settled: bool, live: bool) -> Answer:
    """Answer for a row that the asker has as a spare of *epoch* under the pairing viewed. ``row``: mine, if any.

    Only the owner knows, or who moved it elsewhere; ``live``: my session is live and my spool open. What is dropped
    as ELSEWHERE is remembered as moved, so that whoever asks for it later hears SETTLED.
    """
    if settled:
        return Answer.SETTLED
    here = row is not None and view is not None and row.attached is not None and row.attached.epoch == epoch
    if row is not None and row.confirmed and not (here and view is not None and belongs(row, view)):
        return Answer.ELSEWHERE if live else Answer.WAIT
    if not live or view is None or not mine(view) or epoch > view.epoch:
        return Answer.WAIT
    if row is None:
        return Answer.SEND
    return Answer.KEEP if here and belongs(row, view) and view.state is State.HELD else Answer.WAIT


def brought(row: Row, view: View | None, me: Me) -> Row | None:
    """Say as what its owner keeps a row that it did not know, sent by the end that has it as a spare; None: not mine.

    It came in at the other end while that one had no session, or my disk has forgotten it.
    """
    if row.attached is None or view is None or not mine(view) or row.attached.key != view.key:
        return None
    stage = Stage.UNKNOWN if row.intent else Stage.WAITING
    own = replace(row, kind=Kind.OWN, stage=stage, confirmed=False)
    if belongs(row, view):
        return replace(own, confirmed=kept_twice(own, view))
    over = row.attached.epoch < view.epoch and end_of(view.key, view.pairing, me) is End.SPOOL
    return replace(own, attached=None) if over else None


def kept(row: Row, view: View) -> Row:
    """Take the word that the other end has a row of mine."""
    return replace(row, confirmed=True) if row.kind is Kind.OWN and kept_twice(row, view) else row


def received(row: Row, view: View | None, me: Me, *, copy: str, retired: bool = False) -> Row | None:
    """Say as what to keep a copy that arrives; None: refuse it.

    ``copy``: the disk the sender's pairing was made with. Refused is what is meant for another disk of mine, of an
    epoch that is over, void, or being given away. One that arrives after its pairing was adopted is the adopter's:
    whoever sent it has no session (§5), keeps it as a spare when it returns, and may rely on both.
    ``retired``: the sender's disk was given up as lost; whatever its pairing says, or said before it was removed.
    """
    if copy != me.spool or retired:
        return None
    stage = Stage.UNKNOWN if row.intent else Stage.WAITING
    shadow = replace(row, kind=Kind.SHADOW, stage=stage, confirmed=False)
    if view is None or row.attached is None or row.attached.epoch > view.epoch:
        return shadow
    if not belongs(row, view) or view.state is State.STRANGE or not kept_twice(row, view):
        return None
    return replace(shadow, kind=Kind.OWN, confirmed=True) if view.state is State.HELD else shadow
