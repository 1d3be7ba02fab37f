"""The level a node works at, and an operator's word that raises it: in a cluster everybody's, else the node's own.

Before a newer level is finalised nothing is written that the version before cannot read, so going back is free; after
it an older version refuses to start. Schemas follow at the next start of each node (design §6).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from coordinator.errors import UnfitVersion
from coordinator.versions.decide import born, refusal
from coordinator.versions.memory import LevelMemory
from coordinator.versions.record import Settled
from coordinator.versions.release import Release
from node.admin.control import LevelView
from node.app.cluster_level import ClusterLevel
from node.app.product import Product
from node.errors import TemporaryError
from node.spool.opening import DATABASE
from node.spool.sqlite import SqliteSpool

_log = logging.getLogger(__name__)


class NotKept(TemporaryError):  # noqa: N818 - a state of affairs
    """The level could not be written down."""


class Levels(Protocol):
    """Where the level in force stands."""

    async def begin(self) -> int:
        """Learn it before anything is written; raises UnfitVersion."""
        ...

    def now(self) -> Settled:
        """Give it as known now."""
        ...

    async def finalise(self, reason: str, actor: str) -> None:
        """Put the newest one this version knows in force. Raises PermanentError saying what stands in the way.

        Raises TemporaryError when it is not known whether it was done.
        """
        ...


class OwnLevel:
    """Implements ``Levels`` for a node that belongs to no cluster: a file beside the spool."""

    def __init__(self, release: Release, kept: Path, fresh: Callable[[], bool]) -> None:
        """``kept``: the directory of the file; ``fresh``: whether there is no spool yet."""
        self._release, self._kept, self._fresh = release, kept, fresh
        self._memory: LevelMemory | None = None

    async def begin(self) -> int:
        """See Levels."""
        self._kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._memory = memory = LevelMemory(self._kept / "members.level")
        level = born(self._release, remembered=memory.level, empty=self._fresh())
        text = refusal(self._release, level)
        if text:
            raise UnfitVersion(text)
        self._keep(memory, level)
        return level

    def now(self) -> Settled:
        """See Levels."""
        return Settled(level=self._memory.level if self._memory is not None else self._release.oldest)

    async def finalise(self, reason: str, actor: str) -> None:
        """See Levels."""
        if self._memory is not None and self._memory.level != self._release.newest:
            self._keep(self._memory, self._release.newest)
            _log.warning("level %d finalised", self._memory.level, extra={"actor": actor, "why": reason})

    @staticmethod
    def _keep(memory: LevelMemory, level: int) -> None:
        try:
            memory.keep(level)
        except OSError as error:
            raise NotKept(f"which level is in force cannot be written down: {error.strerror}") from None


class Upgrades:
    """What the node does about levels."""

    def __init__(self, product: Product, spool: SqliteSpool, levels: Levels) -> None:
        """Keep the parts."""
        self._product, self._spool, self._levels = product, spool, levels

    async def begin(self) -> None:
        """Let the spool write what the level in force allows; before it is opened. Raises UnfitVersion, NotKept."""
        self._spool.schema = self._product.spool_at(await self._levels.begin())

    async def finalise(self, reason: str, actor: str) -> LevelView:
        """Put the newest level in force; see Levels."""
        await self._levels.finalise(reason, actor)
        return self.view()

    def view(self) -> LevelView:
        """Give what there is to see."""
        now, release = self._levels.now(), self._product.release
        return LevelView(
            level=now.level,
            oldest=release.oldest,
            newest=release.newest,
            protocol=release.protocol(now.level),
            schema=self._spool.schema_at_open,
            schema_due=self._product.spool_at(now.level).written,
            actor=now.actor,
            reason=now.reason,
            node=now.node,
            at_ms=now.at_ms,
        )


def upgrades_of(product: Product, spool: SqliteSpool, level: ClusterLevel | None) -> Upgrades:
    """Make what a node does about levels; ``level``: its cluster's, None for a node alone."""
    directory = spool.directory
    own = OwnLevel(product.release, directory / "kept", lambda: not (directory / DATABASE).exists())
    return Upgrades(product, spool, level or own)
