"""The level in force as one process knows it: asked at its start, checked with each session, followed by the watch."""

import logging
import time
from collections.abc import Callable
from typing import Final

from coordinator.errors import NotAdmitted, UnfitVersion
from coordinator.keys import Keys, decode, encode
from coordinator.store.contract import Change, Compare, Item, Put, Seen, Store, StoreError, absent, unchanged
from coordinator.versions.decide import born, meanwhile, refusal
from coordinator.versions.memory import LevelMemory
from coordinator.versions.record import Settled, told
from coordinator.versions.release import Release

PATIENCE_S: Final = 3.0
"""How long a start waits for the store to say which level is in force."""
LAST_KNOWN: Final = "as it was last known here; the store does not answer"
_log = logging.getLogger(__name__)


def wall_ms() -> int:
    """Read the wall clock, for people."""
    return time.time_ns() // 1_000_000


class VersionKeeper:
    """Tells which level and protocol to work at. Nothing is asked of the store before ``learn`` or ``admission``."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        release: Release,
        memory: LevelMemory,
        *,
        node: str,
        alarm: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Work at what was last known, until more is."""
        self.release = release
        self.settled: Settled | None = None
        """What the store says; None: it was not heard, or says nothing that can be read."""
        self.level = meanwhile(release, memory.level)
        self._store, self._keys, self._memory = store, keys, memory
        self._node, self._alarm, self._complaint = node, alarm, ""

    def protocol(self) -> int:
        """Give the protocol to ask other processes in."""
        return self.release.protocol(self.level)

    async def learn(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Give the level to begin with, before anything is written or anybody is listened to.

        Raises UnfitVersion. While the store does not answer, what was last known counts.
        """
        try:
            item = await self._store.get(self._keys.version, timeout_s=timeout_s)
            settled = read(item) if item is not None else await self._first(timeout_s)
        except (StoreError, NotAdmitted) as error:
            _log.warning("which level is in force is not known: %s; level %d is taken", error, self.level)
            self._check(Settled(level=self.level), LAST_KNOWN)
            return self.level
        self._check(settled, told(settled))
        if item is not None:
            self._take(settled)
        self.level = settled.level
        return self.level

    async def admission(self, *, timeout_s: float) -> tuple[Compare, ...]:
        """Give what the begin of a session must find unchanged: the level it was judged by.

        Begins the cluster if nothing is in force yet. Raises UnfitVersion, NotAdmitted, StoreError.
        """
        item = await self._store.get(self._keys.version, timeout_s=timeout_s)
        if item is None:
            item = await self._begun(timeout_s)
        settled = read(item)
        self._check(settled, told(settled))
        self._take(settled)
        return (unchanged(item),)

    def feed(self, seen: Seen) -> None:
        """Take what the watch told."""
        for change in seen.changes:
            if change.key == self._keys.version:
                self._hear(change)

    def _hear(self, change: Change) -> None:
        if change.item is None:
            return  # whoever joins next writes it again
        settled = decode(change.item.value, Settled)
        text = f"{change.key} cannot be read" if settled is None else refusal(self.release, settled.level)
        if settled is None or text:
            self._complain(f"{text}; this process goes on at level {self.level} until its session ends")
        else:
            self._complaint = ""
            self._take(settled)

    async def _first(self, timeout_s: float) -> Settled:
        """Say with which level a cluster begins that does not name one. Raises StoreError."""
        listing = await self._store.list(self._keys.root, timeout_s=timeout_s)
        level = born(self.release, remembered=self._memory.level, empty=not listing.items)
        return Settled(level=level, node=self._node, version=self.release.version, at_ms=wall_ms())

    async def _begun(self, timeout_s: float) -> Item:
        """Write the level a cluster begins with; of several that do so the first one's counts."""
        settled = await self._first(timeout_s)
        self._check(settled, told(settled))
        put = Put(key=self._keys.version, value=encode(settled))
        outcome = await self._store.txn([absent(put.key)], [put], timeout_s=timeout_s)
        if outcome.succeeded:
            revision = outcome.revision
            return Item(key=put.key, value=put.value, create_revision=revision, mod_revision=revision)
        if not outcome.found:
            raise NotAdmitted(f"{put.key} came and went")
        return outcome.found[0]

    def _check(self, settled: Settled, by: str) -> None:
        text = refusal(self.release, settled.level, by)
        if text:
            raise UnfitVersion(text)

    def _take(self, settled: Settled) -> None:
        """Work from now on at a level that fits, and remember it."""
        if settled != self.settled:
            detail = {"actor": settled.actor, "why": settled.reason}
            _log.info("level %d is in force: %s", settled.level, told(settled), extra=detail)
        self.level, self.settled = settled.level, settled
        try:
            self._memory.keep(settled.level)
        except OSError as error:
            self._complain(f"which level is in force cannot be written down: {error.strerror}")

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            self._alarm(text)


def read(item: Item) -> Settled:
    """Read what is in force; raises NotAdmitted when it cannot be read."""
    settled = decode(item.value, Settled)
    if settled is None:
        raise NotAdmitted(f"{item.key} cannot be read: which level is in force is not known")
    return settled
