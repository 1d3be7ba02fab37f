"""One watch of the cluster's keys for a whole process: what is there now, and news to everybody who wants them.

A process watches once, however many parts of it look, so an idle cluster costs the store little.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from coordinator.keys import Keys
from coordinator.store.contract import Change, Item, Seen, Store

POLL_S: Final = 5.0


class Feed:
    """State under the cluster's root as last seen; bounded by what the cluster keeps there."""

    def __init__(self, store: Store, keys: Keys, *, poll_s: float = POLL_S) -> None:
        """Know nothing until ``run``."""
        self._store, self._keys, self._poll_s = store, keys, poll_s
        self._items: dict[str, Item] = {}
        self._takers: list[Callable[[Seen], None]] = []
        self.revision = 0
        """Newest revision seen; 0 before the first look."""

    @property
    def items(self) -> Mapping[str, Item]:
        """Every key there is."""
        return MappingProxyType(self._items)

    def under(self, prefix: str) -> tuple[Item, ...]:
        """Give the items whose key begins so, sorted by key."""
        return tuple(self._items[key] for key in sorted(self._items) if key.startswith(prefix))

    def subscribe(self, take: Callable[[Seen], None]) -> Callable[[], None]:
        """Call ``take`` with everything seen from now on, after the present state as a resync; gives the way out."""
        if self.revision:
            changes = tuple(Change(key=key, item=item, revision=item.mod_revision) for key, item in self._items.items())
            take(Seen(changes=changes, revision=self.revision, resync=True))
        self._takers.append(take)
        return lambda: self._takers.remove(take)

    async def run(self) -> None:
        """Watch until cancelled."""
        async for seen in self._store.watch(self._keys.root, poll_s=self._poll_s):
            self.feed(seen)

    def feed(self, seen: Seen) -> None:
        """Take what was seen and tell everybody."""
        if seen.resync:
            self._items.clear()
        for change in seen.changes:
            if change.item is None:
                self._items.pop(change.key, None)
            else:
                self._items[change.key] = change.item
        self.revision = max(self.revision, seen.revision)
        for take in tuple(self._takers):
            take(seen)
