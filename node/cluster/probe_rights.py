"""Who tries a scope again after a long rest: one node of the cluster, by a leased key ``probe/<scope>``.

The health book asks before an attempt may be a probe. Without the right the mail waits, and the right is asked for; it
is given back when the probe has told, or when no attempt used it. A node that vanishes loses it with its lease.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from coordinator.errors import NotAMember
from coordinator.keys import Keys, encode
from coordinator.runner import boottime_ms
from coordinator.session import Session
from coordinator.store.contract import Compare, Delete, Item, Outcome, Put, Seen, StoreError, Write, absent, unchanged
from node.policy.health import Change
from node.policy.standing import State

TIMEOUT_S: Final = 2.0
AGAIN_S: Final = 1.0
"""Pause after a store that did not answer, or without a session."""
UNUSED_MS: Final = 30_000
"""A right no attempt used is given back after this."""
RIGHTS_MAX: Final = 1_000
"""Scopes asked for at a time; beyond it mail waits for the next look."""


class Guarded(Protocol):
    """The process's session (``coordinator/runner.py``)."""

    session: Session

    async def guarded(self, compares: list[Compare], writes: list[Write], *, timeout_s: float) -> Outcome:
        """Make a transaction that changes nothing unless this very session lives."""
        ...


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What the node hands in."""

    node: str
    wall_ms: Callable[[], int]
    report: Callable[[Change], None] = lambda _: None
    """Hears of standings changed on another's word: for logs and alarms."""
    wake: Callable[[], None] = lambda: None
    """Mail that waited may go now."""
    freely: Callable[[], bool] = lambda: False
    """No store to ask, yet attempts go on (fallback): each node probes for itself."""
    now_ms: Callable[[], int] = boottime_ms


@dataclass(slots=True, kw_only=True)
class _Right:
    item: Item
    since_ms: int
    used: bool = False


class ProbeRights:
    """The rights this node has, and those others have."""

    def __init__(self, session: Guarded, keys: Keys, around: Surroundings) -> None:
        """Have none; ``run`` gets and gives back."""
        self._session, self._around = session, around
        self._prefix = f"{keys.root}probe/"
        self._taken: dict[str, Item] = {}
        self._mine: dict[str, _Right] = {}
        self._wanted: set[str] = set()
        self._told: set[str] = set()
        self._done: set[str] = set()
        self._news = asyncio.Event()

    def may(self, scope: str) -> bool:
        """Tell whether this node may probe a scope now; if nobody may, ask for the right and wake the node then."""
        if self.has(scope):
            return True
        if scope not in self._taken and len(self._wanted) < RIGHTS_MAX:
            self._wanted.add(scope)
            self._news.set()
        return False

    def has(self, scope: str) -> bool:
        """Tell whether this node may probe now."""
        right = self._mine.get(scope)
        session = self._session.session
        mine = right is not None and right.item.lease == session.lease and session.live(self._around.now_ms())
        return mine or self._around.freely()

    def heard(self, change: Change) -> None:
        """Take a standing this node's own attempts changed: a probe began, or it has told."""
        right = self._mine.get(change.scope)
        if right is None:
            return
        if change.after.state is State.PROBING:
            right.used = True
        else:
            self._told.add(change.scope)

    def take(self, seen: Seen) -> None:
        """Take what the watch told."""
        freed = False
        if seen.resync:
            present = {change.key.removeprefix(self._prefix) for change in seen.changes}
            gone = [scope for scope in self._taken if scope not in present]
            freed = bool(gone)
            for scope in gone:
                self._forget(scope)
        for change in seen.changes:
            if not change.key.startswith(self._prefix):
                continue
            scope = change.key.removeprefix(self._prefix)
            if change.item is not None:
                self._taken[scope] = change.item
            else:
                freed = True
                self._forget(scope)
        if freed:
            self._around.wake()

    async def run(self) -> None:
        """Get and give back rights until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(UNUSED_MS / 1000 if self._mine else None):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._work()
            except (StoreError, NotAMember):
                await asyncio.sleep(AGAIN_S)
                self._news.set()

    def finish(self) -> None:
        """Give back what has told; call once the standing is in the store."""
        if self._told:
            self._done |= self._told
            self._told.clear()
            self._news.set()

    async def _work(self) -> None:
        now_ms = self._around.now_ms()
        lease = self._session.session.lease
        for scope in [scope for scope, right in self._mine.items() if right.item.lease != lease]:
            self._forget(scope)  # it went with the session before
        unused = {
            scope for scope, right in self._mine.items() if not right.used and now_ms - right.since_ms > UNUSED_MS
        }
        for scope in self._done | unused:
            await self._give_back(scope)
        while self._wanted:
            scope = next(iter(self._wanted))
            await self._get(scope, lease)
            self._wanted.discard(scope)

    async def _get(self, scope: str, lease: int) -> None:
        if scope in self._taken or self.has(scope):
            return
        key = self._prefix + scope
        put = Put(key=key, value=encode(self._around.node), lease=lease)
        outcome = await self._session.guarded([absent(key)], [put], timeout_s=TIMEOUT_S)
        if outcome.succeeded:
            revision = outcome.revision
            item = Item(key=key, value=put.value, create_revision=revision, mod_revision=revision, lease=lease)
            self._mine[scope] = _Right(item=item, since_ms=self._around.now_ms())
            self._around.wake()
        else:
            found = next((item for item in outcome.found if item.key == key), None)
            if found is not None:
                self._taken[scope] = found

    async def _give_back(self, scope: str) -> None:
        right = self._mine.get(scope)
        if right is not None:
            await self._session.guarded([unchanged(right.item)], [Delete(key=right.item.key)], timeout_s=TIMEOUT_S)
        self._forget(scope)

    def _forget(self, scope: str) -> None:
        self._taken.pop(scope, None)
        self._mine.pop(scope, None)
        self._done.discard(scope)
        self._told.discard(scope)
