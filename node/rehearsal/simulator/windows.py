"""The strictest sliding window: each message is counted at the worst moment between MAIL and reply.

A message whose counting moment may lie anywhere in [start, end] can fall into a window [t, t + W) together with
others exactly when the intervals [start, end + W) of all of them share a point: the first of them counted at its end
and the last at its start are then less than W apart. So the worst window is the greatest (weighted) overlap of those
stretched intervals, and a sender who holds a token from before MAIL until W after the reply can never exceed its
number of tokens. Pure: times are handed in as seconds on one clock that never runs backwards.
"""

import heapq
from dataclasses import dataclass, field

MAX_REMEMBERED = 500_000  # intervals kept; beyond it the oldest are let go and the report says so


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReport:
    """What a meter has seen."""

    worst: int
    """Greatest weight that could have been counted in any one window."""
    over: int
    """How many items started while they pushed the worst case above the limit."""
    at_s: float
    """When the worst case was reached."""
    truncated: bool
    """Too many items for the memory bound: ``worst`` is then only a lower bound."""


@dataclass(slots=True)
class _Sweep:
    """Overlap of intervals fed in the order of their starts."""

    limit: int | None
    level: int = 0
    worst: int = 0
    over: int = 0
    at_s: float = 0.0
    releases: list[tuple[float, int]] = field(default_factory=list)

    def add(self, start_s: float, release_s: float, weight: int) -> None:
        while self.releases and self.releases[0][0] <= start_s:
            self.level -= heapq.heappop(self.releases)[1]
        self.level += weight
        heapq.heappush(self.releases, (release_s, weight))
        if self.level > self.worst:
            self.worst, self.at_s = self.level, start_s
        if self.limit is not None and self.level > self.limit:
            self.over += 1

    def copy(self) -> "_Sweep":
        return _Sweep(self.limit, self.level, self.worst, self.over, self.at_s, list(self.releases))


class WindowMeter:
    """Collects intervals as they open and close and tells the worst window; exact, and streaming.

    An open interval may still be cancelled, so only what started before the oldest open one is final and folded away.
    """

    def __init__(self, window_s: float, limit: int | None) -> None:
        """Count overlaps in windows of ``window_s`` against ``limit`` (None: only measure)."""
        self.window_s = window_s
        self.limit = limit
        self._sweep = _Sweep(limit)
        self._open: dict[int, float] = {}
        self._closed: list[tuple[float, float, int]] = []  # heap by start: start, end + W, weight
        self._next = 0
        self._truncated = False

    def begin(self, now_s: float) -> int:
        """Open an interval; its weight is known when it ends. Gives its handle."""
        self._next += 1
        self._open[self._next] = now_s
        return self._next

    def end(self, handle: int, now_s: float, weight: int = 1) -> None:
        """Close an interval that was, or may have been, counted."""
        start_s = self._open.pop(handle)
        heapq.heappush(self._closed, (start_s, now_s + self.window_s, weight))
        self._fold()

    def cancel(self, handle: int) -> None:
        """Forget an interval that cannot have been counted (ended before DATA)."""
        del self._open[handle]
        self._fold()

    def report(self, now_s: float, open_weight: int = 1) -> WindowReport:
        """Tell the worst case so far, taking open intervals as counted."""
        sweep = self._sweep.copy()
        still_open = [(start_s, now_s + self.window_s, open_weight) for start_s in self._open.values()]
        for start_s, release_s, weight in sorted([*self._closed, *still_open]):
            sweep.add(start_s, release_s, weight)
        return WindowReport(worst=sweep.worst, over=sweep.over, at_s=sweep.at_s, truncated=self._truncated)

    def _fold(self) -> None:
        # Insertion order is the order of time, so the first open interval is the oldest.
        final_before_s = next(iter(self._open.values()), None)
        while self._closed and (final_before_s is None or self._closed[0][0] < final_before_s):
            self._sweep.add(*heapq.heappop(self._closed))
        while len(self._sweep.releases) > MAX_REMEMBERED:
            self._sweep.level -= heapq.heappop(self._sweep.releases)[1]
            self._truncated = True


class Gate:
    """How much is out right now, by the same rule: from begin until W after the end. It decides; the meter judges."""

    def __init__(self, window_s: float, limit: int | None) -> None:
        """Allow ``limit`` in any ``window_s`` (None: everything)."""
        self.window_s = window_s
        self.limit = limit
        self._in_flight = 0
        self._releases: list[tuple[float, int]] = []
        self._resting = 0

    def fits(self, now_s: float, weight: int = 1) -> bool:
        """Tell whether ``weight`` more stays within the limit."""
        return self.limit is None or self._out(now_s) + weight <= self.limit

    def wait_s(self, now_s: float, weight: int = 1) -> float:
        """Seconds until ``weight`` more may fit if nothing else ends meanwhile; 0 when it fits now."""
        if self.fits(now_s, weight):
            return 0.0
        assert self.limit is not None  # noqa: S101 - fits() is true without a limit
        surplus = self._out(now_s) + weight - self.limit
        for release_s, freed in sorted(self._releases):
            surplus -= freed
            if surplus <= 0:
                return release_s - now_s
        return self.window_s

    def take(self, weight: int = 1) -> None:
        """Something starts."""
        self._in_flight += weight

    def give_back(self, weight: int = 1) -> None:
        """It ended without being counted."""
        self._in_flight -= weight

    def settle(self, now_s: float, weight: int = 1) -> None:
        """It was counted; it stays out for one more window."""
        self._in_flight -= weight
        if self.limit is not None:
            self._resting += weight
            heapq.heappush(self._releases, (now_s + self.window_s, weight))

    def _out(self, now_s: float) -> int:
        while self._releases and self._releases[0][0] <= now_s:
            self._resting -= heapq.heappop(self._releases)[1]
        return self._in_flight + self._resting
