"""Makes a database ready: identity, version, migrations, check. It salvages nothing itself and reads no mail."""

import uuid
from collections.abc import Callable
from pathlib import Path

from node.spool.checking import CheckCut
from node.spool.database import Damaged, Database
from node.spool.errors import SpoolUnusable
from node.spool.queries import migrations

APPLICATION_ID = 0x4D33_5350
"""``M3SP`` in the file's header: tells our database from anyone else's."""

CHECK_S = 2.5
"""Longest check at start: a large spool must open within 5 s, and what a cut check missed still shows when it is
read."""

DATABASE = "spool.sqlite3"

Migrations = list[tuple[int, str]]


def make_ready(database: Database, where: Path, now_ms: int, steps: Migrations | None = None) -> None:
    """Apply what is missing, each migration in its own transaction; raises SpoolUnusable, Damaged."""
    known = migrations() if steps is None else steps
    newest = known[-1][0]
    found = database.number_text("PRAGMA user_version")
    owner = database.number_text("PRAGMA application_id")
    if owner not in {0, APPLICATION_ID} or (not owner and database.number_text("SELECT count(*) FROM sqlite_master")):
        raise SpoolUnusable(f"spool {where}: the database there is not a spool of this program")
    if found > newest:
        raise SpoolUnusable(f"spool {where}: has schema version {found}, this program knows up to {newest}")
    for number, text in known:
        if number > found:
            _migrate(database, number, text, now_ms)


def _migrate(database: Database, number: int, text: str, now_ms: int) -> None:
    with database.transaction():
        database.script(text)
        database.run_text(f"PRAGMA user_version = {number}")
        database.run("set_meta", ("schema", number))
        if number == 1:
            database.run_text(f"PRAGMA application_id = {APPLICATION_ID}")
            database.run("set_meta", ("spool_id", str(uuid.uuid4())))
            database.run("set_meta", ("created_ms", now_ms))


def examine(database: Database, seconds: float = CHECK_S) -> bool:
    """Check the file's structure; True if the check came to its end, Damaged if it found something."""
    try:
        found = database.check(seconds)
    except CheckCut:
        return False
    if found:
        raise Damaged(f"database damaged: {found[0]}")
    return True


def open_checked(
    connect: Callable[[], Database], ready: Callable[[Database], None], salvage: Callable[[str], Database]
) -> Database:
    """An open, current, checked database; ``ready`` brings it up to date.

    ``salvage`` is called with the cause if the one there is damaged.
    """
    database: Database | None = None
    try:
        database = connect()
        ready(database)
        examine(database)
    except Damaged as damage:
        if database is not None:
            database.close()
        return salvage(str(damage))
    except BaseException:
        if database is not None:
            database.close()
        raise
    return database
