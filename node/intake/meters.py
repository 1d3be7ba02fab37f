"""Telemetry of a worker: spans go to its own exporter, counters and histograms to the core, once a second.

So one process per host is scraped, and a counter does not start anew with each worker. Bounded by the label sets the
front door uses and by a flush when many values have gathered.
"""

import asyncio
from collections import Counter
from typing import Final

from node.intake.remote import RemoteDoor
from node.telemetry.contract import Telemetry
from node.telemetry.names import BY_NAME
from node.telemetry.spread import Spread, spread_of

EVERY_S: Final = 1.0
VALUES_MAX: Final = 2000
_Key = tuple[str, tuple[tuple[str, str], ...]]


class WorkerTelemetry:
    """The telemetry contract for a worker."""

    def __init__(self, spans: Telemetry, door: RemoteDoor) -> None:
        self.root, self.child, self.follow, self.span = spans.root, spans.child, spans.follow, spans.span
        self._door = door
        self._counts: Counter[_Key] = Counter()
        self._values: dict[_Key, list[float]] = {}
        self._gathered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """See the contract."""
        self._counts[(name, tuple(labels.items()))] += amount
        if self._timer is None:
            self._arm()

    def observe(self, name: str, value: float, **labels: str) -> None:
        """See the contract."""
        self._values.setdefault((name, tuple(labels.items())), []).append(value)
        self._gathered += 1
        if self._gathered >= VALUES_MAX:
            self.flush()
        elif self._timer is None:
            self._arm()

    def merge(self, name: str, spread: Spread, **labels: str) -> None:
        """See the contract."""
        self._door.counted(name, labels, 0, spread)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """See the contract; a worker has no gauge to report."""

    def _arm(self) -> None:
        self._timer = self._loop.call_later(EVERY_S, self.flush)

    def flush(self) -> None:
        """Send what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, Counter()
        values, self._values, self._gathered = self._values, {}, 0
        for (name, labels), amount in counts.items():
            self._door.counted(name, dict(labels), amount)
        for (name, labels), several in values.items():
            self._door.counted(name, dict(labels), 0, spread_of(several, BY_NAME[name].buckets))
