"""What a node does again and again beside its work: small state kept, history dropped, gauges set."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from node.app import alarming, erasing, hiding
from node.app.again import Again
from node.app.arrivals import Arrivals
from node.app.gauges import CopiesGauges, refresh
from node.app.probing import LOOK_EVERY_S, Probing
from node.delivery.clock import steady_ms, wall_ms

if TYPE_CHECKING:
    from node.app.node import Node

KEEP_EVERY_S: Final = 10.0
HOUSEKEEPING_EVERY_S: Final = 600.0
PRUNE_BATCH: Final = 1_000
GAUGES_EVERY_S: Final = 5.0
CREDENTIALS_EVERY_S: Final = 60.0
SECRETS_EVERY_S: Final = 10.0
_log = logging.getLogger(__name__)


class Chores:
    """The chores of one node; they run from when it is ready until it stops."""

    def __init__(self, node: "Node") -> None:
        """Keep the node; asked only while it runs."""
        self._node = node
        self._copies = CopiesGauges(node.telemetry)
        self._probing = Probing(node)
        self.arrivals = Arrivals(node)
        self.again = Again(node)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Begin all of them."""
        self._node.credentials.look()
        chores: dict[str, tuple[float, Callable[[], object]]] = {
            "keep": (KEEP_EVERY_S, self.keep),
            "housekeeping": (HOUSEKEEPING_EVERY_S, self._prune),
            "gauges": (GAUGES_EVERY_S, self._gauges),
            "credentials": (CREDENTIALS_EVERY_S, self._node.credentials.look),
            "secrets": (SECRETS_EVERY_S, self._secrets),
            "connectors": (LOOK_EVERY_S, self._probing.look),
            "erasures": (erasing.ROUND_EVERY_S, self._node.control.erasures.look),
            "hiding": (hiding.HIDE_EVERY_S, lambda: hiding.hide(self._node)),
            "arrivals": (LOOK_EVERY_S, self.arrivals.look),
        }
        if self._node.alarming is not None:
            chores["alarms"] = (alarming.LOOK_EVERY_S, self._node.alarming.look)
        tasks = [asyncio.create_task(_every(seconds, work), name=name) for name, (seconds, work) in chores.items()]
        tasks.append(asyncio.create_task(self.again.run(), name="mail put off"))
        if self._node.syslog is not None:
            tasks.append(asyncio.create_task(self._node.syslog.run(), name="syslog"))
        return tasks

    async def keep(self) -> None:
        """Write down standings and day counters."""
        node = self._node
        if node.delivery is not None:
            counters, book = node.budgets.snapshot(steady_ms()), node.health
            await asyncio.to_thread(node.keeping.keep, book, counters)

    async def _prune(self) -> None:
        node = self._node
        before_ms = wall_ms() - int(node.settings.history.keep * 1000)
        stores = [node.spool.prune]
        if node.protection is not None:
            stores.append(node.protection.copies.prune)
        for prune in stores:
            while await prune(before_ms, PRUNE_BATCH) == PRUNE_BATCH:
                pass
        while node.protection is not None and await node.protection.copies.complete_addresses(PRUNE_BATCH):
            pass

    def _secrets(self) -> None:
        """Notice changed files of secrets and certificates, while the old token still serves."""
        self._node.tokens.look()
        self._node.first_run.look()
        if self._node.admin_tls is not None:
            self._node.admin_tls.look()

    async def _gauges(self) -> None:
        node = self._node
        alone = node.protection.copying.unprotected if node.protection is not None else 0
        uses = node.budgets.use(steady_ms())
        refresh(node.telemetry, uses, node.tokens.states(), wall_ms(), unprotected=alone)
        if node.protection is not None:
            keeper, quarantined = node.protection.keeper, node.protection.quarantined
            self._copies.ownership(keeper.views(), keeper.made, quarantined=bool(quarantined))
            self._copies.kept(await node.protection.copies.held())


async def _every(seconds: float, work: Callable[[], object]) -> None:
    """Repeat for ever; a failure is logged and the next round tries again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            result = work()
            if asyncio.iscoroutine(result):
                await result
        except Exception:  # noqa: BLE001 - housekeeping must not end the node
            _log.exception("housekeeping failed")
