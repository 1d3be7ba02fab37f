"""Notices when this process did not run: no processor time, a machine that stood still, or work of its own.

Decides nothing; deadlines and the kernel's lifetimes keep the promises. It tells the operator why an address moved:
with early takeover a holder that is silent for a second loses it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coordinator.runner import boottime_ms

TICK_S: Final = 0.1
NOTED_MS: Final = 200
"""Later than a heartbeat's period."""
TELLS_MS: Final = 500
"""Every half second without a heartbeat brings an address near the moment at which it is taken early."""

_log = logging.getLogger("coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How much later than wanted this process went on; ``worked_ms``: processor time it had meanwhile."""

    late_ms: int
    worked_ms: int

    @property
    def cause(self) -> str:
        """Say whose doing it was."""
        if self.worked_ms * 2 > self.late_ms:
            return "this process was held up by work of its own"
        return "this process was not run: its host has too little processor time, or stood still"


def pause(*, slept_ms: int, worked_ms: int) -> Pause | None:
    """Judge one tick by how long it took on the boot-time clock, which counts a suspended machine too."""
    late_ms = slept_ms - round(TICK_S * 1_000)
    return Pause(late_ms=late_ms, worked_ms=worked_ms) if late_ms >= NOTED_MS else None


class Lateness:
    """Looks ten times a second."""

    def __init__(self, alarm: Callable[[str], None]) -> None:
        """``alarm`` hears of a pause that is long."""
        self._alarm = alarm
        self.total_ms = 0
        """Of all pauses since the start."""
        self.worst_ms = 0

    def take(self, found: Pause) -> None:
        """Count a pause; tell if it is long."""
        self.total_ms += found.late_ms
        self.worst_ms = max(self.worst_ms, found.late_ms)
        if found.late_ms >= TELLS_MS:
            _log.warning("held up", extra={"late_ms": found.late_ms, "worked_ms": found.worked_ms})
            self._alarm(found.cause)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began_ms, worked_s = boottime_ms(), time.process_time()
            await asyncio.sleep(TICK_S)
            worked_ms = round((time.process_time() - worked_s) * 1_000)
            found = pause(slept_ms=boottime_ms() - began_ms, worked_ms=worked_ms)
            if found is not None:
                self.take(found)
