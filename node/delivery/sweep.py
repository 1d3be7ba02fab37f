"""The slow look at the whole spool: lanes nobody told us of, mail past its time, outcomes left unknown by a crash.

A net under the news, not the way mail is found: it runs every few seconds, or soon after an unnamed ``wake``.
"""

import asyncio
from collections.abc import Callable

import msgspec

from node.delivery.clock import wall_ms
from node.delivery.lanes import Lanes
from node.delivery.settle import Settler
from node.errors import RelayError
from node.policy.envelope import OnUnknown, RecipientState
from node.spool.contract import Spool

BATCH_MESSAGES = 500
"""Expired or unknown messages dealt with in one look; the rest waits for the next, a poll later."""
REST_FACTOR = 4.0
"""A look that took long is not repeated before four times as long has passed."""


class Sweeper:
    """Looks when told to, or when the poll is due."""

    def __init__(
        self,
        spool: Spool,
        lanes: Lanes,
        settler: Settler,
        holds: Callable[[str, str], bool],
        mine: Callable[[], bool] = lambda: True,
    ) -> None:
        """``holds``: whether the dispatcher has a message of a lane in hand. ``mine``: whether the mail may be judged.

        While it may be another node's by now, nothing is reported as failed.
        """
        self._mine = mine
        self._spool = spool
        self._lanes = lanes
        self._settler = settler
        self._holds = holds
        self._hurry = asyncio.Event()
        self._took_s = 0.0

    def hurry(self) -> None:
        """Look soon."""
        self._hurry.set()

    async def wait(self, poll_s: float) -> None:
        """Wait for the poll or for a hurry; never look again before the last look's fourfold time has passed."""
        await asyncio.sleep(min(poll_s, REST_FACTOR * self._took_s))
        try:
            async with asyncio.timeout(poll_s):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def look(self) -> None:
        """Look once. A spool that does not answer is asked again at the next look."""
        self._hurry.clear()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            now_ms = wall_ms()
            if self._mine():
                await self._expired(now_ms)
                await self._unknown(now_ms)
            for state in await self._spool.lanes():
                self._lanes.due_at(state.lane, state.first_due_ms)
        except RelayError:
            # The spool's own alarms tell people; mail stays where it is.
            pass
        self._took_s = loop.time() - began_s

    async def _expired(self, now_ms: int) -> None:
        for due in await self._spool.expired(now_ms, BATCH_MESSAGES):
            recipients = due.recipients
            if due.message.on_unknown is OnUnknown.VERIFY:
                # Neither duplicated nor guessed, even past the expiry (operations A4).
                recipients = tuple(one for one in recipients if one.state is not RecipientState.UNKNOWN)
            if recipients and not self._holds(due.message.id, due.lane):
                await self._settler.expire(msgspec.structs.replace(due, recipients=recipients, body=None), now_ms)

    async def _unknown(self, now_ms: int) -> None:
        for due in await self._spool.unknowns(now_ms, BATCH_MESSAGES):
            if not self._holds(due.message.id, due.lane):
                await self._settler.resolve(due, due.recipients, now_ms)
