"""Places in history, and pages of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from node.spool.contract import MessageView


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
