"""A large body on its way: cut into pieces while it is read, a few of them under way at a time."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from node.shadow.entries import PIECE_BYTES, Copy, Piece, Progress
from node.shadow.outbox import Kept
from node.spool.contract import Accepted, BodyFile
from node.spool.rows import facts_of

PIECES_AHEAD: Final = 2
"""Pieces of one body that may be under way: enough to keep the line busy, few enough to leave room for others."""


class Source:
    """Where a body is read from. A file is opened at once: it may be moved, or gone, before it is read."""

    def __init__(self, body: bytes | BodyFile) -> None:
        """Open; raises OSError."""
        self._bytes = body if isinstance(body, bytes) else b""
        self._handle = os.open(body.path, os.O_RDONLY | os.O_CLOEXEC) if isinstance(body, BodyFile) else -1

    async def read(self, start: int) -> bytes:
        """Give the next piece; raises OSError."""
        if self._handle < 0:
            return self._bytes[start : start + PIECE_BYTES]
        return await asyncio.to_thread(os.pread, self._handle, PIECE_BYTES, start)

    def close(self) -> None:
        """Give the file back; idempotent."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def is_large(item: Accepted) -> bool:
    """Whether a body goes in pieces."""
    return isinstance(item.body, BodyFile) or len(item.body) > PIECE_BYTES


def copy_of(item: Accepted, progress: tuple[Progress, ...]) -> Copy:
    """A message as it is sent; the body of a large one comes before it."""
    facts, body = facts_of(item.message), item.body
    if is_large(item):
        size_bytes = body.size_bytes if isinstance(body, BodyFile) else len(body)
        return Copy(message_id=item.message.id, facts=facts, size_bytes=size_bytes, pieced=True, progress=progress)
    whole = body if isinstance(body, bytes) else b""
    return Copy(message_id=item.message.id, facts=facts, size_bytes=len(whole), body=whole, progress=progress)


async def send(source: Source, copy: Copy, add: Callable[[Piece], "asyncio.Future[Kept]"]) -> bool:
    """Send all pieces of a body; False when one was not taken, or the body is not as long as said. Raises OSError."""
    ahead: list[asyncio.Future[Kept]] = []
    start = 0
    while start < copy.size_bytes:
        data = await source.read(start)
        if not data:
            return False
        if len(ahead) >= PIECES_AHEAD and await ahead.pop(0) is not Kept.COPIED:
            return False
        ahead.append(add(Piece(message_id=copy.message_id, start=start, data=data)))
        start += len(data)
    return start == copy.size_bytes
