"""Places in history, pages of it, and how long one is looked for."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from node.spool.contract import MessageView

PAGE_S: Final = 0.1
"""A page is looked for no longer; it then ends where it came to, as one that looked at enough messages does."""


class Patience:
    """How many messages are looked at for one answer, and for how long: on a slow disk time is the bound."""

    def __init__(self, looked_max: int, seconds: float) -> None:
        """It begins now."""
        self._looked_max, self._due_s = looked_max, time.monotonic() + seconds

    def is_over(self, looked: int) -> bool:
        """Whether to stop, having looked at so many."""
        return looked >= self._looked_max or time.monotonic() >= self._due_s


class Spot(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A place in the order of history, which is the same on every node: when a message was received, then its id."""

    received_ms: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of history, newest first."""

    messages: "tuple[MessageView, ...]"
    looked_to: Spot | None = None
    """All that fits down to here is in it, and there may be more beyond; None: that was all."""
