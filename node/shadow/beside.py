"""Senders of pairings that are held beside the one in use: their shadows have mail of this node and must hear of it.

Copies go elsewhere since such a shadow was away for a moment; what it has still counts, and it takes it over if this
node is lost. Without a sender it would hear only what it asks for, a thousand messages every few seconds.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from coordinator.errors import CoordinatorError
from node.errors import RelayError
from node.shadow.current import Beginning, Current, Events
from node.shadow.errors import ShadowError
from node.shadow.numbers import Numbers
from node.spool.paired import PairedSpool

LOOK_S: Final = 1.0
PAUSE_S: Final = 0.5
PAUSE_MAX_S: Final = 5.0

_log = logging.getLogger(__name__)


class Beside:
    """One sender for each such pairing that has mail; bounded by the nodes of a cluster."""

    def __init__(
        self,
        spool: PairedSpool,
        numbers: Numbers,
        beginning: Beginning,
        events: Events,
        ends: Callable[[int], bool],
    ) -> None:
        """``ends``: whether the sender that was in use of a number still says what waits."""
        self._spool, self._numbers, self._beginning, self._events, self._ends = spool, numbers, beginning, events, ends
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._currents: dict[int, Current] = {}

    def at(self, number: int) -> Current | None:
        """Give the sender of a number, if it has one."""
        found = self._currents.get(number)
        return found if found is not None and not found.sender.ended else None

    async def run(self) -> None:
        """Look until cancelled; what the senders have to say is said at the end."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                try:
                    await self._look()
                except RelayError as error:
                    _log.info("pairings not in use are looked at again later: %s", error)
                except Exception:  # noqa: BLE001 - nothing here may end the copying
                    _log.exception("pairings not in use are looked at again later")
        finally:
            for number in list(self._tasks):
                self._end(number)
            await asyncio.gather(*self._ending, return_exceptions=True)

    async def _look(self) -> None:
        wanted = {number for number in self._numbers.beside() if await self._has_mail(number)}
        for number in self._tasks.keys() - wanted:
            self._end(number)
        for number in wanted - self._tasks.keys():
            if not self._ends(number):
                self._tasks[number] = asyncio.create_task(self._serve(number))

    def _end(self, number: int) -> None:
        task = self._tasks.pop(number)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        task.cancel()

    async def _has_mail(self, number: int) -> bool:
        return (await self._spool.here(number)).own or bool(await self._spool.untold(number, 1))

    async def _serve(self, number: int) -> None:
        """Keep a sender until cancelled, which happens when the pairing is in use again, or over."""
        pause_s = PAUSE_S
        while True:
            try:
                await self._tell(number)
            except (RelayError, CoordinatorError) as error:
                _log.info("what becomes of mail under pairing %d is not told for now: %s", number, error)
            except Exception:  # noqa: BLE001 - nothing here may end the copying
                _log.exception("what becomes of mail under pairing %d is not told for now", number)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _tell(self, number: int) -> None:
        """Begin a sender; raises what ended it."""
        view, news = self._numbers.view(number), asyncio.Event()
        if view is None:
            return
        current = await self._beginning.begin(view, number, news.set)
        self._currents[number] = current
        try:
            self._events.begun(current)
            while not current.sender.ended:
                await news.wait()
                news.clear()
            raise ShadowError(current.sender.ended)
        finally:
            if self._currents.get(number) is current:
                del self._currents[number]
            await current.sender.close()
