"""A limit of L units in any window W, held as L permits (coordination-review §4).

A permit is out from before its unit starts until ``final answer + W``. Whatever moment between start and answer
the other side counts, no window of W then holds more than L. Returning it W after the *start*, or spacing starts
by W / L, lets more through (tests/unit/coordinator/test_budget_mutations.py shows both).

Pure: handed ``now_ms``, knows neither clocks nor scopes. All times are integer milliseconds of one clock that does
not jump forward; a clock that jumps back only delays returns.
"""

from heapq import heappop, heappush, nsmallest

EDGE_MS = 1
"""Times are cut to whole milliseconds: without one more, two moments W - 0.9 ms apart would look W apart."""


class Permits:
    """``limit`` permits; remembers at most ``limit`` return times (more only while a lowered limit drains)."""

    __slots__ = ("_busy", "_returns", "_settle_ms", "_window_ms", "limit")

    def __init__(self, *, limit: int, window_ms: int, settle_ms: int) -> None:
        """``settle_ms`` is H: how long a unit whose holder vanished may still be counted."""
        if limit < 0 or window_ms <= 0 or settle_ms < 0:
            raise ValueError(f"impossible permits: {limit=} {window_ms=} {settle_ms=}")
        self.limit = limit
        self._window_ms = window_ms
        self._settle_ms = settle_ms
        self._busy = 0
        self._returns: list[int] = []

    def resize(self, limit: int, window_ms: int, now_ms: int) -> None:
        """Change limit and window in place; what is out stays out, so a lowered limit is never exceeded.

        Returns before now were forgotten, so a longer window assumes the whole old limit was used just now.
        """
        missing = self.free(now_ms) if window_ms > self._window_ms else 0
        longer_ms = window_ms - self._window_ms
        self._returns = [at_ms + longer_ms for at_ms in self._returns]
        for _ in range(missing):
            heappush(self._returns, now_ms + window_ms + EDGE_MS)
        self.limit = limit
        self._window_ms = window_ms

    def out(self, now_ms: int) -> int:
        """How many are out: started without an answer, or answered less than W ago."""
        returns = self._returns
        while returns and returns[0] <= now_ms:
            heappop(returns)
        return self._busy + len(returns)

    def free(self, now_ms: int) -> int:
        """How many may be taken now; negative while a lowered limit drains."""
        return self.limit - self.out(now_ms)

    def take(self, now_ms: int) -> bool:
        """Take one before the unit starts; False if none is free."""
        if self.free(now_ms) <= 0:
            return False
        self._busy += 1
        return True

    def finish(self, now_ms: int) -> None:
        """The final answer was read: one comes back W from now."""
        self._end()
        heappush(self._returns, now_ms + self._window_ms + EDGE_MS)

    def vanish(self, now_ms: int) -> None:
        """The unit ended without an answer: it may be counted up to H from now, so one comes back after H + W."""
        self._end()
        heappush(self._returns, now_ms + self._settle_ms + self._window_ms + EDGE_MS)

    def cancel(self) -> None:
        """The unit never became countable: one is free at once."""
        self._end()

    def restore_finished(self, finished_ms: int) -> None:
        """After a restart: a unit of the life before ended with an answer then."""
        heappush(self._returns, finished_ms + self._window_ms + EDGE_MS)

    def restore_vanished(self, vanished_ms: int) -> None:
        """After a restart: a unit of the life before had no answer by then."""
        self.restore_finished(vanished_ms + self._settle_ms)

    def next_free_ms(self, now_ms: int, count: int = 1) -> int:
        """Earliest time ``count`` permits can be free if nothing is cancelled; ``now_ms`` if they are."""
        missing = count - self.free(now_ms)
        if missing <= 0:
            return now_ms
        if missing > len(self._returns):
            return now_ms + self._window_ms + EDGE_MS
        return self._returns[0] if missing == 1 else nsmallest(missing, self._returns)[-1]

    def _end(self) -> None:
        if self._busy <= 0:
            raise ValueError("no permit is out to be ended")
        self._busy -= 1
