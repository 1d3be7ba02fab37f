"""BudgetStore in this process's memory: for one node, and the model the cluster's store is tested against.

Holds one record per kind and scope, so it is bounded by the configuration. Nothing outlives the process.
"""

from collections.abc import Mapping
from types import MappingProxyType

from coordinator.errors import NotAMember, StaleRevision
from node.cluster.store import Kind, Record

_NONE = Record(value=MappingProxyType({}), revision=0)


class MemoryStore:
    """Revisions count all writes of the store, as a cluster's do, so they never repeat for one record."""

    def __init__(self) -> None:
        self._records: dict[tuple[Kind, str], Record] = {}
        self._members: set[str] = set()
        self._revision = 0

    async def join(self, holder: str) -> None:
        """See BudgetStore."""
        self._members.add(holder)

    async def leave(self, holder: str) -> None:
        """See BudgetStore."""
        self._members.discard(holder)

    async def read(self, kind: Kind, scope: str) -> Record:
        """See BudgetStore."""
        return self._records.get((kind, scope), _NONE)

    async def replace(self, kind: Kind, scope: str, value: Mapping[str, int], *, revision: int, holder: str) -> Record:
        """See BudgetStore."""
        if holder not in self._members:
            raise NotAMember(f"{holder} has no session and may not change {kind} of {scope}")
        present = self._records.get((kind, scope), _NONE).revision
        if present != revision:
            raise StaleRevision(f"{kind} of {scope} is at revision {present}, not {revision}")
        self._revision += 1
        # Copied and sealed: neither writer nor reader can change what others read.
        record = Record(value=MappingProxyType(dict(value)), revision=self._revision)
        self._records[kind, scope] = record
        return record

    async def scopes(self, kind: Kind) -> tuple[str, ...]:
        """See BudgetStore."""
        return tuple(sorted(scope for found, scope in self._records if found is kind))
