"""One row as an end of a pairing keeps it: its kind, how far an attempt went, and what may be done with it. Pure.

What an end has on disk may lag behind the store for a moment; the store decides. So a row is attempted only if its
kind *and* the pairing as seen in a live session say so, and after every change of a pairing its rows are brought in
line with it in one local transaction (``aligned``), which a restart repeats.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from coordinator.ownership.records import PairKey
from coordinator.ownership.views import End, Me, State, View, end_of, mine


class Kind(StrEnum):
    """Whose a row is."""

    OWN = "own"
    SHADOW = "shadow"
    """A copy of another spool's row."""
    GIVEN = "given"
    """It came in here and the shadow owns it now: a spare until that one is done with it."""


class Stage(StrEnum):
    """How far an attempt went."""

    WAITING = "waiting"
    SENT = "sent"
    """The intent is durable: the last step may have been sent, and no outcome is known."""
    UNKNOWN = "unknown"
    """It may have been done; what follows is its policy's."""


class OnUnknown(StrEnum):
    """What follows when nobody knows whether an attempt succeeded."""

    REPEAT = "repeat"
    """Attempt again: may be done twice, is never lost."""
    REPORT = "report"
    """Tell where it came from that it may have failed: never done twice."""
    VERIFY = "verify"
    """Wait for proof, or for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The pairing a row belongs to, from the moment its copy is first sent."""

    key: PairKey
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What ownership needs to know of a row."""

    kind: Kind = Kind.OWN
    stage: Stage = Stage.WAITING
    on_unknown: OnUnknown = OnUnknown.REPEAT
    attached: Attached | None = None
    """None: it is here alone."""
    confirmed: bool = False
    """The other end said that it has it; without this the row counts as *unprotected*."""
    attempt: int = 0
    """Number of the last attempt known of."""
    by: str = ""
    """The node that made it: two ends that know nothing of each other's attempts count alike."""
    intent: bool = False
    """Of that attempt an intent is known and no outcome."""


def belongs(row: Row, view: View) -> bool:
    """Whether the row is of this pairing's epoch (only then the key says anything of it)."""
    return row.attached is not None and row.attached.key == view.key and row.attached.epoch == view.epoch


def kept_twice(row: Row, view: View | None) -> bool:
    """Whether the other end's word that it has the row is worth anything: nothing of mine may be making it void."""
    if view is None or view.pairing is None or not belongs(row, view):
        return False
    return not view.pairing.void and not view.left and view.state is not State.STRANGE


def alone(row: Row, view: View | None, me: Me) -> bool:
    """Whether a row is mine without any pairing: attached to none, or to an epoch that my own spool replaced.

    A newer epoch is made by the spool's own end only, and only when none of its rows is the shadow's any more.
    """
    if row.kind is not Kind.OWN or row.attached is None:
        return row.kind is Kind.OWN
    known = view is not None and view.pairing is not None and view.state is not State.STRANGE
    return known and row.attached.key.spool == me.spool and view is not None and row.attached.epoch < view.epoch


def owns(row: Row, view: View | None, me: Me) -> bool:
    """Whether what is known makes the row mine; counts only while my session is live and my spool is open in it."""
    if alone(row, view, me):
        return True
    return row.kind is Kind.OWN and view is not None and belongs(row, view) and mine(view)


def may_attempt(row: Row, view: View | None, me: Me, *, live: bool) -> bool:
    """Whether to begin an attempt, or to go on with one whose intent is not written yet.

    ``live``: my session is live now and my spool was opened in it, or everybody's word stands in for that (fallback).
    An attempt before it must have come to its end first: what is told of a later one covers what was of an earlier.
    """
    return live and row.stage is Stage.WAITING and owns(row, view, me)


def asks_first(row: Row, view: View | None) -> bool:
    """Whether the other end must have the intent, durably, before the last step is sent (operations A2).

    A void pairing's other end adopts nothing, so it need not know.
    """
    if row.on_unknown is OnUnknown.REPEAT or view is None or not belongs(row, view):
        return False
    return view.state is not State.VOID


def may_send(row: Row, view: View | None, me: Me, *, live: bool, intent_there: bool) -> bool:
    """Last look before the step that cannot be taken back: the intent is durable here, and there if it must be."""
    durable = row.stage is Stage.SENT and (intent_there or not asks_first(row, view))
    return durable and live and owns(row, view, me)


def aligned(row: Row, view: View, me: Me) -> Row:
    """Bring a row in line with its pairing: the local half of adoption, hand-over and return; the same row if it is.

    A void pairing that is given back brings nothing with it: its rows moved elsewhere, and what is here is a spare.
    What becomes mine is unprotected until the other end, or another one, says that it has it. An attempt of which
    the intent is known and no outcome is unknown; one of which nothing is known here has not been sent, or is of
    those that are repeated anyway.
    """
    if not belongs(row, view):
        return row
    if view.state is State.HELD and row.kind is not Kind.OWN:
        stage = Stage.UNKNOWN if row.intent else Stage.WAITING
        return replace(row, kind=Kind.OWN, stage=stage, confirmed=False)
    if view.state in {State.SPARE, State.SPARE_VOID} and row.kind is Kind.OWN:
        kind = Kind.GIVEN if end_of(view.key, view.pairing, me) is End.SPOOL else Kind.SHADOW
        stage = Stage.UNKNOWN if row.stage is Stage.SENT else row.stage
        return replace(row, kind=kind, stage=stage, confirmed=False)
    if view.state is State.VOID and row.confirmed:
        return replace(row, confirmed=False)
    return row


def restarted(row: Row) -> Row:
    """What a row is after its process died: sent without a known outcome is unknown, unsent is waiting."""
    return replace(row, stage=Stage.UNKNOWN) if row.stage is Stage.SENT else row


def may_attach(row: Row, view: View | None, me: Me, *, to: View) -> bool:
    """Whether a row may be copied under the pairing *to*: it is mine, in no other that anybody could adopt."""
    if row.stage is Stage.SENT or to.state is not State.HELD or (row.attached and belongs(row, to)):
        return False
    return alone(row, view, me) or (owns(row, view, me) and view is not None and view.state is State.VOID)


class Resolution(StrEnum):
    """What becomes of a row whose last attempt is unknown."""

    AGAIN = "again"
    REPORT = "report"
    HOLD = "hold"


_RESOLUTIONS = {
    OnUnknown.REPEAT: Resolution.AGAIN,
    OnUnknown.REPORT: Resolution.REPORT,
    OnUnknown.VERIFY: Resolution.HOLD,
}


def resolution(row: Row, view: View | None, me: Me, *, live: bool) -> Resolution | None:
    """Say what its owner does with an unknown row; None when it is not unknown, or not mine to decide."""
    if not live or row.stage is not Stage.UNKNOWN or not owns(row, view, me):
        return None
    return _RESOLUTIONS[row.on_unknown]
