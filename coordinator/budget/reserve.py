"""Part of a limit kept for urgent units: elastic for permits, fixed for day counters (operations A6).

The elastic rule. R of the L permits are the *reserve*, the others are *common*. Urgent units take any free permit.
Ordinary units take common ones, and borrow from the reserve at most one per ``LEND_GAP`` of W / R. Spacing the
loans spaces their returns, so under full load a permit of the reserve comes back at least every
``W + d - (R - 1) x gap`` (15.6 s for L 30, W 60 s, R 6, d 0.6 s) and not in one clump a minute; since an out
permit is busy for W anyway, the spacing costs next to nothing (tests/simulation measures it).
An urgent unit that finds nothing leaves a *claim*: the next permit that returns waits for it, at most
``CLAIM_MS`` past the time it was told to ask again, so a claim never followed up costs one permit one second.

Pure: handed ``now_ms``; knows nothing of what is urgent or why.
"""

from enum import IntEnum

from coordinator.budget.permits import Permits

CLAIM_MS = 1_000
"""One round trip: how long a returned permit waits for the urgent unit that was told to ask again."""
LEND_PERCENT = 90
"""Loans are at least this part of W / R apart; 100 would make a queue of late answers that never drains."""


def share_of(limit: int, percent: int) -> int:
    """Units of ``limit`` kept for urgent ones, rounded down: small limits keep none."""
    return limit * percent // 100


class Pool(IntEnum):
    """Where a permit was taken from and returns to."""

    COMMON = 0
    RESERVE = 1


class ElasticPermits:
    """``limit`` permits of which ``reserve`` are lent to ordinary units only in spaced loans."""

    __slots__ = ("_claim_until_ms", "_gap_ms", "_lent_ms", "_pools", "_window_ms", "limit")

    def __init__(self, *, limit: int, window_ms: int, settle_ms: int, reserve: int = 0) -> None:
        """``settle_ms`` is H of Permits; ``reserve`` is at most ``limit``."""
        self._pools = tuple(Permits(limit=0, window_ms=window_ms, settle_ms=settle_ms) for _ in Pool)
        self._lent_ms = -(1 << 62)
        self._claim_until_ms = 0
        self.resize(limit, window_ms, 0, reserve=reserve)

    def resize(self, limit: int, window_ms: int, now_ms: int, *, reserve: int = 0) -> None:
        """Change the limit in place; see Permits.resize. The pools together stay below the new limit."""
        if not 0 <= reserve <= limit:
            raise ValueError(f"a reserve of {reserve} does not fit into a limit of {limit}")
        self.limit = limit
        self._window_ms = window_ms
        self._pools[Pool.COMMON].resize(limit - reserve, window_ms, now_ms)
        self._pools[Pool.RESERVE].resize(reserve, window_ms, now_ms)
        self._gap_ms = window_ms * LEND_PERCENT // (100 * reserve) if reserve else 0

    @property
    def window_ms(self) -> int:
        """W."""
        return self._window_ms

    def out(self, now_ms: int) -> int:
        """Permits of both pools that are out."""
        return self._pools[0].out(now_ms) + self._pools[1].out(now_ms)

    def take(self, now_ms: int, *, urgent: bool) -> Pool | None:
        """Take one if this kind of unit may have it now; an urgent one that may not leaves a claim."""
        common, reserve = self._pools
        free = self.limit - common.out(now_ms) - reserve.out(now_ms)
        if urgent:
            return self._take_urgent(now_ms, free)
        if free <= (now_ms < self._claim_until_ms):
            return None
        if common.take(now_ms):
            return Pool.COMMON
        if now_ms >= self._lent_ms + self._gap_ms and reserve.take(now_ms):
            self._lent_ms = now_ms
            return Pool.RESERVE
        return None

    def _take_urgent(self, now_ms: int, free: int) -> Pool | None:
        if free > 0:
            for pool in (Pool.RESERVE, Pool.COMMON):
                if self._pools[pool].take(now_ms):
                    self._claim_until_ms = 0
                    self._lent_ms = now_ms if pool is Pool.RESERVE else self._lent_ms
                    return pool
        self._claim_until_ms = self.next_free_ms(now_ms, urgent=True) + CLAIM_MS
        return None

    def finish(self, pool: Pool, now_ms: int) -> None:
        """The final answer was read; see Permits.finish."""
        self._pools[pool].finish(now_ms)

    def vanish(self, pool: Pool, now_ms: int) -> None:
        """No answer will come; see Permits.vanish."""
        self._pools[pool].vanish(now_ms)

    def cancel(self, pool: Pool) -> None:
        """Never countable; see Permits.cancel."""
        self._pools[pool].cancel()

    def restore(self, now_ms: int, ended_ms: int, *, vanished: bool) -> None:
        """After a restart: one unit of the life before that ended then, with or without an answer."""
        common, reserve = self._pools
        pool = common if common.free(now_ms) > 0 or reserve.free(now_ms) <= 0 else reserve
        if vanished:
            pool.restore_vanished(ended_ms)
        else:
            pool.restore_finished(ended_ms)

    def next_free_ms(self, now_ms: int, *, urgent: bool = False) -> int:
        """Earliest time ``take`` can succeed if nothing is cancelled; ``now_ms`` if it would now."""
        common, reserve = self._pools
        claimed = not urgent and now_ms < self._claim_until_ms
        lend_ms = 0 if urgent else self._lent_ms + self._gap_ms
        ready = [max(pool.next_free_ms(now_ms), at) for pool, at in ((common, 0), (reserve, lend_ms)) if pool.limit]
        at_ms = max(min(ready, default=now_ms + self._window_ms), self._drained_ms(now_ms))
        return max(at_ms, self._claim_until_ms) if claimed and self.limit - self.out(now_ms) <= 1 else at_ms

    def _drained_ms(self, now_ms: int) -> int:
        """When the pools together are below the limit: matters only while a lowered limit drains."""
        missing = self.out(now_ms) - self.limit + 1
        if missing <= 0:
            return now_ms
        return min(pool.next_free_ms(now_ms, pool.free(now_ms) + 1) for pool in self._pools)
