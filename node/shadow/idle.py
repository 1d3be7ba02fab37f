"""Pairings held beside the one in use whose mail counts on a shadow that may not have it: they shall become void.

Mail came in just before copies went elsewhere, and the shadow was back before its pairing became void. Comparing may
still tell that it is there; what stays alone is copied anew, and for that the pairing becomes void first. A shadow that
took nothing at last is waited for no longer: it would not hear what becomes of its copies either.
"""

import asyncio
import logging
from typing import Final

from node.errors import RelayError
from node.policy.envelope import Copies
from node.shadow.numbers import Numbers, Pairs
from node.shadow.shunned import Shunned
from node.spool.paired import PairedSpool

AFTER_S: Final = 10.0
"""Comparing has had its turn by then."""
LOOK_S: Final = 2.0
LOOKED_AT: Final = 100

_log = logging.getLogger(__name__)


class Idle:
    """Remembers since when there was such mail; bounded by the pairings of a spool."""

    def __init__(self, spool: PairedSpool, pairs: Pairs, numbers: Numbers, shunned: Shunned) -> None:
        """Know of none yet. ``shunned``: nodes that are there and take nothing."""
        self._spool, self._pairs, self._numbers, self._shunned = spool, pairs, numbers, shunned
        self._since_s: dict[int, float] = {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Copies go to another node: look now."""
        self._news.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            try:
                await self._look()
            except RelayError as error:
                _log.info("mail of pairings not in use is looked at again later: %s", error)
            except Exception:  # noqa: BLE001 - nothing here may end the copying
                _log.exception("mail of pairings not in use is looked at again later")

    async def _look(self) -> None:
        patience = {number: await self._patience_s(number) for number in self._numbers.idle()}
        now_s = asyncio.get_running_loop().time()
        waits = {number: within_s for number, within_s in patience.items() if within_s is not None}
        self._since_s = {number: self._since_s.get(number, now_s) for number in waits}
        for number, within_s in waits.items():
            view = self._numbers.view(number)
            if view is not None and now_s - self._since_s[number] >= within_s:
                _log.info("what %s has not said it has shall be copied elsewhere", view.key.shadow)
                self._pairs.copies_lost(view.key, view.epoch)

    async def _patience_s(self, number: int) -> float | None:
        """Say how long its mail may stay as it is; None: for ever."""
        view = self._numbers.view(number)
        if view is not None and view.key.shadow in self._shunned:
            return 0.0 if (await self._spool.here(number)).own else None
        return AFTER_S if await self._any_alone(number) else None

    async def _any_alone(self, number: int) -> bool:
        found = await self._spool.standing(number, "", LOOKED_AT, unconfirmed=True)
        return any(each.message.copies is not Copies.ONE for each in found)
