"""The part a node has of an account's message permits, or of a client's arrivals: a share that moves by demand.

Composes the share (coordinator/budget/holding.py) with what counts the permits under it. The urgent reserve of the
limit is spread over the shares, rounded up: each share lends its part of it in spaced loans as a single node does
(reserve.py), and urgent work that finds nothing here puts itself first in the cluster's queue, so it gets the next
permit that comes free on any node. A share of one permit thus loses nothing: its loan is never too early.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from coordinator.budget import holding as holdings
from coordinator.budget import shares, silent_moves
from coordinator.budget.holding import IDLE_MS, Holding, Situation
from coordinator.budget.reserve import Pool
from coordinator.budget.shares import reclaim_delay_ms
from coordinator.store.contract import Compare, Field, Item, Put
from node.cluster.parts import Moment, Proposal

CALM_MS = 2_000
"""Permits lying free for so long show that there is no more work than permits."""
REST_MS = 3_000
"""Between two moves of one limit that nobody waits for urgently; a twentieth of a shorter window."""
QUEUE_MS = 20_000
"""Without a connection for so long though there was a permit to use it with: the permits are of more use elsewhere."""
URGENT_MS = 5_000
"""How long a refused urgent need keeps its place at the head of the queue."""


class Counting(Protocol):
    """What counts the permits of a share: ElasticPermits, or a client's arrivals."""

    limit: int

    @property
    def window_ms(self) -> int:
        """W."""
        ...

    def resize(self, limit: int, window_ms: int, now_ms: int, *, reserve: int = 0) -> None:
        """Another share."""
        ...

    def out(self, now_ms: int) -> int:
        """Permits of it in use."""
        ...

    def take(self, now_ms: int, *, urgent: bool) -> Pool | None:
        """Take one."""
        ...

    def restore(self, now_ms: int, ended_ms: int, *, vanished: bool) -> None:
        """Count one of an earlier life."""
        ...

    def next_free_ms(self, now_ms: int, *, urgent: bool = False) -> int:
        """When one can be had."""
        ...


P = TypeVar("P", bound=Counting)


def never() -> bool:
    """Nothing of the kind."""
    return False


class PermitPart(Generic[P]):
    """Permits of one limit on this node."""

    prefixes: tuple[str, ...] = ()

    def __init__(self, key: str, holder: str, permits: P, *, settle_ms: int, on_more: Callable[[], None]) -> None:
        """``on_more`` is called when the share has grown."""
        self.keys = (key,)
        self.holding = Holding(holder=holder, limit=0)
        self.permits = permits
        self.reserve = 0
        """Of the whole limit."""
        self.window_ms = 1
        self.slotless: Callable[[], bool] = never
        """Whether there is no connection to use permits with."""
        self.queues_since_ms: int | None = None
        """Since when permits lie free and a connection to use them with is waited for."""
        self.alone = False
        """The store is silent and everybody goes on with what they hold: nothing is kept for who waits there."""
        self.known_life = False
        """What this life's predecessor had out is known; else its whole share counts as just used."""
        self._settle_ms = settle_ms
        self._on_more = on_more
        self._asked_ms = self._refused_ms = self._urgent_ms = self._moved_ms = -(1 << 60)
        self._free_since_ms: int | None = None
        self._needs = False
        self._had_share = False
        self._turn_ms: int | None = None
        """Since when a first permit has been here unused."""
        self._seen: Item | None = None

    # -- use

    def resize(self, limit: int, window_ms: int, reserve: int, now_ms: int) -> None:
        """Put the values in force into effect."""
        self.reserve, self.window_ms = reserve, window_ms
        self.holding = holdings.limited(self.holding, limit)
        self.fit(now_ms)

    def take(self, now_ms: int, *, urgent: bool) -> Pool | None:
        """Take a permit of the share; a refusal is remembered as demand."""
        self._asked_ms = now_ms
        pool = self.permits.take(now_ms, urgent=urgent)
        if pool is None:
            self.want(now_ms)
            self._urgent_ms = now_ms if urgent else self._urgent_ms
        return pool

    def used(self) -> None:
        """A permit taken was used, not given back for want of something else: the first turn here is over."""
        self._turn_ms = None

    def want(self, now_ms: int) -> None:
        """There is more work than permits; whoever was refused asks again when the next one comes free."""
        self._needs, self._refused_ms = True, now_ms
        if self.permits.limit:
            again_ms = min(self.permits.next_free_ms(now_ms), now_ms + self.window_ms)
            self._asked_ms = max(self._asked_ms, again_ms)

    @property
    def needs_until_ms(self) -> int:
        """Until when work is known to wait for permits that are out; long ago when there is none."""
        return self._asked_ms if self._needs else -(1 << 60)

    def free(self, now_ms: int) -> int:
        """Permits of the share that are not out."""
        return max(0, self.holding.share - self.permits.out(now_ms))

    def fit(self, now_ms: int) -> None:
        """Let as many be out as the share and those who wait elsewhere allow."""
        if bool(self.holding.share) != self._had_share:
            self._had_share = not self._had_share
            self._turn_ms = now_ms if self._had_share else None
        usable = holdings.usable(self.holding, needs=self._needs and not self.alone and not self._turn(now_ms))
        if usable != self.permits.limit or self.window_ms != self.permits.window_ms:
            more = usable > self.permits.limit
            part = -(-self.reserve * usable // max(1, self.holding.limit))
            self.permits.resize(usable, self.window_ms, now_ms, reserve=min(usable, part))
            if more:
                self._on_more()

    def _turn(self, now_ms: int) -> bool:
        return self._turn_ms is not None and now_ms < self._turn_ms + QUEUE_MS

    @property
    def _calm_ms(self) -> int:
        return min(CALM_MS, self.window_ms // 30)

    @property
    def adopted(self) -> int:
        """The session under which the share was last read."""
        return self.holding.inc

    @property
    def fault(self) -> str:
        """See Part."""
        return self.holding.fault

    # -- while the store is silent

    @property
    def lot(self) -> int:
        """How many permits move at once."""
        return shares.lot_of(self.holding.limit)

    def starved(self, now_ms: int) -> bool:
        """Whether there is work and no free permit."""
        return self._needs and not self.free(now_ms) and now_ms < self._refused_ms + IDLE_MS

    def to_spare(self, now_ms: int) -> int:
        """Permits to give away: half of those that lie free while there is no more work than permits.

        All of them where no connection is at hand: none is handed over while the store is silent.
        """
        self._look(now_ms)
        free = min(self.free(now_ms), max(0, silent_moves.givable(self.holding)))
        if self.slotless():
            return free
        return 0 if self._needs else -(-free // 2)

    def moved(self, giver: str, taker: str, total: int, now_ms: int) -> None:
        """By our books so many were ever moved between two nodes without the store."""
        self.holding = silent_moves.moved_to(self.holding, giver, taker, total)
        self.fit(now_ms)

    def remembered(self, share: int, now_ms: int) -> None:
        """After a restart while the store is silent: what our notes say we held, all of it just used."""
        self.holding = silent_moves.remembered(self.holding, min(share, self.holding.limit))
        self.fit(now_ms)
        for _ in range(self.holding.share):
            self.permits.restore(now_ms, now_ms, vanished=True)
        self.known_life = True

    # -- the mover's side

    def begin(self, at: Moment) -> None:
        """See Part. Of a life nothing is known of, the whole share was just used."""
        value, revision = (None, 0) if self._seen is None else (self._seen.value, self._seen.mod_revision)
        self.holding = holdings.adopted(self.holding, at.session.inc, value, revision)
        self._asked_ms = max(self._asked_ms, at.now_ms - IDLE_MS // 2)  # some time for work to show itself
        self.fit(at.now_ms)
        if not self.known_life:
            for _ in range(self.free(at.now_ms)):
                self.permits.restore(at.now_ms, at.now_ms, vanished=True)
        self.known_life = True

    def news(self, key: str, item: Item | None, revision: int, at: Moment) -> None:  # noqa: ARG002 - one key only
        """See Part."""
        self._seen = item
        value, revision = (None, revision) if item is None else (item.value, item.mod_revision)
        if self.holding.inc:
            self.holding = holdings.learned(self.holding, value, revision)
        self.fit(at.now_ms)

    def proposals(self, at: Moment) -> list[Proposal]:
        """See Part."""
        now_ms = at.now_ms
        self._look(now_ms)
        self.fit(now_ms)
        urgent = self._needs and now_ms < self._urgent_ms + URGENT_MS
        starved = self._needs and not self.free(now_ms)
        if (
            now_ms < self._moved_ms + min(REST_MS, self.window_ms // 20)
            and not (urgent or starved)
            and not self.holding.unsure
        ):
            return []
        record = holdings.next_move(self.holding, self._situation(at, urgent=urgent))
        if record is None:
            return []
        self._moved_ms = now_ms
        holding = self.holding
        compare = Compare(key=self.keys[0], field=Field.MOD, equals=holding.revision)
        return [
            Proposal(
                compares=(compare,),
                writes=(Put(key=self.keys[0], value=holdings.encode(record)),),
                sending=lambda: self._become(holdings.sending(self.holding, record), at.now_ms),
                done=lambda revision: self._become(holdings.done(self.holding, revision), at.now_ms),
                undone=lambda found: self._undone(found.get(self.keys[0]), at.now_ms),
                refused=lambda: self._become(holdings.refused(self.holding), at.now_ms),
                unanswered=lambda: self._become(holdings.unanswered(self.holding), at.now_ms),
            )
        ]

    def _situation(self, at: Moment, *, urgent: bool) -> Situation:
        now_ms = at.now_ms
        delay_ms = reclaim_delay_ms(self._settle_ms, self.window_ms)
        since_ms = self.queues_since_ms
        return Situation(
            out=self.permits.out(now_ms),
            wants=self._needs,
            urgent=urgent,
            queues=since_ms is not None,
            turn=self._turn(now_ms),
            idle=(since_ms is not None and now_ms >= since_ms + QUEUE_MS) or now_ms >= self._asked_ms + IDLE_MS,
            gone=tuple(node for node in holdings.others(self.holding) if at.over(node, delay_ms)),
        )

    def _look(self, now_ms: int) -> None:
        """Whether there is more work than permits: until some have lain free for a while."""
        if not self.free(now_ms):
            self._free_since_ms = None
        elif self._free_since_ms is None:
            self._free_since_ms = now_ms
        elif now_ms >= max(self._free_since_ms, self._refused_ms) + self._calm_ms:
            self._needs = False
        if now_ms >= self._asked_ms + IDLE_MS:
            self._needs = False

    def _become(self, holding: Holding, now_ms: int) -> None:
        self.holding = holding
        self.fit(now_ms)

    def _undone(self, item: Item | None, now_ms: int) -> None:
        value, revision = (None, 0) if item is None else (item.value, item.mod_revision)
        self._become(holdings.undone(self.holding, value, revision), now_ms)
