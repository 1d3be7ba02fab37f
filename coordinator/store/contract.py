"""What coordination asks of its store, and what each answer promises (coordination-review notation and §1).

Keys are text, values bytes. Every read is linearisable. Every call is bounded by the caller's ``timeout_s``. Errors
are *definite* (nothing happened, or the lease is gone) or *indefinite* (it may have happened: read back and decide
from the revision, never repeat blindly).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from coordinator.errors import CoordinatorError


class StoreError(CoordinatorError):
    """The store did not do what was asked."""


class Indefinite(StoreError):  # noqa: N818 - a state of knowledge
    """No answer, or one that does not tell whether it happened: time-out, unavailable, no leader, unknown codes."""


class Unreachable(Indefinite):
    """No endpoint could be connected: the call was certainly not sent by this client, yet nothing is known either."""


class LeaseLost(StoreError):  # noqa: N818 - as above
    """The lease does not exist (definite): whatever was held by it is gone."""

    temporary = False


class Refused(StoreError):  # noqa: N818 - as above
    """The store answered and refused for good: permission, bad request, no space (definite)."""

    temporary = False


class NoSpace(Refused):
    """The store's database is full (alarm NOSPACE): reads work, writes do not, until an operator acts."""

    temporary = True


class Unauthenticated(Refused):
    """Our token is not, or no longer, accepted (definite: nothing was done)."""

    temporary = True


class WrongCluster(Refused):
    """An endpoint answered for another cluster than the one first heard: nothing it says counts."""


class WentBack(WrongCluster):
    """The store is older than it was: a copy was restored under the same id. Nothing it says counts from now on."""


class Compacted(StoreError):  # noqa: N818 - as above
    """The revision asked for has been compacted away: read the present state instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A key with its value and versions."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Every item under a prefix at one revision, sorted by key."""

    items: tuple[Item, ...]
    revision: int


class Field(StrEnum):
    """What a comparison looks at."""

    CREATE = "create_revision"
    MOD = "mod_revision"
    LEASE = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """One condition: the field of the key equals ``equals``; create revision 0 means the key is absent."""

    key: str
    field: Field
    equals: int


def absent(key: str) -> Compare:
    """Require that the key does not exist."""
    return Compare(key=key, field=Field.CREATE, equals=0)


def created_at(key: str, revision: int) -> Compare:
    """Require that the key was created at this revision (membership guard, §1)."""
    return Compare(key=key, field=Field.CREATE, equals=revision)


def unchanged(item: Item) -> Compare:
    """Require that the item has not been written since it was read."""
    return Compare(key=item.key, field=Field.MOD, equals=item.mod_revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Write a key, bound to a lease unless 0."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a key; removing none is fine."""

    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a transaction ended: whether every comparison held, and the revision it happened at."""

    succeeded: bool
    revision: int
    found: tuple[Item, ...] = ()
    """On failure: the present items of the keys compared (those that exist)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change seen by a watch; ``item`` is None when the key was deleted or expired."""

    key: str
    item: Item | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a watch yields. With ``resync`` the changes are the whole state anew: forget what was known before.

    A resync comes first, after a compaction overtook the watch, and from the slow poll that backs it whenever
    state and stream differ.
    """

    changes: tuple[Change, ...]
    revision: int
    resync: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one endpoint says of itself and the cluster."""

    endpoint: str
    cluster_id: int
    member_id: int
    leader_id: int
    revision: int
    version: str
    db_bytes: int
    alarms: tuple[str, ...] = ()


class Store(Protocol):
    """A replicated, versioned map with leases and watches.

    ``get``, ``list`` and ``txn`` raise WentBack when their answer is of a revision older than one known before they
    were asked, and always from then on: what was restored is not what we acted on (§5). Leases and watches do not
    look, for a member that answers them may lag.
    """

    @property
    def newest(self) -> int:
        """Give the newest revision known of; 0 before the first answer."""
        ...

    def on_went_back(self, tell: Callable[[WentBack], None]) -> None:
        """Call ``tell`` once if the store goes back, before whoever asked hears of it."""
        ...

    def expect(self, revision: int) -> None:
        """Say which revision the store was at already, as a life before this one knew it."""
        ...

    async def get(self, key: str, *, timeout_s: float) -> Item | None:
        """Give the key's item, or None."""
        ...

    async def list(self, prefix: str, *, timeout_s: float) -> Listing:
        """Give every item whose key begins with the prefix."""
        ...

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write], *, timeout_s: float) -> Outcome:
        """Write all or nothing if every comparison holds. Never repeated by the store's client.

        Raises LeaseLost if a put names a lease that is gone.
        """
        ...

    async def grant(self, ttl_s: int, *, timeout_s: float) -> int:
        """Make a lease; its id. The time to live counts from the moment the store received the call."""
        ...

    async def renew(self, lease: int, *, timeout_s: float) -> int:
        """Renew once; the time to live granted, in seconds. Raises LeaseLost (definite) when it is gone."""
        ...

    async def revoke(self, lease: int, *, timeout_s: float) -> None:
        """End a lease and delete its keys; a lease already gone is fine."""
        ...

    async def lease_left_s(self, lease: int, *, timeout_s: float) -> int:
        """Give the whole seconds the lease has left; -1 when it is gone."""
        ...

    def watch(self, prefix: str, *, poll_s: float) -> AsyncIterator[Seen]:
        """Follow everything under the prefix, for ever: a resync first, then changes in order, nothing skipped."""
        ...

    async def health(self, *, timeout_s: float) -> tuple[Health, ...]:
        """Ask every endpoint; those that do not answer are left out."""
        ...

    async def close(self) -> None:
        """Close connections and end watches."""
        ...
