"""What a node is in this version of the program: the levels it knows, and the migrations that belong to them."""

from dataclasses import dataclass
from typing import Final

from coordinator.versions.release import RELEASE, Release
from node.shadow import statements
from node.spool import queries
from node.spool.schema import Migration, Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a node is made of that another version has otherwise."""

    release: Release
    spool: tuple[Migration, ...]
    copies: tuple[Migration, ...]

    def spool_at(self, level: int) -> Schema:
        """Give the schema of the spool at a level."""
        return Schema(migrations=self.spool, level=level)

    def copies_at(self, level: int) -> Schema:
        """Give the schema of the copy store at a level."""
        return Schema(migrations=self.copies, level=level)

    @property
    def schemas(self) -> tuple[int, int]:
        """The spool's schema at the oldest and at the newest level."""
        return self.spool_at(self.release.oldest).written, self.spool_at(self.release.newest).written


PRODUCT: Final = Product(release=RELEASE, spool=queries.migrations(), copies=statements.migrations())
