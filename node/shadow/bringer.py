"""Sends the owner of a pairing a message that it does not know, from the copies, in parts."""

import asyncio
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from coordinator.ownership.rows import Attached
from coordinator.peers.contract import Peers
from node.shadow.adoption import sent_of
from node.shadow.bringing import DIGEST_BYTES, MORE
from node.shadow.contract import Copies, KeptCopy
from node.shadow.questions import BRING, PART_BYTES, Brought, about, encoded
from node.shadow.words import answer_of
from node.spool.bodies import chunks, mapped
from node.spool.errors import MessageGone

TIMEOUT_S: Final = 5.0
"""Longest wait for an answer to one question."""


class Bringer:
    """Sends one message at a time."""

    def __init__(self, copies: Copies, peers: Peers) -> None:
        """Keep the parts."""
        self._copies, self._peers = copies, peers

    async def bring(self, node: str, attached: Attached, before: str, name: str) -> None:
        """Send the message that comes after *before*, if it is there and can be read.

        Whether it was taken is not looked at: it is asked about again. Raises PeerError, ShadowError, SpoolBroken.
        """
        rows = await self._copies.rows(attached, before, 1)
        if not rows or rows[0].message_id != name or rows[0].damaged:
            return
        try:
            body = await self._copies.body(attached, name)
        except MessageGone:
            return
        last, start = await asyncio.to_thread(_last, attached, rows[0], body), 0
        while True:
            data = await asyncio.to_thread(_part, body, start)
            ends = not data or start + len(data) >= last.size_bytes
            part = last if ends else Brought(**about(attached), message_id=name, start=0, data=b"")
            question = encoded(msgspec.structs.replace(part, start=start, data=data))
            answer = answer_of(await self._peers.ask(node, BRING, question, timeout_s=TIMEOUT_S))
            if ends or answer.said != MORE:
                return
            start += len(data)


def _last(attached: Attached, row: KeptCopy, body: bytes | Path) -> Brought:
    """Give the last part but for its place and data; raises SpoolBroken."""
    digest, size_bytes = blake2b(digest_size=DIGEST_BYTES), 0
    for chunk in [body] if isinstance(body, bytes) else chunks(body):
        digest.update(chunk)
        size_bytes += len(chunk)
    return Brought(
        **about(attached),
        message_id=row.message_id,
        start=0,
        data=b"",
        last=True,
        size_bytes=size_bytes,
        digest=digest.digest(),
        facts=row.facts,
        progress=row.progress,
        sent=tuple(sent_of(row)),
        lines=row.lines,
    )


def _part(body: bytes | Path, start: int) -> bytes:
    if isinstance(body, bytes):
        return body[start : start + PART_BYTES]
    with mapped("read body"), body.open("rb") as handle:
        handle.seek(start)
        return handle.read(PART_BYTES)
