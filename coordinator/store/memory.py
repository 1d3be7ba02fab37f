"""The store in memory: the embedded single node's, and the contract's other implementation.

State and rules are ``model.py``; here are only the clock and the waiting of watches.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from copy import deepcopy

from coordinator.store.ageing import Age
from coordinator.store.contract import Compacted, Compare, Health, Item, Listing, Outcome, Seen, WentBack, Write
from coordinator.store.following import Follower
from coordinator.store.model import Model


def boottime_s() -> float:
    """Read the clock that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class MemoryStore:
    """``Store`` in one process; leases end by the clock given."""

    def __init__(self, now_s: Callable[[], float] = boottime_s) -> None:
        """Start empty. With a clock of one's own, call ``tick`` after moving it."""
        self._model = Model()
        self._now_s = now_s
        self._changed = asyncio.Event()
        self._age = Age()

    @property
    def newest(self) -> int:
        """See Store."""
        return self._age.newest

    def on_went_back(self, tell: Callable[[WentBack], None]) -> None:
        """See Store."""
        self._age.on_went_back(tell)

    def expect(self, revision: int) -> None:
        """See Store."""
        self._age.learned(revision)

    def copy(self) -> Model:
        """Give a copy of all there is, as a backup of an etcd does."""
        return deepcopy(self._model)

    def restore(self, copy: Model) -> None:
        """Go back to a copy, as an etcd restored from a backup does."""
        self._model = copy
        self._wake()

    def tick(self) -> None:
        """End leases whose time has come and wake the watches."""
        if self._model.expire(self._now_s()):
            self._wake()

    def compact(self, revision: int) -> None:
        """Forget history, as an etcd's operator or auto-compaction does."""
        self._model.compact(revision)

    async def get(self, key: str, *, timeout_s: float) -> Item | None:  # noqa: ARG002 - never slow
        """See Store."""
        self._ordered()
        return self._model.items.get(key)

    async def list(self, prefix: str, *, timeout_s: float) -> Listing:  # noqa: ARG002
        """See Store."""
        self._ordered()
        return self._model.list(prefix)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write], *, timeout_s: float) -> Outcome:  # noqa: ARG002
        """See Store."""
        self._ordered()
        outcome = self._model.txn(compares, writes)
        self._age.learned(outcome.revision)
        self._wake()
        return outcome

    async def grant(self, ttl_s: int, *, timeout_s: float) -> int:  # noqa: ARG002
        """See Store."""
        return self._model.grant(ttl_s, self._now_s())

    async def renew(self, lease: int, *, timeout_s: float) -> int:  # noqa: ARG002
        """See Store."""
        self.tick()
        return self._model.renew(lease, self._now_s())

    async def revoke(self, lease: int, *, timeout_s: float) -> None:  # noqa: ARG002
        """See Store."""
        self._model.revoke(lease)
        self._wake()

    async def lease_left_s(self, lease: int, *, timeout_s: float) -> int:  # noqa: ARG002
        """See Store."""
        self.tick()
        found = self._model.leases.get(lease)
        return -1 if found is None else int(found.ends_s - self._now_s())

    async def watch(self, prefix: str, *, poll_s: float) -> AsyncIterator[Seen]:
        """See Store."""
        follower = Follower(prefix)
        yield follower.resynced(self._model.list(prefix))
        while True:
            changed = self._changed
            self.tick()
            try:
                changes = self._model.changes(prefix, follower.next_revision)
                seen = follower.streamed(changes, self._model.revision)
            except Compacted:
                seen = follower.resynced(self._model.list(prefix))
            if seen is not None:
                yield seen
            else:
                await self._wait(changed, poll_s)

    async def health(self, *, timeout_s: float) -> tuple[Health, ...]:  # noqa: ARG002
        """See Store: one healthy member."""
        return (
            Health(
                endpoint="memory",
                cluster_id=1,
                member_id=1,
                leader_id=1,
                revision=self._model.revision,
                version="memory",
                db_bytes=0,
            ),
        )

    async def close(self) -> None:
        """See Store."""
        self._wake()

    def _ordered(self) -> None:
        """Make sure that what is answered now is not older than what was known; raises WentBack."""
        self.tick()
        self._age.answered(self._age.asking(), self._model.revision)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, changed: asyncio.Event, poll_s: float) -> None:
        """Wait for a change, the end of a lease or the slow poll."""
        ends_s = self._model.next_end_s()
        wait_s = poll_s if ends_s is None else min(poll_s, max(0.01, ends_s - self._now_s()))
        try:
            async with asyncio.timeout(wait_s):
                await changed.wait()
        except TimeoutError:
            return
