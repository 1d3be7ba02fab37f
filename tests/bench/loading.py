"""Fills a spool as fast as it takes mail, through its own verbs, as a node without a cluster would have it."""

import asyncio
import time
from pathlib import Path

import uuid_utils

from node.policy.envelope import Direction, NewMessage, Recipient
from node.spool.contract import Accepted
from node.spool.sqlite import SqliteSpool

PART = 2_000
HOUR_MS = 3_600_000


def made(now_ms: int, body: bytes) -> Accepted:
    """One message of the bench's client."""
    name = str(uuid_utils.uuid7())
    message = NewMessage(
        id=name,
        client="bench",
        plan="bench",
        mail_from="app@contoso.com",
        header_from="app@contoso.com",
        tenant="contoso",
        recipients=(Recipient(address="someone@example.com", direction=Direction.EXTERNAL),),
        size_bytes=len(body),
        received_ms=now_ms,
        expires_ms=now_ms + 48 * HOUR_MS,
        message_id=f"<{name}@contoso.com>",
        source="127.0.0.1:4711",
    )
    return Accepted(message=message, body=body)


async def filled(directory: Path, count: int, size: int) -> float:
    """Append ``count`` messages; seconds it took."""
    started, body = time.perf_counter(), b"Subject: bench\r\n\r\n" + b"x" * size + b"\r\n"
    spool = SqliteSpool(directory, now_ms=wall_ms)
    await spool.open(wall_ms())
    try:
        for start in range(0, count, PART):
            await asyncio.gather(*(spool.append(made(wall_ms(), body)) for _ in range(min(PART, count - start))))
    finally:
        await spool.close()
    return time.perf_counter() - started


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
