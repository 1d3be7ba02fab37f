"""Schemas of a database by numbered migrations: which may be applied now, and who may use what they leave. Pure.

A migration names, in comments at its head, the level (``coordinator/versions``) it waits for and the version of the
program that brought it::

    -- level: 2
    -- since: 0.2.0

Before that level is in force it is not applied, so the version before can still use the disk. One without a level is
an *addition*: it is applied at the next start, and programs that do not know it use the disk all the same. The database
remembers the lowest schema a program must know to use it; a program that knows less refuses it.
"""

import re
import sys
from dataclasses import dataclass
from typing import Final

ANY_LEVEL: Final = sys.maxsize
"""For tools and tests: everything that is known is applied."""
_HEAD = re.compile(r"^-- (level|since): (\S+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_ADDITION = re.compile(
    r"\s*(CREATE TABLE \w+|CREATE (UNIQUE )?INDEX \w+|ALTER TABLE \w+ ADD COLUMN \w+|INSERT INTO meta\b)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step to the next schema."""

    number: int
    text: str
    level: int = 0
    """It waits for this level; 0: an addition, which waits for none."""
    since: str = ""
    """Version of the program that brought it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """All that a program knows, in order, and the level it is to write."""

    migrations: tuple[Migration, ...]
    level: int = ANY_LEVEL

    @property
    def newest(self) -> int:
        """Number of the newest schema known."""
        return self.migrations[-1].number

    @property
    def written(self) -> int:
        """Number of the schema an up-to-date disk has at this level."""
        reached = pending(0, self)
        return reached[-1].number if reached else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a database says of itself."""

    number: int
    """Of its schema."""
    usable_from: int = 0
    """The lowest schema a program must know to use it; 0: it does not say, so nothing less than its own."""
    since: str = ""
    """Version of the program that brought what makes it so."""


def migration_of(number: int, text: str) -> Migration:
    """Read a migration; raises ValueError for one that waits for no level and yet is more than an addition."""
    head = dict(_HEAD.findall(text))
    made = Migration(number=number, text=text, level=int(head.get("level", 0)), since=head.get("since", ""))
    statements = [each for each in _COMMENT.sub("", text).split(";") if each.strip()]
    strange = next((each.split() for each in statements if not _ADDITION.match(each)), None)
    if not made.level and strange is not None:
        raise ValueError(f"migration {number} is no addition, so it must wait for a level: {' '.join(strange)[:60]}")
    return made


def pending(found: int, schema: Schema) -> tuple[Migration, ...]:
    """Give what is to be applied now to a database of schema *found*; what comes after one that waits, waits too."""
    steps: list[Migration] = []
    for each in schema.migrations:
        if each.level > schema.level:
            break
        if each.number > found:
            steps.append(each)
    return tuple(steps)


def refusal(found: Found, schema: Schema) -> str:
    """Say why a database must not be used by this program; empty when it may be."""
    least = found.usable_from or found.number
    if least <= schema.newest:
        return ""
    who = f"; version {found.since} or later can use it" if found.since else ""
    return f"has schema version {found.number}, this program knows up to {schema.newest}{who}"


def after(found: Found, step: Migration) -> Found:
    """Give what the database says once a step is applied."""
    if step.level:
        return Found(number=step.number, usable_from=step.number, since=step.since)
    return Found(number=step.number, usable_from=found.usable_from or found.number, since=found.since)
