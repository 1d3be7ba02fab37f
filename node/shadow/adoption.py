"""Turns the copies of a pairing that this node has taken over into its own mail, oldest first; resumable at any point.

Each message is durable in the spool before its copy goes, and one that is in the spool already is not taken twice: so
after a crash the same is done again, by whoever finds that the pairing's key names this node. Mail is delivered from
the first chunk on, while the rest still comes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import Final

from coordinator.ownership.rows import Attached
from node.shadow.contract import Copies, KeptCopy
from node.shadow.measures import Measures
from node.shadow.questions import Brought
from node.spool.errors import MessageGone, WrongRequest
from node.spool.paired import PairedSpool, Standing
from node.spool.rows import Unreadable, message_of

CHUNK: Final = 128
"""Messages moved at a time: a transaction or two of the spool."""


@dataclass(slots=True, kw_only=True)
class Adopted:
    """What became of a pairing's copies."""

    taken: int = 0
    already: int = 0
    """Were in the spool: from before a crash."""
    left: list[str] = field(default_factory=list)
    """Stay in the copy store, for a person: they cannot be read."""
    whole: bool = True
    """False: it was stopped, for the pairing is not this node's any more."""


class Adoption:
    """Takes over one pairing at a time."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        *,
        now_ms: Callable[[], int],
        arrived: Callable[[], None] = lambda: None,
        lock: asyncio.Lock | None = None,
        measures: Measures | None = None,
    ) -> None:
        """``arrived`` is told after each chunk that there is new mail to deliver; ``lock`` is held for each chunk."""
        self._copies, self._spool, self._now_ms, self._arrived = copies, spool, now_ms, arrived
        self._lock, self._measures = lock or asyncio.Lock(), measures or Measures()

    async def run(
        self, attached: Attached, number: int, origin: str, still: Callable[[], bool] = lambda: True
    ) -> Adopted:
        """Take over everything there is while *still* says that it is this node's.

        ``number``: the pairing in the spool; *origin* names the node it came in at. Raises SpoolFull, SpoolBroken,
        SpoolClosed (temporary): run it again later, nothing is lost or taken twice.
        """
        done, after = Adopted(), ""
        while True:
            async with self._lock:
                rows = await self._copies.rows(attached, after, CHUNK)
                done.whole = not rows or still()
                if not rows or not done.whole:
                    break
                after = rows[-1].message_id
                await self._chunk(attached, number, origin, rows, done)
        done.left = await self._still(attached, done.left)
        return done

    async def _still(self, attached: Attached, left: Sequence[str]) -> list[str]:
        """Say which of those that could not be read are there: the owner may have settled one meanwhile."""
        remaining: set[str] = set()
        after = ""
        while left and (ids := await self._copies.ids(attached, after, CHUNK)):
            after = ids[-1]
            remaining.update(ids)
        return [each for each in left if each in remaining]

    async def _chunk(
        self, attached: Attached, number: int, origin: str, rows: Sequence[KeptCopy], done: Adopted
    ) -> None:
        found = await asyncio.gather(
            *(self._one(attached, number, origin, row) for row in rows), return_exceptions=True
        )
        here = [row.message_id for row, what in zip(rows, found, strict=True) if isinstance(what, bool)]
        taken = sum(what is True for what in found)
        self._measures.count("relay_copies_adopted", taken, node=origin)
        done.taken += taken
        done.already += sum(what is False for what in found)
        done.left += [row.message_id for row, what in zip(rows, found, strict=True) if what is None]
        if here:
            self._arrived()
            await self._copies.take_away(attached, here)
        for what in found:
            if isinstance(what, BaseException):
                raise what

    async def _one(self, attached: Attached, number: int, origin: str, row: KeptCopy) -> bool | None:
        """Take one over: True if it was, False if it was here, None if it cannot be read."""
        if row.damaged:
            return None
        began_ns = time_ns()
        try:
            standing = standing_of(row, number)
            body = await self._copies.body(attached, row.message_id)
            taken = await self._spool.adopt(standing, body, sent=sent_of(row), origin=origin, now_ms=self._now_ms())
        except (Unreadable, MessageGone, WrongRequest):
            return None
        if taken:
            tried = (each.traceparent for each in standing.progress)
            self._measures.adopted(standing.message, origin, attached.epoch, began_ns, *tried)
        return taken


def standing_of(told: KeptCopy | Brought, number: int) -> Standing:
    """Give what was told of a message as the spool takes it over; raises Unreadable."""
    return Standing(
        message=message_of(told.facts),
        facts=told.facts,
        size_bytes=told.size_bytes,
        pairing=number,
        confirmed=False,
        moving=False,
        progress=told.progress,
        lines=told.lines,
    )


def sent_of(row: KeptCopy) -> frozenset[int]:
    """Recipients whose final dot may have been sent."""
    return frozenset(index for intent in row.intents for index in intent.indexes)
