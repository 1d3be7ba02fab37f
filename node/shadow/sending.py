"""The life of senders: one for the pairing in force, begun again after a pause when it ends, replaced with it."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from coordinator.errors import CoordinatorError
from coordinator.ownership.views import View, may_copy
from node.errors import RelayError
from node.shadow.current import Beginning, Current, Events
from node.shadow.errors import ShadowError
from node.shadow.numbers import Pairs, same
from node.shadow.retelling import UNTOLD, tell_settled
from node.shadow.shunned import Shunned
from node.spool.paired import PairedSpool

PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
WORKED_S: Final = 5.0
"""A sender that lived so long worked: the next one is begun soon."""
LOOK_S: Final = 1.0
"""Without a pairing it is looked for so often: one that was gone between two looks of the keeper is not told of."""
NOBODY: Final = "no other node keeps copies of this one"

_log = logging.getLogger(__name__)


class Sending:
    """Keeps a sender alive for whatever pairing is in force."""

    def __init__(self, spool: PairedSpool, pairs: Pairs, beginning: Beginning, events: Events) -> None:
        """Send nothing yet."""
        self._spool, self._pairs, self._beginning, self._events = spool, pairs, beginning, events
        self.current: Current | None = None
        """None: what is accepted now is here alone."""
        self.number = 0
        """Of the last pairing in force, also while nothing can be sent under it; 0: there was none."""
        self._view: View | None = None
        self.shunned = Shunned(asyncio.get_running_loop().time)
        """Nodes that are there and take no copies for now."""
        self.why = NOBODY
        """Why nothing is copied; empty while copies go."""
        self._looked = asyncio.Event()
        self._closing: dict[asyncio.Task[None], int] = {}

    def look(self) -> None:
        """Compare with the pairing in force: nothing more goes under one that is over."""
        current = self.current
        if current is not None and not same(self._pairs.target, current.view):
            self._leave(current)
        self._looked.set()

    def counts(self, number: int) -> bool:
        """Whether a copy under this number is worth something: nothing of mine has made it void, or is about to."""
        if number != self.number or self._view is None:
            return False
        now = self._pairs.view(self._view.key)
        return now is not None and same(now, self._view) and may_copy(now)

    def ends(self, number: int) -> bool:
        """Whether a sender of this number still says what waits."""
        return number in self._closing.values()

    async def run(self) -> None:
        """Serve until cancelled."""
        pause_s = PAUSE_S
        while True:
            target = self._pairs.target
            if target is None:
                self.why = NOBODY
                await self._pause(None, LOOK_S)
                continue
            began_s = asyncio.get_running_loop().time()
            await self._tried(target)
            if not same(self._pairs.target, target):
                pause_s = PAUSE_S
                continue
            if self.shunned.failed(target.key.shadow):
                _log.warning("copies shall go to another node than %s", target.key.shadow)
                self._events.shunned()
            worked = asyncio.get_running_loop().time() - began_s > WORKED_S
            pause_s = PAUSE_S if worked else pause_s
            await self._pause(target, pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def close(self) -> None:
        """Let every sender say what waits, within the time a copy may take."""
        current = self.current
        if current is not None:
            self._leave(current)
        if self._closing:
            await asyncio.wait(self._closing)
        self.why = "closed"

    async def _tried(self, target: View) -> None:
        try:
            await self._serve(target)
        except (RelayError, CoordinatorError) as error:
            self.why = f"{target.key.shadow}: {error}"
            _log.info("copies are not sent to %s", self.why)
        except Exception as error:  # noqa: BLE001 - nothing here may end the copying
            self.why = f"{target.key.shadow}: {type(error).__name__}"
            _log.exception("copies are not sent to %s", target.key.shadow)

    async def _serve(self, target: View) -> None:
        """Begin, and return when the pairing is over; raises what ended the sending."""
        current = await self._begun(target)
        try:
            await self._catch_up(current)
        except BaseException:
            self._leave(current)
            raise
        if not same(self._pairs.target, target):
            self._leave(current)
            return
        self.current, self.why = current, ""
        self.shunned.worked(target.key.shadow)
        self._events.begun(current)
        _log.info("copies go to %s, store %s", target.key.shadow, current.sender.store)
        while not current.sender.ended and self.current is current:
            await self._news()
        if self.current is current:
            self.current = None
            raise ShadowError(current.sender.ended)

    async def _begun(self, target: View) -> Current:
        number = await self._beginning.number(target)
        self.number, self._view = number, target
        return await self._beginning.begin(target, number, self._looked.set)

    async def _catch_up(self, current: Current) -> None:
        """Tell first what was left untold: discards make room, and a shadow without any ends what copies for it."""
        untold = await self._spool.untold(current.number, UNTOLD)
        await tell_settled(self._spool, current, untold)
        current.sender.flush()
        while current.discarded and not current.sender.ended and same(self._pairs.target, current.view):
            await self._news()

    def _leave(self, current: Current) -> None:
        """Use a sender no more; it says what waits in its own time."""
        if self.current is current:
            self.current = None
            self.why = NOBODY
        self._looked.set()
        task = asyncio.get_running_loop().create_task(current.sender.close())
        self._closing[task] = current.number
        task.add_done_callback(self._closing.pop)

    async def _news(self) -> None:
        self._looked.clear()
        await self._looked.wait()

    async def _pause(self, target: View | None, seconds: float) -> None:
        until_s = asyncio.get_running_loop().time() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                while same(self._pairs.target, target):
                    await self._news()
