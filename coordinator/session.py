"""A process's session as a value and a step: when it may act, when it must stop (coordination-review §1).

The deadline counts from just *before* the last successful renewal was sent. Errors that tell nothing change nothing;
only the deadline, or word that the lease is gone, ends a session. Knows no store, no clock, no task: ``now_ms`` is
the boot-time clock, handed in.

``TABLE`` holds every legal move; a pair missing there is a mistake of the caller (IllegalMove) and changes nothing.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from coordinator.timing import Timing


class Phase(StrEnum):
    """Where a session is in its life."""

    OUT = "out"
    JOINING = "joining"
    LIVE = "live"


class Event(StrEnum):
    """What can happen to it."""

    BEGIN = "begin"
    HEARD = "heard"
    """The store answered something that changes nothing else."""
    JOINED = "joined"
    FAILED = "failed"
    RENEWED = "renewed"
    UNSURE = "unsure"
    LOST = "lost"
    DEADLINE = "deadline"
    RESIGN = "resign"


TABLE: Final = {
    (Phase.OUT, Event.BEGIN): Phase.JOINING,
    (Phase.OUT, Event.HEARD): Phase.OUT,
    (Phase.JOINING, Event.HEARD): Phase.JOINING,
    (Phase.LIVE, Event.HEARD): Phase.LIVE,
    (Phase.OUT, Event.RENEWED): Phase.OUT,  # an answer that came after the deadline: too late, begin anew
    (Phase.OUT, Event.UNSURE): Phase.OUT,
    (Phase.OUT, Event.LOST): Phase.OUT,
    (Phase.OUT, Event.DEADLINE): Phase.OUT,
    (Phase.OUT, Event.RESIGN): Phase.OUT,
    (Phase.JOINING, Event.JOINED): Phase.LIVE,
    (Phase.JOINING, Event.LOST): Phase.JOINING,  # a late answer about the session before
    (Phase.JOINING, Event.FAILED): Phase.OUT,
    (Phase.JOINING, Event.RESIGN): Phase.OUT,
    (Phase.LIVE, Event.RENEWED): Phase.LIVE,
    (Phase.LIVE, Event.UNSURE): Phase.LIVE,
    (Phase.LIVE, Event.LOST): Phase.OUT,
    (Phase.LIVE, Event.DEADLINE): Phase.OUT,
    (Phase.LIVE, Event.RESIGN): Phase.OUT,
}


ANSWERS: Final = frozenset({Event.HEARD, Event.JOINED, Event.RENEWED, Event.LOST})
"""Events that show the store within reach; a join that failed tells nothing of that by itself."""


class IllegalMove(Exception):  # noqa: N818 - as the table names it
    """The event cannot happen in this phase: a mistake in the caller."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a process knows of its own session."""

    timing: Timing
    phase: Phase = Phase.OUT
    lease: int = 0
    inc: int = 0
    """Create revision of the member key: the incarnation every guarded transaction compares."""
    began_ms: int = 0
    renewed_ms: int = 0
    """When the last renewal that succeeded was about to be sent."""
    heard_ms: int | None = None
    """When the store last answered anything; None: never in this life."""

    @property
    def deadline_ms(self) -> int:
        """From here on nothing may be begun on the word of this session."""
        return deadline_of(self.renewed_ms, self.timing)

    def live(self, now_ms: int) -> bool:
        """Whether the session may be acted on now."""
        return self.phase is Phase.LIVE and now_ms < self.deadline_ms

    def left_ms(self, now_ms: int) -> int:
        """Margin until the deadline; 0 without a live session."""
        return self.deadline_ms - now_ms if self.live(now_ms) else 0

    def silent(self, now_ms: int) -> bool:
        """Whether the store has been out of reach for longer than a renewal and its timeout."""
        return self.heard_ms is None or now_ms - self.heard_ms > self.timing.silent_ms

    def with_timing(self, timing: Timing) -> "Session":
        """Give the same session as it is to be judged by another timing."""
        return replace(self, timing=timing)


def deadline_of(sent_ms: int, timing: Timing) -> int:
    """Count the deadline from the sending of a renewal, never from its answer (§1)."""
    return sent_ms + timing.ttl_ms - timing.margin_ms


def delay_over(gone_ms: int, began_ms: int, delay_ms: int, now_ms: int) -> bool:
    """Whether a delay after another's end is over: it counts from the later of its end and our session's begin."""
    return now_ms >= max(gone_ms, began_ms) + delay_ms


def step(session: Session, event: Event, now_ms: int, *, sent_ms: int = 0, lease: int = 0, inc: int = 0) -> Session:
    """Take one event. ``sent_ms``: when the call answered was about to be sent; ``lease``: which lease it is about."""
    if (session.phase, event) not in TABLE:
        raise IllegalMove(f"{event.value} while {session.phase.value}")
    if event is Event.RENEWED and lease == session.lease and session.live(now_ms):
        return replace(session, heard_ms=now_ms, renewed_ms=max(session.renewed_ms, sent_ms))
    if event in ANSWERS:
        session = replace(session, heard_ms=now_ms)
    if session.phase is Phase.LIVE and event is not Event.RESIGN:
        return _while_live(session, event, now_ms, lease)
    after = replace(session, phase=TABLE[session.phase, event])
    if event is Event.JOINED:
        after = replace(after, lease=lease, inc=inc, began_ms=now_ms, renewed_ms=sent_ms)
        return after if after.live(now_ms) else _out(after)
    return _out(after) if after.phase is Phase.OUT else after


def _while_live(session: Session, event: Event, now_ms: int, lease: int) -> Session:
    if event in {Event.RENEWED, Event.LOST} and lease != session.lease:
        return session  # about an earlier life
    return _out(session) if event is Event.LOST or not session.live(now_ms) else session


def _out(session: Session) -> Session:
    return replace(session, phase=Phase.OUT)


class Renewal(StrEnum):
    """What the renewing loop does next."""

    SEND = "send"
    WAIT = "wait"
    HUNG = "hung"


def next_renewal(session: Session, now_ms: int, *, due_ms: int, progress_ms: int) -> Renewal:
    """Decide whether to renew. ``progress_ms``: when the work this session stands for last showed it is alive.

    A loop that hangs is not renewed, so its holdings pass on although this thread still runs (peers §4.5).
    """
    if now_ms - progress_ms > session.timing.ttl_ms // 2:
        return Renewal.HUNG
    return Renewal.SEND if now_ms >= due_ms else Renewal.WAIT
