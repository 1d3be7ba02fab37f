"""Keeps one session alive against a store: begins, renews, notices its end, resigns. Decides nothing by itself.

What to do next is ``session.py``; here are the calls, their bounds and the waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from coordinator.errors import NotAdmitted, NotAMember, UnfitVersion
from coordinator.keys import encode
from coordinator.members import MemberRecord
from coordinator.runtime import ForeignCluster, HeldLease, KnownCluster
from coordinator.session import Event, Phase, Renewal, Session, next_renewal, step
from coordinator.store.contract import (
    Compare,
    Indefinite,
    Item,
    LeaseLost,
    Outcome,
    Put,
    Store,
    StoreError,
    Unreachable,
    WentBack,
    Write,
    absent,
    created_at,
)
from coordinator.store.memory import boottime_s
from coordinator.timing import Timing

RETRY_MS = 200
"""Pause after a call that told nothing."""
REMEMBER_S = 2.0
"""How far what is known of the store on disk may be behind what is known here."""


def boottime_ms() -> int:
    """Read the boot-time clock in whole milliseconds."""
    return int(boottime_s() * 1_000)


async def _nothing() -> None:
    """Nobody has to be told."""


async def _anybody() -> tuple[Compare, ...]:
    """Let everybody in."""
    return ()


@dataclass(slots=True, kw_only=True)
class Self:
    """Who begins the session: the key it shows itself under, what it writes there, and what it keeps on disk."""

    key: str
    record: MemberRecord
    held: HeldLease
    known: KnownCluster | None = None
    progress_ms: Callable[[], int] = field(default=boottime_ms)
    """When the work this session stands for last moved."""


class SessionRunner:
    """One session of one process. ``session`` is a value: read it from any thread."""

    def __init__(self, store: Store, timing: Timing, me: Self, *, now_ms: Callable[[], int] = boottime_ms) -> None:
        """Do nothing yet; ``run`` does."""
        self.session = Session(timing=timing)
        self.blocked_by: Item | None = None
        """A live key with our name that is not ours: we do not join beside it."""
        self.refused: str = ""
        """Why the store itself is not trusted (ForeignCluster, WentBack); empty when it is."""
        self.changed = asyncio.Event()
        """Set and replaced whenever the phase changes."""
        self.before_join: Callable[[], Awaitable[None]] = _nothing
        """Awaited once the store answers, before the member key is written: say to all that we come back (§5)."""
        self.admission: Callable[[], Awaitable[tuple[Compare, ...]]] = _anybody
        """Asked before each session: what must be unchanged when it begins. Raises NotAdmitted, StoreError."""
        self._store, self._me, self._now_ms = store, me, now_ms
        self._due_ms = 0
        self._published = me.record
        self._went_back = False
        self._out = ""
        store.on_went_back(self._on_went_back)

    async def run(self) -> None:
        """Hold a session until cancelled; ends nothing at the store when cancelled (``resign`` does).

        Raises UnfitVersion when the cluster has come to a level this process does not know.
        """
        while True:
            if self.session.phase is Phase.LIVE:
                await self._keep()
            elif not await self._join():
                await asyncio.sleep(self.session.timing.renew_ms / 1_000)

    async def guarded(self, compares: Sequence[Compare], writes: Sequence[Write], *, timeout_s: float) -> Outcome:
        """Make a transaction that changes nothing unless this very session lives. Raises NotAMember without one."""
        session = self.session
        if not session.live(self._now_ms()):
            raise NotAMember(f"{self._me.record.node} has no live session")
        guard = created_at(self._me.key, session.inc)
        outcome = await self._store.txn([guard, *compares], writes, timeout_s=timeout_s)
        self._take(Event.HEARD)
        present = {item.key: item for item in outcome.found}.get(self._me.key)
        if not outcome.succeeded and (present is None or present.create_revision != session.inc):
            self._take(Event.LOST, lease=session.lease)
            raise NotAMember(f"the session of {self._me.record.node} has ended")
        return outcome

    def publish(self, *, config_hash: str | None = None, spool: str | None = None) -> None:
        """Show another configuration or spool from now on: written within a renewal, and by every session to come."""
        news = {"config_hash": config_hash, "spool": spool}
        changed = {name: value for name, value in news.items() if value is not None}
        self._me.record = msgspec.structs.replace(self._me.record, **changed)

    async def resign(self) -> None:
        """End the session here and at the store; everything held by it must have been given up before."""
        lease = self.session.lease
        if self.session.phase is not Phase.OUT:
            self._take(Event.RESIGN)
        if lease:
            await self._store.revoke(lease, timeout_s=self._timeout_s())
            self._me.held.write(0)

    async def stay_out(self, why: str) -> None:
        """End the session and begin none until ``come_back``: what stands here must not be used. Raises StoreError."""
        self._out = self.refused = why
        await self.resign()

    def come_back(self) -> None:
        """Begin sessions again."""
        self._out = self.refused = ""

    def _on_went_back(self, found: WentBack) -> None:
        """Be fenced before anybody acts on what an older copy of the store says; join no more in this life (§5)."""
        self._went_back, self.refused = True, str(found)
        if self.session.phase is Phase.LIVE:
            self._take(Event.LOST, lease=self.session.lease)
        if self._me.known is not None:
            self.refused = self._me.known.went_back(str(found))

    async def _join(self) -> bool:
        if self._went_back or self._out:
            return False
        self._take(Event.BEGIN)
        try:
            joined = await self._try_join()
        except StoreError:
            joined = False
        except (ForeignCluster, NotAdmitted) as error:
            self.refused, joined = str(error), False
            if isinstance(error, UnfitVersion):
                raise
        if not joined and self.session.phase is Phase.JOINING:
            self._take(Event.FAILED)
        return joined

    async def _try_join(self) -> bool:
        """One try, with a lease of its own; the deadline counts from before that lease was asked for."""
        await self._check_cluster()
        await self._revoke_former()
        admitted = await self.admission()
        sent_ms = self._now_ms()
        lease = await self._store.grant(self.session.timing.ttl_s, timeout_s=self._timeout_s())
        self._take(Event.HEARD)
        self._me.held.write(lease)
        await self.before_join()
        record = self._me.record
        put = Put(key=self._me.key, value=encode(record), lease=lease)
        try:
            compares = [absent(self._me.key), *admitted]
            outcome = await self._store.txn(compares, [put], timeout_s=self._timeout_s())
            inc = outcome.revision if outcome.succeeded else 0
            self.blocked_by = next((item for item in outcome.found if item.key == self._me.key), None)
        except Indefinite:
            item = await self._store.get(self._me.key, timeout_s=self._timeout_s())
            inc = item.create_revision if item is not None and item.lease == lease else 0
        if inc and not self._went_back and self.session.phase is Phase.JOINING:  # nobody had us stay out meanwhile
            self._published = record
            self._due_ms = sent_ms + self.session.timing.renew_ms
            self._take(Event.JOINED, sent_ms=sent_ms, lease=lease, inc=inc)
        return self.session.phase is Phase.LIVE

    async def _check_cluster(self) -> None:
        """Begin nothing at a store that is another one, or behind what is known; one that lags is asked again."""
        known = self._me.known
        if known is None:
            return
        answers = await self._store.health(timeout_s=self._timeout_s())
        if not answers:
            raise Unreachable("no member says which cluster it belongs to")
        known.same(answers)
        self._store.expect(known.revision)
        await self._store.get(self._me.key, timeout_s=self._timeout_s())
        known.check(answers, reached=self._store.newest)
        self.refused = ""

    async def remember(self) -> None:
        """Keep on disk, until cancelled, how far the store has come; raises OSError."""
        while self._me.known is not None:
            await asyncio.sleep(REMEMBER_S)
            await asyncio.to_thread(self._me.known.note, self._store.newest)

    async def _revoke_former(self) -> None:
        """End our own earlier lease, of this life or the one before, so that nothing of it is in the way."""
        former = self._me.held.read()
        if former:
            await self._store.revoke(former, timeout_s=self._timeout_s())
            self._take(Event.HEARD)
            self._me.held.write(0)

    async def _keep(self) -> None:
        now_ms = self._now_ms()
        what = next_renewal(self.session, now_ms, due_ms=self._due_ms, progress_ms=self._me.progress_ms())
        if what is Renewal.SEND:
            await self._renew(now_ms)
            if self._published != self._me.record and self.session.phase is Phase.LIVE:
                await self._republish()
        else:
            self._take(Event.DEADLINE)
            wait_ms = RETRY_MS if what is Renewal.HUNG else self._due_ms - now_ms
            await asyncio.sleep(max(1, min(wait_ms, self.session.left_ms(now_ms))) / 1_000)

    async def _renew(self, sent_ms: int) -> None:
        timing, lease = self.session.timing, self.session.lease
        timeout_ms = max(1, min(timing.timeout_ms, self.session.left_ms(sent_ms)))
        self._due_ms = sent_ms + timing.renew_ms
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await self._store.renew(lease, timeout_s=timeout_ms / 1_000)
            self._take(Event.RENEWED, sent_ms=sent_ms, lease=lease)
        except LeaseLost:
            self._take(Event.LOST, lease=lease)
        except (StoreError, TimeoutError):
            self._take(Event.UNSURE)
            self._due_ms = self._now_ms() + RETRY_MS

    async def _republish(self) -> None:
        record, left_s = self._me.record, self.session.left_ms(self._now_ms()) / 2_000
        put = Put(key=self._me.key, value=encode(record), lease=self.session.lease)
        with suppress(StoreError, NotAMember):  # made again after the next renewal: it is the same word
            await self.guarded([], [put], timeout_s=min(left_s, self._timeout_s()))
            self._published = record

    def _take(self, event: Event, **about: int) -> None:
        before = self.session.phase
        self.session = step(self.session, event, self._now_ms(), **about)
        if self.session.phase is not before:
            self.changed.set()
            self.changed = asyncio.Event()

    def _timeout_s(self) -> float:
        return self.session.timing.timeout_ms / 1_000
