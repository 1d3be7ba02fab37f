"""What becomes of mail of unknown outcome that was looked for: the decision as one table, from top to bottom. Pure.

Only a find says that it was sent. That it was not found says something only where copies are kept, after a while, and
when mail sent later on the same way is there (facts m365 §1.2, §4.9; operations A4). Everything else is a guess, and a
guess would lose mail or send it twice: a person looks.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from node.policy.envelope import RecipientState

NO_PLACE: Final = "unknown_verify"
NOT_PROVEN: Final = "unknown_unproven"
ABSENT: Final = "verified_absent"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one recipient."""

    found: str = ""
    """Where a proof was seen that Microsoft has it, e.g. ``sent_items``."""
    place: bool = False
    """There is something to look into."""
    absent: bool = False
    """Sent Items were seen whole, and it was not there."""
    keeps_copies: bool = False
    """The settings say that copies of what this way sends are kept."""
    proven: bool = False
    """A message that left later on this way was found there."""
    waited_ms: int = 0
    """How long ago its answer was lost."""


class VerifyStep(msgspec.Struct, frozen=True, kw_only=True):
    """The recipient's next state, with the reason people read; ``state`` None: look again later."""

    state: RecipientState | None = None
    reason: str = ""


WAIT: Final = VerifyStep()

_Row = tuple[Callable[[Evidence, int, int], bool], Callable[[Evidence], VerifyStep]]


def _held(reason: str) -> Callable[[Evidence], VerifyStep]:
    return lambda _: VerifyStep(state=RecipientState.HELD, reason=reason)


TABLE: Final[tuple[_Row, ...]] = (
    (
        lambda seen, _settle, _patience: bool(seen.found),
        lambda seen: VerifyStep(state=RecipientState.DELIVERED, reason=f"verified_{seen.found}"),
    ),
    (lambda seen, _settle, _patience: not seen.place, _held(NO_PLACE)),
    (
        lambda seen, settle_ms, _patience: (
            seen.absent and seen.keeps_copies and seen.proven and seen.waited_ms >= settle_ms
        ),
        lambda _: VerifyStep(state=RecipientState.QUEUED, reason=ABSENT),
    ),
    (lambda seen, _settle, patience_ms: seen.waited_ms >= patience_ms, _held(NOT_PROVEN)),
)
"""Whether a row applies to (evidence, settling time, patience in ms), and its step; the first that does decides."""


def verified(seen: Evidence, settle_ms: int, patience_ms: int) -> VerifyStep:
    """Decide for one recipient."""
    return next((step(seen) for applies, step in TABLE if applies(seen, settle_ms, patience_ms)), WAIT)


_LOOKS: Final = (1 / 60, 1 / 20, 1 / 6, 1 / 2, 1.0)
"""When to look, in settling times after the loss: most copies are there at once."""


def next_look_ms(waited_ms: int, settle_ms: int, patience_ms: int) -> int:
    """Say how long after the loss to look next, when looked at ``waited_ms``; not later than the patience ends."""
    early = next((round(part * settle_ms) for part in _LOOKS if round(part * settle_ms) > waited_ms), None)
    later = early if early is not None else waited_ms + max(1000, settle_ms // 2)
    return max(waited_ms + 1, min(later, patience_ms)) if waited_ms < patience_ms else waited_ms + max(1000, settle_ms)
