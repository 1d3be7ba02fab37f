"""A message as Graph takes it: lines put in front, then all of it in base64, in pieces. Never holds more than a piece.

Source: Graph, user: sendMail (MIME form); RFC 4648 §4.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 48 << 10
"""A multiple of three, so that pieces encoded one by one are the encoding of the whole."""


def encoded_length(size_bytes: int) -> int:
    """Give the length of so many bytes in base64."""
    return 4 * ((size_bytes + 2) // 3)


async def size_of(body: bytes | Path) -> int:
    """Measure a body as it is now. Raises OSError."""
    return len(body) if isinstance(body, bytes) else (await asyncio.to_thread(body.stat)).st_size


async def encoded(head: bytes, body: bytes | Path) -> AsyncIterator[bytes]:
    """Give ``head`` and ``body`` as base64, piece by piece. Raises OSError."""
    rest = b""
    async for plain in _plain(head, body):
        rest += plain
        whole = len(rest) - len(rest) % 3
        if whole:
            yield base64.b64encode(rest[:whole])
            rest = rest[whole:]
    if rest:
        yield base64.b64encode(rest)


async def _plain(head: bytes, body: bytes | Path) -> AsyncIterator[bytes]:
    if head:
        yield head
    if isinstance(body, bytes):
        for start in range(0, len(body), PIECE_BYTES):
            yield body[start : start + PIECE_BYTES]
        return
    file = await asyncio.to_thread(body.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        await asyncio.to_thread(file.close)


async def last_held(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Give each piece with whether it is the last: without that one the other side has no whole message."""
    held: bytes | None = None
    async for piece in pieces:
        if held is not None:
            yield held, False
        held = piece
    yield held or b"", True
