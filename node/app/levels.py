"""Measures disk, memory and queue at an interval and opens or shuts the door; refreshes the gauges on the way."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from node.policy.levels import Facts, Marks, Shut, judge
from node.spool.contract import Counts, Spool
from node.telemetry.contract import Telemetry

INTERVAL_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_log = logging.getLogger(__name__)
WAITING = ("queued", "deferred", "in_flight", "unknown", "held")


def resident_bytes() -> int:
    """Give this process's resident memory (statm works under ``ProcSubset=pid``)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def free_bytes(directory: Path) -> int:
    """Give the space an ordinary user may still write where ``directory`` lies."""
    seen = os.statvfs(directory)
    return seen.f_bavail * seen.f_frsize


class LevelWatch:
    """Runs until cancelled; tells ``on_change`` the reason the door is shut (empty: open)."""

    def __init__(
        self, spool: Spool, directory: Path, marks: Marks, telemetry: Telemetry, on_change: Callable[[Shut], None]
    ) -> None:
        """Keep what is measured; the door counts as open until the first measurement."""
        self._spool = spool
        self._directory = directory
        self.marks = marks
        self._telemetry = telemetry
        self._on_change = on_change
        self.shut = Shut.NO
        self.counts = Counts(by_state={}, oldest_received_ms={}, body_bytes=0)

    async def run(self, now_ms: Callable[[], int]) -> None:
        """Measure for ever; a failed measurement is logged and leaves the door as it is."""
        while True:
            try:
                await self.measure(now_ms())
            except Exception:  # noqa: BLE001 - a gauge must not end the node; the next second tries again
                _log.exception("measuring levels failed")
            await asyncio.sleep(INTERVAL_S)

    async def measure(self, now_ms: int) -> None:
        """Measure once."""
        counts = self.counts = await self._spool.count()
        disk = await asyncio.to_thread(free_bytes, self._directory)
        waiting = sum(counts.by_state.get(state, 0) for state in WAITING)
        shut = judge(self.shut, Facts(disk_free_bytes=disk, memory_bytes=resident_bytes(), waiting=waiting), self.marks)
        if shut is not self.shut:
            _log.warning(
                "door %s", f"shut: {shut}" if shut else "open", extra={"reason": shut.value, "disk_free": disk}
            )
            self.shut = shut
            self._on_change(shut)
        self._gauges(counts, disk, now_ms)

    def _gauges(self, counts: Counts, disk: int, now_ms: int) -> None:
        gauge = self._telemetry.gauge
        for state, number in counts.by_state.items():
            gauge("relay_queue_recipients", number, state=state)
        for priority, oldest_ms in counts.oldest_received_ms.items():
            gauge("relay_queue_oldest_seconds", max(0, now_ms - oldest_ms) / 1000, priority=priority)
        gauge("relay_queue_body_bytes", counts.body_bytes)
        gauge("relay_disk_free_bytes", disk)
        gauge("relay_door_open", 0 if self.shut else 1)


def memory_limit_bytes() -> int:
    """Give the cgroup's memory limit; 0 when there is none (``ProcSubset=pid`` hides /proc/meminfo)."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
