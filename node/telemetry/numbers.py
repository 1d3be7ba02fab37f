"""Numbers kept cheaply between collections, as dictionaries: counters, gauges, and histograms added up by bucket."""

from threading import Lock

from node.telemetry.names import BY_NAME
from node.telemetry.spread import Spread

SERIES_MAX = 10_000
"""Label combinations of each kind in one process; beyond it new ones fold into ``other``."""

Series = tuple[str, tuple[tuple[str, str], ...]]


class Numbers:
    """Counters, gauges and histograms of one process; safe to use from several threads."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.counts: dict[Series, int] = {}
        self.gauges: dict[Series, float] = {}
        self._spreads: dict[Series, Spread] = {}
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
        """Add a value to a histogram."""
        series = self._series(name, labels)
        with self._lock:
            self._spread(series).add(value, BY_NAME[name].buckets)

    def merge(self, name: str, spread: Spread, labels: dict[str, str]) -> None:
        """Add many values to a histogram."""
        series = self._series(name, labels)
        with self._lock:
            self._spread(series).merge(spread)

    def spreads(self) -> list[tuple[Series, Spread]]:
        """Every histogram as it stands."""
        with self._lock:
            kept = list(self._spreads.items())
            return [(series, Spread(list(one.counts), one.total, one.least, one.most)) for series, one in kept]

    def _spread(self, series: Series) -> Spread:
        found = self._spreads.get(series)
        if found is None:
            found = self._spreads[series] = Spread([0] * (len(BY_NAME[series[0]].buckets) + 1))
        return found

    def _series(self, name: str, labels: dict[str, str]) -> Series:
        series = (name, tuple(labels.items()) if len(labels) < 2 else tuple(sorted(labels.items())))  # noqa: PLR2004
        known = series in self.counts or series in self.gauges or series in self._spreads
        if known or len(self.counts) + len(self._spreads) < SERIES_MAX:
            return series
        return (name, tuple((label, "other") for label in BY_NAME[name].labels))
