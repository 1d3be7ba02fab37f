"""Makes a copy store ready: identity, version, migrations, check; what can be read of a damaged one is copied.

Whatever was lost, the store takes a new identity: whoever relied on its copies must learn that they are not all there.
"""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from node.shadow import statements
from node.shadow.statements import migrations
from node.spool import opening
from node.spool.database import Database, Row
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.migrating import Kind, bring_up
from node.spool.rows import Cell
from node.spool.salvage import CHUNK, SetAside, insert_rows, read_range
from node.spool.schema import Schema

APPLICATION_ID: Final = 0x4D33_4350
"""``M3CP`` in the file's header."""
DATABASE: Final = "copies.sqlite3"
_KEYS_MAX: Final = 2**40
"""No store has numbered more rows; a larger maximum is damage speaking."""
_TABLES: Final = (
    ("copies", "seq pairing id cost_bytes size_bytes file progress facts body"),
    ("told", "seq pairing id kind what"),
)
"""Tables with a numbered key, read in ranges."""
_WHOLE: Final = (
    ("pairings", "number spool shadow epoch node stream expected"),
    ("past", "id discarded_ms facts lines"),
)
"""Tables read at once."""


def open_checked(
    connect: Callable[[], Database], directory: Path, aside: SetAside, schema: Schema | None = None
) -> Database:
    """Give an open, current, checked database. Raises SpoolUnusable, SpoolTooNew, SpoolFull, SpoolBroken."""
    known = schema or all_known()
    return opening.open_checked(
        connect,
        lambda database: make_ready(database, directory, known),
        lambda cause: _salvage(connect, directory, aside, cause, known),
        path=directory / DATABASE,
        newest=known.newest,
    )


def make_ready(database: Database, where: Path, schema: Schema | None = None) -> None:
    """Bring it to the schema of the level in force; without ``schema`` to the newest.

    Raises SpoolUnusable, SpoolTooNew, Damaged.
    """
    bring_up(database, where, _KIND, schema or all_known())


def all_known() -> Schema:
    """Everything this program knows, whatever the level."""
    return Schema(migrations=migrations())


def renew(database: Database) -> None:
    """Give the store a new identity, in the transaction that is open."""
    statements.run(database, "set_meta", ("store_id", str(uuid.uuid4())))


def _get(database: Database, key: str) -> Cell:
    return statements.cell(database, "get_meta", (key,))


def _put(database: Database, key: str, value: Cell) -> None:
    statements.run(database, "set_meta", (key, value))


_KIND: Final = Kind(name="copies", what="a copy store", application_id=APPLICATION_ID, get=_get, put=_put, born=renew)


def _salvage(connect: Callable[[], Database], directory: Path, aside: SetAside, cause: str, schema: Schema) -> Database:
    aside.note(damage=cause)
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{DATABASE}{suffix}"
        if path.exists():
            aside.move(path, "damaged database")
    fresh = connect()
    try:
        make_ready(fresh, directory, schema)
        _copy_all(aside.folder / DATABASE, fresh, aside)
    except BaseException:
        fresh.close()
        raise
    return fresh


def _copy_all(source: Path, fresh: Database, aside: SetAside) -> None:
    try:
        old = Database(source, writable=True)  # only so does SQLite read the log beside it
    except (SpoolBroken, SpoolFull) as error:
        aside.note(unreadable="whole database", error=str(error))
        return
    try:
        for table, names in _WHOLE:
            insert_rows(fresh, table, names.split(), _whole(old, table, names.split(), aside))
        for table, names in _TABLES:
            _copy_table(old, fresh, aside, table, names.split())
    finally:
        old.close()
    with fresh.transaction():
        # A sender that is under way must begin anew: what it counts on may not all be here.
        fresh.run_text("UPDATE pairings SET stream = 0")
        fresh.run_text("DELETE FROM copies WHERE pairing NOT IN (SELECT number FROM pairings)")
        fresh.run_text("DELETE FROM told WHERE pairing NOT IN (SELECT number FROM pairings)")
        statements.run(fresh, "recount")


def _whole(old: Database, table: str, columns: Sequence[str], aside: SetAside) -> list[Row]:
    try:
        return old.run_text(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - names are constants above
    except SpoolBroken as error:
        aside.note(lost=table, error=str(error))
        return []


def _copy_table(old: Database, fresh: Database, aside: SetAside, table: str, columns: Sequence[str]) -> None:
    select = f"SELECT {', '.join(columns)} FROM {table} WHERE seq BETWEEN ? AND ?"  # noqa: S608 - as above
    copied = lost = 0
    for first in range(_edge(old, table, "min"), _edge(old, table, "max") + 1, CHUNK):
        rows: list[Row] = []
        for part, failed in read_range(old, select, first):
            rows += part
            lost += failed
        copied += len(rows)
        insert_rows(fresh, table, columns, rows)
    aside.note(table=table, rows=copied, unreadable_keys=lost)


def _edge(old: Database, table: str, which: str) -> int:
    """Least or greatest key; where that page is damaged nothing of the table is read."""
    try:
        value = old.run_text(f"SELECT {which}(seq) FROM {table}")[0][0]  # noqa: S608 - as above
    except SpoolBroken:
        return 0 if which == "min" else -1
    return int(value) if value is not None and 0 <= int(value) < _KEYS_MAX else (0 if which == "min" else -1)
