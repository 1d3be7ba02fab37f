"""What one version of the program speaks and writes, by levels. Values only.

A *level* numbers everything processes must understand of each other and of the lives before them: questions among
processes, records in the store, schemas on disks. One level is in force in the whole cluster, and every process speaks
and writes that one. A minor version brings at most one new level and still knows the one before, so a cluster whose
processes differ by one minor version works at the older level until an operator finalises the newer one (design §6).
"""

from dataclasses import dataclass
from importlib import metadata
from typing import Final

from coordinator.peers.versions import Speaks

DISTRIBUTION: Final = "m365-relay"
FIRST: Final = 1
"""What a cluster speaks that never said which level is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level."""

    number: int
    protocol: int
    """Of questions among processes (``peers/versions.py``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of the program and the levels it knows, oldest first, without a gap."""

    version: str
    levels: tuple[Level, ...]

    @property
    def oldest(self) -> int:
        """Number of the oldest level it knows."""
        return self.levels[0].number

    @property
    def newest(self) -> int:
        """Number of the newest level it knows."""
        return self.levels[-1].number

    @property
    def span(self) -> tuple[int, int]:
        """Oldest and newest level."""
        return self.oldest, self.newest

    @property
    def protocols(self) -> tuple[int, int]:
        """Oldest and newest protocol it speaks."""
        return self.levels[0].protocol, self.levels[-1].protocol

    @property
    def speaks(self) -> Speaks:
        """The same, as a server says it."""
        return Speaks(oldest=self.protocols[0], newest=self.protocols[1], version=self.version)

    def knows(self, level: int) -> bool:
        """Whether it can work at a level."""
        return self.oldest <= level <= self.newest

    def protocol(self, level: int) -> int:
        """Give the protocol of a level; of one it does not know that of the nearest it does."""
        return self.levels[max(0, min(level - self.oldest, len(self.levels) - 1))].protocol


RELEASE: Final = Release(version=metadata.version(DISTRIBUTION), levels=(Level(number=FIRST, protocol=1),))
"""This version. A new minor version adds its level at the end and drops all but the one before it."""
