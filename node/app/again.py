"""Makes mail due that was put off until something changes, once it has: a scope resumed, a new configuration."""

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from node.delivery.clock import wall_ms
from node.delivery.ways import BY_SIZE
from node.errors import RelayError
from node.policy.envelope import RecipientState
from node.policy.offers import Cause
from node.spool.contract import Filter
from node.spool.pages import Spot

if TYPE_CHECKING:
    from node.app.node import Node

RELEASE_BATCH: Final = 1_000
REPEAT_S: Final = 5.0
ACTOR: Final = "relay-node"
NEW_CONFIGURATION: Final = "new configuration"
CONFIGURED: Final = frozenset({*(cause.value for cause in Cause if cause), *BY_SIZE})
"""Reasons to wait for that another configuration may end: no way allowed, a budget too small for all recipients."""


class Again:
    """Looks for such mail in the spool; what is in memory is told by ``Delivery.reload`` and ``stir``."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self._wanted: dict[str, tuple[str, str]] = {}
        """Reason mail waits for → who makes it due and why."""
        self._asked = asyncio.Event()

    def configured(self) -> None:
        """Say that a new configuration is in force."""
        for reason in sorted(CONFIGURED | self._refused()):
            self.soon(reason, ACTOR, NEW_CONFIGURATION)

    def soon(self, reason: str, actor: str, why: str) -> None:
        """Make due what waits for a reason, in the background: a million messages take minutes."""
        self._wanted[reason] = (actor, why)
        self._asked.set()

    async def run(self) -> None:
        """Do what is wanted, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.catch_up()

    async def catch_up(self) -> None:
        """Do all that is wanted now; a spool that does not answer is asked again."""
        while self._wanted:
            reason, (actor, why) = self._wanted.popitem()
            try:
                await self._release(reason, actor, why)
            except RelayError:
                self._wanted.setdefault(reason, (actor, why))
                await asyncio.sleep(REPEAT_S)

    async def _release(self, reason: str, actor: str, why: str) -> None:
        """Go once through all that waits, page by page: to look for the first of a million each time takes hours."""
        spool = self._node.spool
        waiting = Filter(states=(RecipientState.DEFERRED,), reason=reason, limit=RELEASE_BATCH)
        spot: Spot | None = None
        while True:
            page = await spool.page(waiting, spot)
            ids = tuple(view.message.id for view in page.messages)
            if ids and await spool.release(replace(waiting, ids=ids), actor, why, wall_ms()):
                self._node.control.wake()
            spot = page.looked_to
            if spot is None:
                return

    def _refused(self) -> set[str]:
        """Why accounts refuse a From: another account, a new one even, may carry it."""
        entries = self._node.health.entries.items()
        return {standing.reason for scope, standing in entries if scope.startswith("pair/")}
