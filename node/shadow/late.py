"""What arrives of a pairing after this node has taken it over: copies are taken over too, and discards are heeded."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from coordinator.ownership.rows import Attached
from node.shadow.answering import Answering
from node.shadow.contract import Copies
from node.shadow.entries import Discard
from node.shadow.frames import Batch
from node.spool.paired import PairedSpool

IDS_MAX: Final = 20_000
"""Messages remembered of which something came late; of others a second attempt is the worst that comes."""
PAUSE_S: Final = 1.0
CHUNK: Final = 500

_log = logging.getLogger(__name__)


class Late:
    """Follows up one pairing after the other."""

    def __init__(
        self,
        spool: PairedSpool,
        copies: Copies,
        answering: Answering,
        *,
        adopt: Callable[[Attached], Awaitable[None]],
        sender: Callable[[Attached], str],
    ) -> None:
        """``adopt`` takes over what there is of a pairing, if it is this node's still; ``sender`` names who sent it."""
        self._spool, self._copies, self._answering = spool, copies, answering
        self._adopt, self._sender = adopt, sender
        self._named: dict[Attached, dict[str, bool]] = {}
        """Messages by pairing, and whether they are settled."""
        self._news = asyncio.Event()

    def add(self, attached: Attached, batch: Batch) -> None:
        """Remember what came; returns at once."""
        named = self._named.setdefault(attached, {})
        for entry in batch.entries:
            settled = isinstance(entry, Discard)
            for name in entry.message_ids if isinstance(entry, Discard) else (entry.message_id,):
                if sum(map(len, self._named.values())) < IDS_MAX:
                    named[name] = named.get(name, False) or settled
        self._news.set()

    async def run(self) -> None:
        """Follow up, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            for attached in list(self._named):
                await self._follow(attached, self._named.pop(attached))

    async def _follow(self, attached: Attached, named: dict[str, bool]) -> None:
        try:
            await self._adopt(attached)
            settled = [name for name, done in named.items() if done]
            for start in range(0, len(settled), CHUNK):
                await self._answering.settle(attached, settled[start : start + CHUNK], self._sender(attached))
            await self._forget(attached, list(named))
        except Exception as error:  # noqa: BLE001 - whatever it is, what came must not be forgotten
            _log.warning("what came late of spool %s is looked at again: %r", attached.key.spool, error)
            self._named[attached] = named | self._named.get(attached, {})
            await asyncio.sleep(PAUSE_S)
            self._news.set()

    async def _forget(self, attached: Attached, names: list[str]) -> None:
        """What was told of messages that are in the spool now is of no use any more."""
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            known = await self._spool.look(chunk)
            await self._copies.take_away(attached, list(known))
