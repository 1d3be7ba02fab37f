"""Asks the local node to see sessions out of an address that moves elsewhere; over its administration socket."""

import asyncio
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

import msgspec

from coordinator.timing import Timing

PART_S: Final = 5.5
"""Longer than a node takes; what it has not done by then is not waited for."""
_HEAD: Final = (
    "POST /v1/part HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)


def leave_s(timing: Timing) -> float:
    """Give how long an address may take to go cleanly: its sessions, then its key."""
    return PART_S + timing.timeout_ms / 1_000


async def see_out(socket: Path, address: IPv4Address | IPv6Address) -> None:
    """Return when the address may go; at once where nobody answers, or a node of a version that knows no such thing."""
    body = msgspec.json.encode({"address": str(address)})
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PART_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(_HEAD.format(len(body)).encode() + body)
                await reader.read(1)  # whatever it says: it has done what it can
            finally:
                writer.close()
