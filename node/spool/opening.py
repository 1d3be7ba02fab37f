"""Makes a database ready: identity, version, migrations, check. It salvages nothing itself and reads no mail."""

import uuid
from collections.abc import Callable
from pathlib import Path

from node.spool.checking import CheckCut
from node.spool.database import Damaged, Database
from node.spool.migrating import Kind, bring_up, refuse_newer
from node.spool.queries import migrations
from node.spool.rows import Cell
from node.spool.schema import Schema

APPLICATION_ID = 0x4D33_5350
"""``M3SP`` in the file's header: tells our database from anyone else's."""

CHECK_S = 2.5
"""Longest check at start: a large spool must open within 5 s, and what a cut check missed still shows when it is
read."""

DATABASE = "spool.sqlite3"


def make_ready(database: Database, where: Path, now_ms: int, schema: Schema | None = None) -> int:
    """Bring it to the schema of the level in force; the schema's number.

    Without ``schema`` everything this program knows is applied. Raises SpoolUnusable, SpoolTooNew, Damaged.
    """

    def born(new: Database) -> None:
        _put(new, "spool_id", str(uuid.uuid4()))
        _put(new, "created_ms", now_ms)

    kind = Kind(name="spool", what="a spool", application_id=APPLICATION_ID, get=_get, put=_put, born=born)
    return bring_up(database, where, kind, schema or all_known())


def all_known() -> Schema:
    """Everything this program knows, whatever the level."""
    return Schema(migrations=migrations())


def _get(database: Database, key: str) -> Cell:
    return database.cell("get_meta", (key,))


def _put(database: Database, key: str, value: Cell) -> None:
    database.run("set_meta", (key, value))


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
    connect: Callable[[], Database],
    ready: Callable[[Database], object],
    salvage: Callable[[str], Database],
    *,
    path: Path,
    newest: int,
) -> Database:
    """An open, current, checked database at ``path``; ``ready`` brings it up to date.

    ``salvage`` is called with the cause if the one there is damaged; raises SpoolTooNew for a damaged one of a schema
    beyond ``newest``.
    """
    database: Database | None = None
    try:
        database = connect()
        ready(database)
        examine(database)
    except Damaged as damage:
        if database is not None:
            database.close()
        refuse_newer(path, newest)
        return salvage(str(damage))
    except BaseException:
        if database is not None:
            database.close()
        raise
    return database
