"""Hands the suppression list to the door: written whenever it changed, and now and then, since addresses leave it."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from node.delivery.clock import wall_ms
from node.errors import RelayError
from node.policy.suppression import Mode
from node.settings.suppressed import NAME, write_suppressed

if TYPE_CHECKING:
    from node.app.truth import Truth

LOOK_S: Final = 10.0
_log = logging.getLogger(__name__)


class Suppressing:
    """The list of one node."""

    def __init__(self, truth: "Truth") -> None:
        """Keep the room it comes from."""
        self._truth = truth
        self._written: frozenset[str] | None = None

    async def run(self) -> None:
        """Write it until cancelled."""
        while True:
            await self.write()
            await asyncio.sleep(LOOK_S)

    async def write(self) -> None:
        """Write the list if it changed; a failure is logged and tried again."""
        truth = self._truth
        try:
            listed = await truth.news.failing(truth.rules, wall_ms())
            truth.telemetry.gauge("relay_suppressed", len(listed))
            refused = truth.rules.mode is Mode.REFUSE
            addresses = frozenset(one.address for one in listed) if refused else frozenset()
            if addresses != self._written and (addresses or self._written is not None or refused):
                await asyncio.to_thread(write_suppressed, truth.runtime / NAME, addresses)
            self._written = addresses
        except (RelayError, OSError) as error:
            _log.warning("the suppression list could not be written: %s", error)
