"""Slows down guessing of passwords: growing delays per (user, address), never a lock (operations M14, §5).

Pure: the time is handed in. A right password always passes at once, so one bad printer behind a NAT cannot shut out two
hundred, and failures from one network never touch another. Knows nothing of hashes or sessions.
"""

from collections import OrderedDict

import msgspec

FREE_FAILURES = 2
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
MEMORY_MS = 15 * 60 * 1000
ENTRIES = 50_000
SPRAY_FREE = 20
"""Failures of one address over all users before the address alone is slowed, too."""


class _Entry(msgspec.Struct):
    failures: int
    last_ms: int


class GuardCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since start, for metrics."""

    failures: int
    successes: int
    delayed: int
    forgotten: int
    """Entries pushed out because the table was full."""
    entries: int


class Guard:
    """The table of recent failures; at most ``entries`` of them, the oldest goes first."""

    def __init__(self, *, entries: int = ENTRIES, memory_ms: int = MEMORY_MS) -> None:
        self._entries = entries
        self._memory_ms = memory_ms
        self._table: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._failures = self._successes = self._delayed = self._forgotten = 0

    def failed(self, user: str, address: str, now_ms: int) -> float:
        """Note a wrong password; give the seconds to wait before the refusal is said."""
        self._failures += 1
        pair = self._count((user, address), now_ms) - FREE_FAILURES
        spray = self._count(("", address), now_ms) - SPRAY_FREE
        delay_s = delay_after(max(pair, spray))
        self._delayed += delay_s > 0
        return delay_s

    def succeeded(self, user: str, address: str) -> None:
        """Note a right password: the pair starts afresh; the address does not, or one good account hides a spray."""
        self._successes += 1
        self._table.pop((user, address), None)

    def counts(self) -> GuardCounts:
        """Totals for metrics."""
        return GuardCounts(
            failures=self._failures,
            successes=self._successes,
            delayed=self._delayed,
            forgotten=self._forgotten,
            entries=len(self._table),
        )

    def _count(self, key: tuple[str, str], now_ms: int) -> int:
        self._expire(now_ms)
        entry = self._table.pop(key, None) or _Entry(0, now_ms)
        entry.failures += 1
        entry.last_ms = now_ms
        self._table[key] = entry  # newest last, so the table stays ordered by age
        if len(self._table) > self._entries:
            self._table.popitem(last=False)
            self._forgotten += 1
        return entry.failures

    def _expire(self, now_ms: int) -> None:
        while self._table:
            key = next(iter(self._table))
            if now_ms - self._table[key].last_ms <= self._memory_ms:
                return
            del self._table[key]


def delay_after(failures: int) -> float:
    """Seconds of delay after that many failures beyond the free ones: 0, 1, 2, 4, … at most 30."""
    if failures <= 0:
        return 0.0
    return min(FIRST_DELAY_S * 2.0 ** min(failures - 1, 10), LONGEST_DELAY_S)
