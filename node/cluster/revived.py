"""Writes the end of an operator's word that a node is dead: it has begun a session again, or nothing is left of it.

The word was about the session it had then. Everybody heeds that by what they see (``coordinator/wishes.py``); the end
is written so that who starts later, when the node is away once more, does not take the old word for a new one. The
node itself writes it; should it not, the others do, one after the other.

A node that never comes back needs no word any more once its disks are marked as lost and their keys are gone.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from coordinator.errors import CoordinatorError
from coordinator.wishes import Kind, Wish
from node.cluster.wishes import Wishes

LOOK_S: Final = 1.0
TURN_S: Final = 3.0
"""How long each waits for those before it."""
WHY: Final = "it has begun a session"
WHY_SETTLED: Final = "nothing of it is left to take over"

_log = logging.getLogger(__name__)


class Revived:
    """Looks each second; bounded by the nodes of a cluster."""

    def __init__(
        self,
        wishes: Wishes,
        node: str,
        nodes: Callable[[], Sequence[str]],
        wall_ms: Callable[[], int],
        settled: Callable[[str], bool] = lambda _node: False,
    ) -> None:
        """``nodes``: the list in force, in an order that all agree on; ``settled``: nothing is left of a node."""
        self._wishes, self._node, self._nodes, self._wall_ms = wishes, node, nodes, wall_ms
        self._settled = settled
        self._since_s: dict[tuple[str, int], float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        book, now_ms = self._wishes.book, self._wall_ms()
        over = dict.fromkeys(book.revived(now_ms), WHY)
        dead = (wish for wish in book.in_force(now_ms) if wish.kind is Kind.DEAD)
        over |= {wish: WHY_SETTLED for wish in dead if self._settled(wish.what)}
        found = {(wish.what, wish.sequence): wish for wish in over}
        now_s = asyncio.get_running_loop().time()
        self._since_s = {name: self._since_s.get(name, now_s) for name in found}
        for name, wish in found.items():
            if now_s - self._since_s[name] >= self._wait_s(wish):
                await self._end(wish, over[wish])

    def _wait_s(self, wish: Wish) -> float:
        if wish.what == self._node:
            return 0.0
        order = [node for node in self._nodes() if node != wish.what]
        return TURN_S * (1 + order.index(self._node) if self._node in order else len(order) + 1)

    async def _end(self, wish: Wish, why: str = WHY) -> None:
        try:
            await self._wishes.make(Kind.DEAD, wish.what, on=False, actor=self._node, reason=why, instead_of=wish)
        except (CoordinatorError, ValueError) as error:  # another was faster, or the store is silent: looked at again
            _log.info("the end of %s's being declared dead is not written yet: %s", wish.what, error)
