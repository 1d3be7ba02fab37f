"""Asks again of reports that wait, until they fit or their time is over."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from node.errors import RelayError
from node.truth.contract import Outcome
from node.truth.desk import Desk
from node.truth.waiting import Waiting, Waits, over_at_ms

LOOK_S: Final = 2.0
_log = logging.getLogger(__name__)


class Again:
    """One for the node."""

    def __init__(self, desk: Desk, waiting: Waiting, *, now_ms: Callable[[], int]) -> None:
        """Ask the desk."""
        self._desk, self._waiting, self._now_ms = desk, waiting, now_ms

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self.look()
            except RelayError as error:
                _log.warning("reports that wait cannot be asked of now: %s", error)
            except Exception:  # noqa: BLE001 - one report must not end the looking for all
                _log.exception("reports that wait cannot be asked of now")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask of all that are due, once; raises what the stores raise, and NotNow."""
        for waits in await self._waiting.due(self._now_ms()):
            await self._one(waits)

    async def _one(self, waits: Waits) -> None:
        now_ms = self._now_ms()
        await self._waiting.put_off(waits, now_ms)  # first, so that one that raises keeps no other from its turn
        judged = await self._desk.judge(waits.claim)
        if judged.outcome is Outcome.WAITING:
            if now_ms < over_at_ms(waits.claim):
                return
            judged = msgspec.structs.replace(judged, outcome=Outcome.UNMATCHED)
        await self._waiting.over(waits, judged)
        self._desk.count(judged.outcome, waits.claim.came)
