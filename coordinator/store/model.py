"""An etcd as a plain value: revisions, leases, history, compaction; handed ``now_s``, no clock and no connection.

The embedded single node runs on it, and the simulation puts its delays and failures in front of it. What it leaves
out on purpose: members, votes and disks.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from coordinator.store.contract import (
    Change,
    Compacted,
    Compare,
    Delete,
    Field,
    Item,
    LeaseLost,
    Listing,
    Outcome,
    Put,
    Refused,
    Write,
)

HISTORY_MAX = 10_000
"""Changes remembered for watches; older ones are compacted away by themselves."""


@dataclass(slots=True, kw_only=True)
class Lease:
    """A time to live and the keys bound to it."""

    ttl_s: int
    ends_s: float
    keys: set[str] = field(default_factory=set)


class Model:
    """All state of one store; every method is one step at ``now_s``."""

    def __init__(self, *, ttl_min_s: int = 2, lease_ids: int = 1) -> None:
        """``ttl_min_s``: shorter leases are lengthened, as etcd does (1.5 × its election timeout)."""
        self.revision = 1
        self.compacted = 0
        self.items: dict[str, Item] = {}
        self.leases: dict[int, Lease] = {}
        self._history: deque[Change] = deque()
        self._ttl_min_s = ttl_min_s
        self._next_lease = lease_ids

    def expire(self, now_s: float) -> bool:
        """End every lease whose time has come; whether any key went."""
        before = self.revision
        for lease_id in sorted(self.leases):
            if self.leases[lease_id].ends_s <= now_s:
                self.revoke(lease_id)
        return self.revision != before

    def next_end_s(self) -> float | None:
        """Give the time the next lease ends, or None."""
        return min((lease.ends_s for lease in self.leases.values()), default=None)

    def list(self, prefix: str) -> Listing:
        """See Store."""
        found = tuple(self.items[key] for key in sorted(self.items) if key.startswith(prefix))
        return Listing(items=found, revision=self.revision)

    def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """See Store."""
        keys = [write.key for write in writes]
        if len(set(keys)) != len(keys):
            raise Refused("duplicate key given in a transaction")
        if not all(self._holds(compare) for compare in compares):
            names = dict.fromkeys(compare.key for compare in compares)
            found = tuple(self.items[name] for name in names if name in self.items)
            return Outcome(succeeded=False, revision=self.revision, found=found)
        gone = [write for write in writes if isinstance(write, Put) and write.lease and write.lease not in self.leases]
        if gone:
            raise LeaseLost(f"requested lease not found: {gone[0].lease:x}")
        self._write(writes)
        return Outcome(succeeded=True, revision=self.revision)

    def grant(self, ttl_s: int, now_s: float) -> int:
        """See Store."""
        lease_id, self._next_lease = self._next_lease, self._next_lease + 1
        ttl_s = max(ttl_s, self._ttl_min_s)
        self.leases[lease_id] = Lease(ttl_s=ttl_s, ends_s=now_s + ttl_s)
        return lease_id

    def renew(self, lease_id: int, now_s: float) -> int:
        """See Store; the whole time counts from ``now_s``."""
        lease = self.leases.get(lease_id)
        if lease is None:
            raise LeaseLost(f"lease {lease_id:x} is gone")
        lease.ends_s = now_s + lease.ttl_s
        return lease.ttl_s

    def renew_all(self, now_s: float, extra_s: float) -> None:
        """Lengthen every lease, as a newly elected etcd leader does: to its whole time and an election's more."""
        for lease in self.leases.values():
            lease.ends_s = max(lease.ends_s, now_s + lease.ttl_s + extra_s)

    def revoke(self, lease_id: int) -> None:
        """End a lease and delete its keys, all at one revision."""
        lease = self.leases.pop(lease_id, None)
        if lease is not None:
            self._write([Delete(key=key) for key in sorted(lease.keys)])

    def changes(self, prefix: str, from_revision: int) -> tuple[Change, ...]:
        """Give every change from a revision on; raises Compacted when some are no longer known."""
        if from_revision <= self.compacted:
            raise Compacted(f"changes from {from_revision}, compacted to {self.compacted}")
        newest_first = takewhile(lambda change: change.revision >= from_revision, reversed(self._history))
        return tuple(change for change in newest_first if change.key.startswith(prefix))[::-1]

    def compact(self, revision: int) -> None:
        """Forget changes up to and including a revision."""
        self.compacted = max(self.compacted, min(revision, self.revision))
        while self._history and self._history[0].revision <= self.compacted:
            self._history.popleft()

    def _holds(self, compare: Compare) -> bool:
        item = self.items.get(compare.key)
        if item is None:
            return compare.equals == 0
        present = {Field.CREATE: item.create_revision, Field.MOD: item.mod_revision, Field.LEASE: item.lease}
        return present[compare.field] == compare.equals

    def _write(self, writes: Sequence[Write]) -> None:
        """Do all writes at one new revision; deleting what is absent is no change."""
        effective = [write for write in writes if isinstance(write, Put) or write.key in self.items]
        if not effective:
            return
        self.revision += 1
        for write in effective:
            old = self.items.pop(write.key, None)
            if old is not None and old.lease in self.leases:
                self.leases[old.lease].keys.discard(write.key)
            item = self._put(write, old) if isinstance(write, Put) else None
            self._history.append(Change(key=write.key, item=item, revision=self.revision))
        while len(self._history) > HISTORY_MAX:
            self.compact(self._history[0].revision)

    def _put(self, put: Put, old: Item | None) -> Item:
        item = Item(
            key=put.key,
            value=put.value,
            create_revision=old.create_revision if old else self.revision,
            mod_revision=self.revision,
            lease=put.lease,
        )
        self.items[put.key] = item
        if put.lease:
            self.leases[put.lease].keys.add(put.key)
        return item
