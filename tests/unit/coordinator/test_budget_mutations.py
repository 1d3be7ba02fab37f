"""Wrong rules that look right, each shown to let more through than the limit (coordination-review §4 and §8)."""

import random
from dataclasses import dataclass

from coordinator.budget.day import DAY_MS, DayCounter
from coordinator.budget.permits import Permits
from coordinator.budget.reserve import ElasticPermits
from coordinator.budget.slots import Slots
from tests.support.upstream_counters import Span, most_sessions, worst_window_fast

W, H, L = 60_000, 60_000, 30


class ReturnsAfterStart(Permits):
    """Mutation: a permit comes back W after the start instead of W after the final answer."""

    __slots__ = ("_starts",)

    def take(self, now_ms):
        taken = super().take(now_ms)
        if taken:
            self._starts = [*getattr(self, "_starts", []), now_ms]
        return taken

    def finish(self, now_ms):
        super().finish(self._starts.pop(0))


class ReclaimsAtOnce(Permits):
    """Mutation: what a vanished holder had out is free again the moment it is noticed."""

    __slots__ = ()

    def vanish(self, now_ms):
        self.cancel()


class ReclaimsWithoutSettleTime(Permits):
    """Mutation: a vanished unit is treated as if its answer had been read (W, but no H)."""

    __slots__ = ()

    def vanish(self, now_ms):
        self.finish(now_ms)


class WithoutTheEdge(Permits):
    """Mutation: no millisecond more for times cut to whole milliseconds."""

    __slots__ = ()

    def finish(self, now_ms):
        super().finish(now_ms - 1)


@dataclass
class Spaced:
    """Mutation: starts are spaced by 2.06 s as GCRA would, whatever the conversations last."""

    next_ms: int = 0

    def take(self, now_ms):
        if now_ms < self.next_ms:
            return False
        self.next_ms = max(now_ms, self.next_ms) + 2_060
        return True

    def finish(self, now_ms): ...


def durations(seed):
    rng = random.Random(seed)
    while True:
        yield min(20_000, int(600 * rng.lognormvariate(0, 0.9)))


def full_load(permits, seed, *, parallel=2, until=15 * W, crash_every=0):
    """As many conversations as two sessions and the permits allow; with crashes the open ones vanish."""
    lengths, now, ends, spans, crash = durations(seed), 0, [], [], crash_every
    while now < until:
        now += 20
        if crash_every and now >= crash:
            crash += crash_every
            for _, start in ends:
                permits.vanish(now)
                spans.append(Span(start, now + H))  # counted at the worst moment before the upstream gives up
            ends = []
        for end in [end for end in ends if end[0] <= now]:
            ends.remove(end)
            permits.finish(now)
            spans.append(Span(end[1], now))
        while len(ends) < parallel and permits.take(now):
            ends.append((now + next(lengths), now))
    return worst_window_fast(spans, W)


def worst_of(make, seeds=range(12), **how):
    return max(full_load(make(), seed, **how) for seed in seeds)


def plain(kind):
    return lambda: kind(limit=L, window_ms=W, settle_ms=H)


def test_the_rule_itself_holds_exactly():
    assert worst_of(plain(Permits)) == L
    assert worst_of(plain(Permits), crash_every=47_000) <= L


def test_mutation_token_back_at_start_plus_window_overshoots():
    assert worst_of(plain(ReturnsAfterStart)) > L


def test_mutation_spacing_starts_lets_32_through():
    assert worst_of(Spaced, seeds=range(30), parallel=12) >= 32


def test_mutation_reclaim_at_once_overshoots():
    assert worst_of(plain(ReclaimsAtOnce), crash_every=5_000) > L


def test_mutation_reclaim_without_settle_time_overshoots():
    assert worst_of(plain(ReclaimsWithoutSettleTime), crash_every=5_000) > L


def test_mutation_no_edge_puts_one_too_many_into_a_closed_window():
    permits = plain(WithoutTheEdge)()
    spans = []
    for start in (0, W):
        while permits.take(start):
            spans.append(Span(start, start))
            permits.finish(start)
    assert worst_window_fast(spans, W) == 2 * L


def test_mutation_resize_by_pool_alone_overshoots():
    """Lowering 30 to 10 with the reserve full: the common pool alone would already give again."""
    permits = ElasticPermits(limit=30, window_ms=W, settle_ms=H, reserve=6)
    early = [permits.take(0, urgent=True) for _ in range(6)]
    for pool in early:
        permits.finish(pool, 0)
    permits.resize(10, W, 0, reserve=2)
    taken = [permits.take(1, urgent=False) for _ in range(10)]
    assert sum(pool is not None for pool in taken) == 4
    assert permits._pools[0].free(1) > 0, "the pool alone would have said yes"


def test_mutation_slot_reused_without_linger_overshoots():
    def sessions(linger):
        slots, spans = Slots(limit=3, linger_ms=360_000), []
        for crash in range(0, 600_000, 30_000):
            held = list(iter(lambda at=crash: slots.take(at), None))
            for index in held:
                slots.give_back(index, crash + 29_000, linger=linger)
                spans.append(Span(crash, crash + 29_000 + 360_000))
        return most_sessions(spans)

    assert sessions(linger=True) <= 3
    assert sessions(linger=False) > 3


def test_mutation_oldest_quarter_dropped_early_overshoots():
    class DropsTheOldest(DayCounter):
        def used(self, now_ms):
            return super().used(now_ms + self._step_ms)

    def day_after(kind):
        day, given = kind(limit=100, settle_ms=H), 0
        for at in (14 * 60_000, DAY_MS + 13 * 60_000):
            units = day.room(at)
            assert day.reserve(units, at)
            day.settle(units, units, at)
            given += units
        return given

    assert day_after(DayCounter) == 100
    assert day_after(DropsTheOldest) == 200
