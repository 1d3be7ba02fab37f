"""A limit of L units in a long sliding window (24 h) as 96 counters, the oldest counted whole (coordination-review §4).

A unit is *reserved* before it starts and counted in the quarter hour of its final answer, the latest moment it can
have been counted; what was reserved and not used goes back. The quarter that reaches over the edge of the window
counts whole, and the edge lies H further back for units whose holder vanished. So at most 98 counters are kept.

Pure: handed ``now_ms``. Counts come out too high by at most one quarter hour and H, never too low.
"""

from collections.abc import Mapping

from coordinator.budget.permits import EDGE_MS

DAY_MS = 86_400_000
COUNTERS = 96


class DayCounter:
    """Units in any ``window_ms``; memory is at most ``COUNTERS + 2`` integers."""

    __slots__ = ("_counts", "_oldest", "_step_ms", "_sum", "_window_ms", "limit", "reserved")

    def __init__(self, *, limit: int, settle_ms: int, window_ms: int = DAY_MS) -> None:
        """``settle_ms`` is H: how long a unit whose holder vanished may still be counted."""
        if limit <= 0 or window_ms < COUNTERS or settle_ms < 0:
            raise ValueError(f"impossible day limit: {limit=} {window_ms=} {settle_ms=}")
        self.limit = limit
        self.reserved = 0
        self._step_ms = -(-window_ms // COUNTERS)
        self._window_ms = window_ms + settle_ms + EDGE_MS
        self._counts: dict[int, int] = {}
        self._oldest = 0
        self._sum = 0

    @property
    def window_ms(self) -> int:
        """How long a unit counts, H included."""
        return self._window_ms

    def used(self, now_ms: int) -> int:
        """Units that may be counted in the window ending now, reserved ones included."""
        oldest = (now_ms - self._window_ms) // self._step_ms
        if oldest > self._oldest:
            self._oldest = oldest
            for step in [step for step in self._counts if step < oldest]:
                self._sum -= self._counts.pop(step)
        return self._sum + self.reserved

    def room(self, now_ms: int, *, kept: int = 0) -> int:
        """Units that may be reserved now while ``kept`` stay untouched; negative if the limit was lowered."""
        return self.limit - kept - self.used(now_ms)

    def reserve(self, units: int, now_ms: int, *, kept: int = 0) -> bool:
        """Reserve all of ``units`` or nothing."""
        if units > self.room(now_ms, kept=kept):
            return False
        self.reserved += units
        return True

    def settle(self, reserved: int, used: int, now_ms: int) -> None:
        """Count ``used`` of the ``reserved`` units now; the rest goes back."""
        if not 0 <= used <= reserved <= self.reserved:
            raise ValueError(f"cannot settle {used} of {reserved} with {self.reserved} reserved")
        self.reserved -= reserved
        self.add(used, now_ms)

    def add(self, units: int, at_ms: int) -> None:
        """Count units of a moment, also one before a restart; moments before the window are left out."""
        step = at_ms // self._step_ms
        if units and step >= self._oldest:
            self._counts[step] = self._counts.get(step, 0) + units
            self._sum += units

    def free_at_ms(self, units: int, now_ms: int, *, kept: int = 0) -> int:
        """Earliest time ``units`` fit if nothing reserved goes back; a whole window if they never can."""
        missing = units - self.room(now_ms, kept=kept)
        if missing <= 0:
            return now_ms
        for step in sorted(self._counts):
            missing -= self._counts[step]
            if missing <= 0:
                return (step + 1) * self._step_ms + self._window_ms
        return now_ms + self._window_ms

    def counted(self, now_ms: int) -> dict[int, int]:
        """Units by start time of their quarter, without reserved ones."""
        self.used(now_ms)
        return {step * self._step_ms: units for step, units in self._counts.items()}

    def snapshot(self, now_ms: int) -> dict[int, int]:
        """As ``counted``, to be kept over a restart: reserved units stand in the newest quarter."""
        kept = self.counted(now_ms)
        if self.reserved:
            newest = now_ms // self._step_ms * self._step_ms
            kept[newest] = kept.get(newest, 0) + self.reserved
        return kept

    def restore(self, kept: Mapping[int, int], now_ms: int) -> None:
        """Count a snapshot again; quarters that left the window meanwhile are left out."""
        self.used(now_ms)
        for start_ms, units in kept.items():
            self.add(units, start_ms)
