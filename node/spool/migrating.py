"""Brings a database to the schema of the level in force: whose it is, who may use it, what is to be applied."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.spool.database import Database
from node.spool.errors import SpoolTooNew, SpoolUnusable
from node.spool.rows import Cell
from node.spool.schema import Found, Migration, Schema, after, pending, refusal

_MAGIC: Final = b"SQLite format 3\0"
_HEAD_BYTES: Final = 100
_USER_VERSION: Final = slice(60, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One of the program's databases."""

    name: str
    """As a place is named: ``spool``, ``copies``."""
    what: str
    """What it is, for whoever put another file there."""
    application_id: int
    get: Callable[[Database, str], Cell]
    """Read a row of ``meta``."""
    put: Callable[[Database, str, Cell], None]
    """Write one, in the transaction that is open."""
    born: Callable[[Database], None]
    """Complete a new one, in the transaction of its first migration."""


def bring_up(database: Database, where: Path, kind: Kind, schema: Schema) -> int:
    """Apply what is missing, each migration in its own transaction; the schema it has then.

    Raises SpoolUnusable for another's database, SpoolTooNew for one this program must not use, Damaged.
    """
    owner = database.number_text("PRAGMA application_id")
    strange = not owner and database.number_text("SELECT count(*) FROM sqlite_master")
    if owner not in {0, kind.application_id} or strange:
        raise SpoolUnusable(f"{kind.name} {where}: the database there is not {kind.what} of this program")
    found = _found(database, kind)
    text = refusal(found, schema)
    if text:
        raise SpoolTooNew(f"{kind.name} {where}: {text}")
    for step in pending(found.number, schema):
        found = _apply(database, kind, found, step)
    return found.number


def refuse_newer(database: Path, newest: int) -> None:
    """Raise SpoolTooNew for a damaged database of a later schema: what is not known must not be salvaged.

    Read without SQLite, which may not get as far: the user version is a big-endian number in the file's head (SQLite's
    "Database File Format", 1.3).
    """
    try:
        with database.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return
    number = int.from_bytes(head[_USER_VERSION], "big")
    if len(head) == _HEAD_BYTES and head.startswith(_MAGIC) and newest < number:
        raise SpoolTooNew(f"{database}: damaged, and of schema version {number}; this program knows up to {newest}")


def _found(database: Database, kind: Kind) -> Found:
    number = database.number_text("PRAGMA user_version")
    if not number:
        return Found(number=0)
    least, since = kind.get(database, "usable_from"), kind.get(database, "usable_since")
    return Found(number=number, usable_from=int(least or 0), since=str(since or ""))


def _apply(database: Database, kind: Kind, found: Found, step: Migration) -> Found:
    reached = after(found, step)
    with database.transaction():
        database.script(step.text)
        database.run_text(f"PRAGMA user_version = {step.number}")
        if not found.number:
            database.run_text(f"PRAGMA application_id = {kind.application_id}")
            kind.born(database)
        kind.put(database, "usable_from", reached.usable_from)
        kind.put(database, "usable_since", reached.since)
    return reached
