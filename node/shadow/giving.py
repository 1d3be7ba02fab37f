"""Moves mail of the spool that is another's now into the copy store: after a hand-over, or at return.

Each message is durable there before it goes here, so a crash leaves it in both, and the next run ends it. One that is
in flight, or not answered to its client yet, stays for the moment.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from coordinator.ownership.rows import Attached
from node.shadow.adoption import CHUNK
from node.shadow.contract import Copies
from node.shadow.errors import ShadowError
from node.shadow.measures import Measures
from node.spool.errors import MessageGone, WrongRequest
from node.spool.paired import PairedSpool, Standing


class StillMoving(ShadowError):  # noqa: N818 - a state of affairs
    """Some mail of the pairing cannot be moved out yet: it is in flight, or just being accepted."""

    word = "moving"


class Giving:
    """Moves out one pairing at a time."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        *,
        taking: Callable[[str], bool],
        lock: asyncio.Lock,
        measures: Measures,
    ) -> None:
        """``taking``: whether a message is not answered to its client yet; ``lock`` is held for each chunk."""
        self._copies, self._spool, self._taking, self._lock = copies, spool, taking, lock
        self._measures = measures

    async def run(self, attached: Attached, number: int, node: str, still: Callable[[], bool] = lambda: True) -> int:
        """Move everything out while *still* says that it is another's; how many.

        ``node``: who may send copies of this pairing. Raises StillMoving when some stay for the moment, and SpoolFull,
        SpoolBroken, SpoolClosed (temporary): run it again.
        """
        moved, kept, after = 0, 0, ""
        while still():
            async with self._lock:
                rows = await self._spool.standing(number, after, CHUNK)
                if not rows:
                    break
                after = rows[-1].message.id
                free = [row for row in rows if not row.moving and not self._taking(row.message.id)]
                gone, stay = await self._chunk(attached, node, free)
                moved, kept = moved + gone, kept + stay + len(rows) - len(free)
        if kept:
            raise StillMoving(f"{kept} messages are in flight or just being accepted")
        return moved

    async def _chunk(self, attached: Attached, node: str, rows: Sequence[Standing]) -> tuple[int, int]:
        """Move some; how many went and how many stay for the moment. What has lost its body stays for good."""
        bodies = await asyncio.gather(*(self._body(row.message.id) for row in rows))
        items = [(row, body) for row, body in zip(rows, bodies, strict=True) if body is not None]
        if not items:
            return 0, 0
        await self._copies.keep(attached, node, items)
        stay = await self._yield_up([row.message.id for row, _ in items])
        self._measures.count("relay_copies_given", len(items) - stay)
        return len(items) - stay, stay

    async def _body(self, message_id: str) -> bytes | Path | None:
        """Give a body; None if the message was settled meanwhile, or its body is lost."""
        with suppress(MessageGone):
            return await self._spool.body(message_id)
        return None

    async def _yield_up(self, ids: Sequence[str]) -> int:
        """Forget them here; how many stay, for they began to move meanwhile."""
        try:
            await self._spool.yield_up(ids)
        except WrongRequest:
            if len(ids) == 1:
                return 1
            return sum([await self._yield_up([each]) for each in ids])
        return 0
