"""Marks lost disks in the store and removes the keys that no disk stands behind (``ownership/retiring.py``).

One node does it, the first by name of those that are there; that it is one only spares the store, for every
transaction compares what it was judged by. A key under which a shadow has nothing left is that shadow's (``Moving``).
"""

import logging
from collections.abc import Callable
from typing import Final

from coordinator.feed import Feed
from coordinator.keeping.contract import Hooks
from coordinator.keeping.known import Known
from coordinator.keeping.sending import Sending
from coordinator.ownership import retiring
from coordinator.ownership.retiring import LOST_DELAY_MS, Around
from coordinator.ownership.writes import Transaction
from coordinator.session import Session
from coordinator.store.contract import Put

_log = logging.getLogger("coordinator")
LOOK_MS: Final = 60_000
AGAIN_MS: Final = 1_000
"""After something was done there may be more."""


class Retiring:
    """The chore as last looked at."""

    def __init__(
        self,
        known: Known,
        hooks: Hooks,
        sending: Sending,
        feed: Feed,
        *,
        session: Callable[[], Session],
        now_ms: Callable[[], int],
    ) -> None:
        """Look as soon as there is a session."""
        self.delay_ms = LOST_DELAY_MS
        self._known, self._hooks, self._sending, self._feed = known, hooks, sending, feed
        self._session, self._now_ms = session, now_ms
        self._next_ms = 0

    @property
    def due(self) -> bool:
        """Whether it is this node's turn, and time to look."""
        first = next(iter(self._known.seats.live), None)
        mine = first is not None and first.node == self._known.me.node
        return mine and self._known.live and self._known.fresh and self._now_ms() >= self._next_ms

    async def look(self) -> None:
        """Do the next thing that is to be done, if any. Raises StoreError, NotAMember."""
        known, now_ms = self._known, self._now_ms()
        self._next_ms = now_ms + LOOK_MS
        around = Around(
            seats=known.seats,
            listed=self._hooks.listed(),
            began_ms=self._session().began_ms,
            now_ms=now_ms,
            paused=self._hooks.paused(),
            dead=self._hooks.dead(),
            delay_ms=self.delay_ms,
        )
        chore = retiring.next_chore(known.keys, retiring.books(known.keys, self._feed.items), around)
        if chore is not None and await self._sending.anything(chore):
            _log.warning("a disk is lost for good: %s is %s", chore[1][0].key, _done(chore))
            self._next_ms = now_ms + AGAIN_MS

    def settled(self, node: str) -> bool:
        """Whether nothing is left to take over of a node."""
        known = self._known
        return known.live and retiring.settled(node, retiring.books(known.keys, self._feed.items))


def _done(chore: Transaction) -> str:
    return "marked" if isinstance(chore[1][0], Put) else "removed"
