"""Tells from the disk what the other end of a pairing may not have heard: after a start, and whenever a sender ended.

The spool remembers how far its write transactions had come when the other end had last heard everything. Of what was
written later each message is told as it stands. So nothing that is only in memory is lost with a process, and nothing
need be kept there for an end that cannot be told for a while: one that is wrong about where mail stands would try it
too early after a loss, or call an attempt unknown whose outcome is known (I5).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from node.errors import RelayError
from node.shadow.current import Current
from node.shadow.notes import Notes
from node.shadow.outbox import Kept
from node.shadow.reports import journey_of, restated
from node.spool.paired import PairedSpool

LOOK_S: Final = 1.0
CHUNK: Final = 100
UNTOLD: Final = 4_000
"""Discards told at once that an earlier sender left untold."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Heard:
    """How far the other end has heard."""

    since: int | None = None
    """What was written up to there was told by earlier senders; None: not read yet."""
    come: int = 0
    """What was written later was told as it happened."""
    after: str = ""
    """The last message that was looked at."""
    settled: bool = False
    """Of what is settled everything was told."""
    through: bool = False
    """Of what is live, too."""
    behind: bool = False
    """More was heard than is noted."""


class Retelling:
    """One pairing after the other; ``run`` until cancelled."""

    def __init__(self, spool: PairedSpool, notes: Notes, now_ms: Callable[[], int]) -> None:
        """Know of no sender yet. ``now_ms``: wall clock, for attempts under way."""
        self._spool, self._notes, self._now_ms = spool, notes, now_ms
        self._heard: dict[Current, _Heard] = {}
        self._touched: set[str] | None = None
        self._news = asyncio.Event()

    def begun(self, current: Current) -> None:
        """A sender is in use: whatever the spool does from now on is told to it by others."""
        self._heard[current] = _Heard()
        self._news.set()

    def touched(self, message_id: str) -> None:
        """A message changed: what was read of it a moment ago is old."""
        if self._touched is not None:
            self._touched.add(message_id)

    async def run(self) -> None:
        """Look each second, and when a sender was begun."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            for current in list(self._heard):
                await self._guarded(current)

    async def _guarded(self, current: Current) -> None:
        if current.sender.ended:
            del self._heard[current]
            return
        try:
            await self._round(current, self._heard[current])
        except RelayError as error:
            _log.info("%s hears later what it may have missed: %s", current.view.key.shadow, error)
        except Exception:  # noqa: BLE001 - nothing here may end the copying
            _log.exception("%s hears later what it may have missed", current.view.key.shadow)

    async def _round(self, current: Current, heard: _Heard) -> None:
        if not heard.settled:  # a part in each round; what was heard of the last one is not told again
            await self._notes.flush()
            untold = await self._spool.untold(current.number, UNTOLD)
            heard.settled = not await tell_settled(self._spool, current, untold)
        if heard.since is None:
            since = await self._spool.heard(current.number)
            heard.come = await self._spool.note_heard(current.number, since)
            heard.since = since
        if not heard.through:
            await self._retell(current, heard, heard.since)
        elif current.told or heard.behind:
            await self._note(current, heard)

    async def _note(self, current: Current, heard: _Heard) -> None:
        """What was written before ``come`` had been told when it was asked for; it is durable there, so it is noted."""
        heard.behind, current.told = current.told, False
        if await current.sender.all_heard() is Kept.COPIED:
            heard.come = await self._spool.note_heard(current.number, heard.come)

    # ---- live messages -----------------------------------------------------------------------------------------------

    async def _retell(self, current: Current, heard: _Heard, since: int) -> None:
        while not heard.through:
            last, told = await self._part(current, heard.after, since)
            # A part waits for the one before it: what comes in at the door has its room.
            if told and await current.sender.all_heard() is not Kept.COPIED:
                return
            heard.after, heard.through = last, not last
            heard.behind |= told

    async def _part(self, current: Current, after: str, since: int) -> tuple[str, bool]:
        """Tell some as they stand; those that change meanwhile are read again. The last looked at, and if any were."""
        done: set[str] = set()
        while True:
            touched: set[str] = set()
            self._touched = touched
            try:
                found = await self._spool.newer(current.number, since, after, CHUNK)
            finally:
                self._touched = None
            for each in found.found:
                if each.message.id not in touched and each.message.id not in done:
                    done.add(each.message.id)
                    for what in restated(each, self._now_ms()):
                        current.tell(what)
            if not touched.intersection(each.message.id for each in found.found):
                return found.last, bool(done)


async def tell_settled(spool: PairedSpool, current: Current, message_ids: Sequence[str]) -> int:
    """Tell that messages are settled, and how it came to it; how many were not told before."""
    fresh = [each for each in message_ids if each not in current.discarded]
    journeys = await spool.journeys(fresh) if fresh else {}
    for name, lines in journeys.items():
        for what in journey_of(name, lines):
            current.tell(what)
    return len(current.discard(fresh))
