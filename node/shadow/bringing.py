"""Takes messages that this node's spool should have and does not know, from the end that keeps them as spares."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import time_ns
from typing import Any, Final

from coordinator.ownership.answers import brought
from coordinator.ownership.rows import Kind, Row
from node.shadow import ownership as owners
from node.shadow.adoption import standing_of
from node.shadow.contract import Copies
from node.shadow.errors import Damaged, Malformed
from node.shadow.frames import FACTS_BYTES_MAX
from node.shadow.measures import Measures
from node.shadow.ownership import Ownership
from node.shadow.questions import Brought
from node.spool.bodies import mapped
from node.spool.errors import WrongRequest
from node.spool.paired import PairedSpool, Standing
from node.spool.rows import Unreadable

MORE, TAKEN, REFUSED = "m", "t", "r"
"""Answers to a part: go on; the message is mine now; it is not, or is known."""
DIGEST_BYTES: Final = 16


@dataclass(slots=True, kw_only=True)
class _Gathering:
    """One body on its way."""

    message_id: str
    path: Path
    size_bytes: int = 0
    digest: Any = field(default_factory=lambda: blake2b(digest_size=DIGEST_BYTES))


class Bringing:
    """Takes one message at a time from each peer."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        ownership: Ownership,
        *,
        now_ms: Callable[[], int],
        arrived: Callable[[], None],
        lock: asyncio.Lock,
        measures: Measures,
    ) -> None:
        """``arrived`` is told that there is mail to deliver; ``lock`` keeps rows where they are."""
        self._copies, self._spool, self._ownership = copies, spool, ownership
        self._now_ms, self._arrived, self._lock, self._measures = now_ms, arrived, lock, measures
        self._gathering: dict[str, _Gathering] = {}
        self._parts = asyncio.Lock()

    async def take(self, node: str, part: Brought) -> str:
        """Take a part. Raises Malformed, Damaged, SpoolFull, SpoolBroken, SpoolClosed; begun anew it may work."""
        async with self._parts:
            if self._own(part) is None:
                self._forget(node)
                return REFUSED
            if part.last and not part.start:
                self._forget(node)
                return await self._whole(node, part, part.data, blake2b(part.data, digest_size=DIGEST_BYTES).digest())
            return await self._gather(node, part)

    async def _gather(self, node: str, part: Brought) -> str:
        if not part.start:
            self._forget(node)
            path = self._spool.new_body_path(f"brought-{node}")
            self._gathering[node] = _Gathering(message_id=part.message_id, path=path)
        found = self._gathering.get(node)
        if found is None or (found.message_id, found.size_bytes) != (part.message_id, part.start):
            raise Malformed("a part before it has not come")
        try:
            await asyncio.to_thread(partial(_write, found.path, part.start, part.data))
            found.size_bytes += len(part.data)
            found.digest.update(part.data)
            if not part.last:
                return MORE
            return await self._whole(node, part, found.path, found.digest.digest())
        except BaseException:
            self._forget(node)
            raise
        finally:
            if part.last:
                self._forget(node)

    def _forget(self, node: str) -> None:
        found = self._gathering.pop(node, None)
        if found is not None:
            found.path.unlink(missing_ok=True)

    # ---- one that is whole -------------------------------------------------------------------------------------------

    def _own(self, part: Brought) -> Row | None:
        """Say as what it would be kept; None: it is not this node's."""
        key = part.attached.key
        row = Row(kind=Kind.SHADOW, attached=part.attached, intent=bool(part.sent))
        return brought(row, self._ownership.view(key), self._ownership.me) if self._ownership.live() else None

    async def _whole(self, node: str, part: Brought, body: bytes | Path, digest: bytes) -> str:
        if part.start + len(part.data) != part.size_bytes or digest != part.digest:
            raise Damaged("a body of another size or content than said")
        async with self._lock:
            own = self._own(part)
            name = part.message_id
            if own is None or name in await self._copies.seen([name]) or name in await self._spool.look([name]):
                return REFUSED
            number, began_ns = 0 if own.attached is None else await owners.attach(self._spool, own.attached), time_ns()
            self._measures.learn({number: part.attached.epoch} if number else {})
            try:
                standing = _standing(part, number)
                taken = await self._spool.adopt(
                    standing,
                    body,
                    sent=frozenset(part.sent),
                    origin=node,
                    now_ms=self._now_ms(),
                )
            except (Unreadable, WrongRequest) as error:
                raise Malformed(f"it cannot be a message: {error}") from None
            if own.confirmed and number:
                await self._spool.confirm(number, [name])
        self._arrived()
        if taken:
            self._measures.count("relay_copies_brought", 1, node=node)
            tried = (each.traceparent for each in standing.progress)
            self._measures.adopted(standing.message, node, part.attached.epoch if number else 0, began_ns, *tried)
        return TAKEN if taken else REFUSED


def _standing(part: Brought, number: int) -> Standing:
    """Give it as the spool takes it over; raises Unreadable, Malformed."""
    if len(part.facts) > FACTS_BYTES_MAX:
        raise Malformed("facts that are too large")
    standing = standing_of(part, number)
    if standing.message.id != part.message_id:
        raise Malformed("facts of another message")
    return standing


def _write(path: Path, start: int, data: bytes) -> None:
    with mapped("write body"), path.open("r+b" if start else "wb") as handle:
        handle.seek(start)
        handle.write(data)
