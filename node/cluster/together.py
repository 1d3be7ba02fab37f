"""Budgets of a node in a cluster as one object: shares, silence and fence, made together and run together."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from coordinator.peers.contract import Handler, Peers
from node.cluster.fence import Fence
from node.cluster.holds import Holds
from node.cluster.limits import BudgetLimits
from node.cluster.notes import Notes
from node.cluster.place import Place
from node.cluster.shared import SharedBudgets
from node.cluster.silence import Silence


class ClusterBudgets:
    """What the composition root wires: ``budgets`` to delivery and intake, ``fence``'s hooks to delivery."""

    def __init__(
        self, limits: BudgetLimits, place: Place, kept: Path, *, started_ms: int, fallback: bool = True
    ) -> None:
        """``kept``: the spool's directory for notes. ``fallback``: as configured."""
        self._place = place
        self.budgets = SharedBudgets(limits, place, started_ms=started_ms)
        scopes = self.budgets.scopes
        self.holds = Holds(
            place,
            Notes(kept),
            lambda: {part.keys[0]: part for part in scopes.permit_parts()},
            lambda: {part.account: part for part in scopes.slot_parts()},
            lambda: {part.keys[0]: part for part in scopes.day_parts()},
        )
        self.silence = Silence(place, self.holds, scopes.nodes, enabled=fallback)
        self.fence = Fence(place, self.silence)
        self.budgets.alone_together = self.silence.active
        self.silence.on_change(self.budgets.alone)
        place.session.before_join = self.silence.returning

    def routes(self) -> dict[str, Handler]:
        """Routes for the node's peer server."""
        return self.silence.routes()

    async def run(self, peers: Peers) -> None:
        """Run all parts until cancelled. ``holds.load`` and ``budgets.rebuild`` come before."""
        self.silence.peers = peers
        async with asyncio.TaskGroup() as together:
            together.create_task(self.budgets.run())
            together.create_task(self.silence.run())
            together.create_task(self.fence.run())
            together.create_task(self._wake())

    async def _wake(self) -> None:
        """A session that begins is news for every part."""
        while True:
            await self._place.session.changed.wait()
            self.budgets.mover.due()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call when the node begins or ends to go on without the store."""
        self.silence.on_change(listener)
