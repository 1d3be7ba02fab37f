"""Makes mail due that was put off until something changes, once it has: a scope resumed, a new configuration."""

import asyncio
from typing import TYPE_CHECKING, Final

from node.delivery.clock import wall_ms
from node.delivery.ways import BY_SIZE
from node.errors import RelayError
from node.policy.envelope import RecipientState
from node.policy.offers import Cause
from node.spool.contract import Filter

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
        self._configured = asyncio.Event()

    def configured(self) -> None:
        """Say that a new configuration is in force."""
        self._configured.set()

    async def run(self) -> None:
        """Wait for new configurations for ever; a spool that does not answer is asked again."""
        while True:
            await self._configured.wait()
            self._configured.clear()
            try:
                for reason in sorted(CONFIGURED | self._refused()):
                    await self.release(reason, ACTOR, NEW_CONFIGURATION)
            except RelayError:
                self._configured.set()
                await asyncio.sleep(REPEAT_S)
            self._node.control.wake()

    async def release(self, reason: str, actor: str, why: str) -> None:
        """Make due what waits for a reason: as much as waits now, since some may come to wait for it again."""
        waiting = Filter(states=(RecipientState.DEFERRED,), reason=reason, limit=RELEASE_BATCH)
        counts = await self._node.spool.count()
        for _ in range(1 + counts.by_state.get(RecipientState.DEFERRED, 0) // RELEASE_BATCH):
            if not await self._node.spool.release(waiting, actor, why, wall_ms()):
                return

    def _refused(self) -> set[str]:
        """Why accounts refuse a From: another account, a new one even, may carry it."""
        entries = self._node.health.entries.items()
        return {standing.reason for scope, standing in entries if scope.startswith("pair/")}
