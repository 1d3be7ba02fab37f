"""Versions of the program for tests of upgrades: today's as the old one, one minor version newer, and two newer.

The newer ones exist only here: what they know beyond today's is another protocol, a table that is added and a change
that waits for its level.
"""

from coordinator.versions.release import FIRST, Level, Release
from node.app.product import PRODUCT, Product
from node.spool.schema import migration_of

TODAY = PRODUCT
NEWEST = TODAY.spool[-1].number
ADDED = migration_of(NEWEST + 1, "-- since: 0.2.0\nCREATE TABLE labels (message INTEGER, label TEXT);\n")
CHANGED = migration_of(
    NEWEST + 2,
    "-- level: 2\n-- since: 0.2.0\n"
    "CREATE TABLE colours (message INTEGER PRIMARY KEY, colour TEXT NOT NULL);\n"
    "CREATE TRIGGER coloured AFTER INSERT ON messages BEGIN INSERT INTO colours VALUES (new.seq, 'grey'); END;\n"
    "INSERT INTO colours SELECT seq, 'grey' FROM messages;\n",
)
COPIES_CHANGED = migration_of(
    TODAY.copies[-1].number + 1, "-- level: 2\n-- since: 0.2.0\nCREATE TABLE colours (copy INTEGER PRIMARY KEY);\n"
)
_LEVELS = tuple(Level(number=number, protocol=number) for number in range(FIRST, FIRST + 3))


def _newer(version: str, *levels: Level) -> Product:
    return Product(
        release=Release(version=version, levels=levels),
        spool=(*TODAY.spool, ADDED, CHANGED),
        copies=(*TODAY.copies, COPIES_CHANGED),
    )


ONE_NEWER = _newer("0.2.0", *_LEVELS[:2])
TWO_NEWER = _newer("0.3.0", *_LEVELS[1:])
BY_NAME = {"today": TODAY, "one-newer": ONE_NEWER, "two-newer": TWO_NEWER}
