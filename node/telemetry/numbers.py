"""Numbers kept cheaply between collections: counters and gauges as dictionaries, histogram values in a bounded list.

One instance belongs to one process; ``take`` hands the changes to another process, ``merge`` adds them there.
"""

from collections import deque
from threading import Lock

import msgspec

from node.telemetry.names import BY_NAME

VALUES_MAX = 20_000
"""Histogram values kept between two collections; beyond it the oldest go (a bound, not a sample design)."""
SERIES_MAX = 10_000
"""Label combinations in one process; beyond it new ones fold into ``other``."""

Series = tuple[str, tuple[tuple[str, str], ...]]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What one process counted since it was last asked."""

    counts: list[tuple[Series, int]]
    values: list[tuple[Series, float]]


class Numbers:
    """Counters, gauges and pending histogram values of one process; safe to use from several threads."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.counts: dict[Series, int] = {}
        self.gauges: dict[Series, float] = {}
        self.values: deque[tuple[Series, float]] = deque(maxlen=VALUES_MAX)
        self._lock = Lock()

    def count(self, name: str, amount: int, labels: dict[str, str]) -> None:
        """Add to a counter."""
        series = self._series(name, labels)
        with self._lock:
            self.counts[series] = self.counts.get(series, 0) + amount

    def gauge(self, name: str, value: float, labels: dict[str, str]) -> None:
        """Set a gauge."""
        self.gauges[self._series(name, labels)] = value

    def observe(self, name: str, value: float, labels: dict[str, str]) -> None:
        """Keep a histogram value for the next collection."""
        self.values.append((self._series(name, labels), value))

    def take(self) -> Changes:
        """Give everything counted since the last call and begin anew (worker processes)."""
        with self._lock:
            counts, self.counts = list(self.counts.items()), {}
        return Changes(counts=counts, values=self.take_values())

    def take_values(self) -> list[tuple[Series, float]]:
        """Give the pending histogram values and forget them."""
        return [self.values.popleft() for _ in range(len(self.values))]

    def merge(self, changes: Changes) -> None:
        """Add what another process took."""
        with self._lock:
            for series, amount in changes.counts:
                self.counts[series] = self.counts.get(series, 0) + amount
        self.values.extend(changes.values)

    def _series(self, name: str, labels: dict[str, str]) -> Series:
        series = (name, tuple(labels.items()) if len(labels) < 2 else tuple(sorted(labels.items())))  # noqa: PLR2004
        if series in self.counts or series in self.gauges or len(self.counts) < SERIES_MAX:
            return series
        return (name, tuple((label, "other") for label in BY_NAME[name].labels))
