"""Mail of a pairing that is held and not in use, which its shadow has not said it has: nobody would copy it.

It came in just before copies went elsewhere, and the shadow was back before its pairing became void. Comparing may
still tell that it is there; what stays alone is copied anew, and for that the pairing becomes void first.
"""

import asyncio
import logging
from typing import Final

from node.errors import RelayError
from node.policy.envelope import Copies
from node.shadow.numbers import Numbers, Pairs
from node.spool.paired import PairedSpool

AFTER_S: Final = 10.0
"""Comparing has had its turn by then."""
LOOK_S: Final = 2.0
LOOKED_AT: Final = 100

_log = logging.getLogger(__name__)


class Idle:
    """Remembers since when there was such mail; bounded by the pairings of a spool."""

    def __init__(self, spool: PairedSpool, pairs: Pairs, numbers: Numbers) -> None:
        """Know of none yet."""
        self._spool, self._pairs, self._numbers = spool, pairs, numbers
        self._since_s: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except RelayError as error:
                _log.info("mail of pairings not in use is looked at again later: %s", error)
            except Exception:  # noqa: BLE001 - nothing here may end the copying
                _log.exception("mail of pairings not in use is looked at again later")

    async def _look(self) -> None:
        alone = [number for number in self._numbers.idle() if await self._any_alone(number)]
        now_s = asyncio.get_running_loop().time()
        self._since_s = {number: self._since_s.get(number, now_s) for number in alone}
        for number, since_s in self._since_s.items():
            view = self._numbers.view(number)
            if view is not None and now_s - since_s >= AFTER_S:
                _log.info("what %s has not said it has shall be copied elsewhere", view.key.shadow)
                self._pairs.copies_lost(view.key, view.epoch)

    async def _any_alone(self, number: int) -> bool:
        found = await self._spool.standing(number, "", LOOKED_AT, unconfirmed=True)
        return any(each.message.copies is not Copies.ONE for each in found)
