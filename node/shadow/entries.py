"""What a batch carries: copies of messages, and what became of them since. Values only; ``frames`` writes them.

A copy holds the message's facts as the spool stores them, untouched: a shadow of an older version drops nothing it does
not know. What is told later of a message (``Intent``, ``Outcome``) may come before a large body is complete.
"""

from typing import Final

import msgspec

from node.spool.contract import JourneyLine
from node.spool.paired import Progress

PIECE_BYTES: Final = 512 << 10
"""Larger bodies come in pieces of this size before their copy, so that no batch is much larger than others."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One message to keep."""

    message_id: str
    facts: bytes
    """``NewMessage`` as the spool stores it."""
    size_bytes: int
    """Of the body."""
    body: bytes = b""
    pieced: bool = False
    """The body came in pieces before."""
    progress: tuple[Progress, ...] = ()


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a large body whose copy follows."""

    message_id: str
    start: int
    data: bytes


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that are settled: nothing of them is kept but history."""

    message_ids: tuple[str, ...]
    at_ms: int


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The final dot of an attempt is about to be sent (design §5.6; operations A2)."""

    message_id: str
    attempt_id: str
    indexes: tuple[int, ...]
    dot_ms: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to, or any other change of recipients; ends the intent of that attempt."""

    message_id: str
    attempt_id: str
    """Empty: no attempt, as for a postponement or an operator's hold."""
    progress: tuple[Progress, ...]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of a message's journey, kept for ``history`` beyond its discard."""

    message_id: str
    lines: tuple[JourneyLine, ...]


Entry = Copy | Piece | Discard | Intent | Outcome | Lines

__all__ = ["PIECE_BYTES", "Copy", "Discard", "Entry", "Intent", "Lines", "Outcome", "Piece", "Progress"]
