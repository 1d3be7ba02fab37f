"""How sessions end while the door closes: the stages of a stop, and how long a client may be silent in each. Pure.

421 may be said after any command (RFC 5321 §3.8), but whoever hears it in answer to MAIL was refused. So a session is
asked to leave only where nothing is lost by it: in a pause of its client, or together with the reply that ends a
message. Nothing here knows sockets; connection.py asks.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Stage(Enum):
    """How far a stop has come."""

    OPEN = "open"  # no stop
    SHUT = "shut"  # nothing can be taken: only transactions under way are heard to their end
    PATIENT = "patient"  # everything asked is done; who pauses is asked to leave
    BRISK = "brisk"  # and whoever has just had the answer to a message, unless more has come behind it
    LAST = "last"  # nothing more is taken; what is being made durable is still answered


class Doing(Enum):
    """What a session is at."""

    ARRIVED = "arrived"  # greeted, and no message yet: it has come to send one
    BETWEEN = "between"  # had a message, and none is under way
    BUSY = "busy"  # in a transaction, a sign-in, a handshake, or half a line
    STORING = "storing"  # the door was asked, and will answer


PAUSE_S: Final = 1.0
"""Who has nothing to send for so long most likely has nothing to send in the next moment either."""
SILENT_S: Final[dict[Stage, dict[Doing, float]]] = {
    Stage.SHUT: {Doing.ARRIVED: 0.0, Doing.BETWEEN: 0.0},
    Stage.PATIENT: {Doing.ARRIVED: 5.0, Doing.BETWEEN: PAUSE_S},
    Stage.BRISK: {Doing.ARRIVED: 2.0, Doing.BETWEEN: PAUSE_S},
}
"""Seconds of silence after which a session is asked to leave; what is missing is not asked. ``LAST`` asks everybody
who is not waiting for an answer, however busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """When the stages begin, in seconds from the start; at ``bound_s`` nobody is waited for any more."""

    brisk_s: float
    last_s: float
    bound_s: float
    first: Stage = Stage.PATIENT

    def stage(self, passed_s: float) -> Stage:
        """Give the stage after so many seconds."""
        if passed_s >= self.last_s:
            return Stage.LAST
        return Stage.BRISK if passed_s >= self.brisk_s else self.first


LAST_S: Final = 2.0
HOLD_BRISK_S: Final = 0.4


def grace(bound_s: float) -> Grace:
    """Give the stages of a stop: half of the time for clients that end by themselves, a moment for the last answers."""
    last_s = bound_s - min(LAST_S, bound_s / 5)
    return Grace(brisk_s=last_s / 2, last_s=last_s, bound_s=bound_s)


def short_grace(bound_s: float) -> Grace:
    """Give the stages of a hold: newcomers wait meanwhile, so little time is left to clients that never pause."""
    last_s = bound_s * 4 / 5
    return Grace(brisk_s=min(HOLD_BRISK_S, last_s / 2), last_s=last_s, bound_s=bound_s)


def shut(bound_s: float) -> Grace:
    """Give the stages of an end that can take no more mail."""
    last_s = bound_s * 4 / 5
    return Grace(brisk_s=last_s, last_s=last_s, bound_s=bound_s, first=Stage.SHUT)


def leaves(stage: Stage, doing: Doing, silent_s: float) -> bool:
    """Whether a session whose client has been silent for so long is asked to leave."""
    if stage is Stage.LAST:
        return doing is not Doing.STORING
    patience_s = SILENT_S.get(stage, {}).get(doing)
    return patience_s is not None and silent_s >= patience_s


def leaves_answered(stage: Stage, doing: Doing, *, more: bool) -> bool:
    """Whether the answer just given is a session's last. ``doing`` after it; ``more``: the client has sent more."""
    if stage is Stage.LAST:
        return True
    if stage is Stage.SHUT:
        return doing is not Doing.BUSY
    return stage is Stage.BRISK and doing is Doing.BETWEEN and not more
