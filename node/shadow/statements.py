"""The room's named queries, run on the spool's kind of connection; the SQL stands in ``queries.sql``."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from node.spool import queries
from node.spool.database import Database, Params, Row
from node.spool.rows import Cell
from node.spool.schema import Migration

_ROWS = re.compile(r"/\*rows\*/\s*(\([^()]*\))")
BULK_ROWS: Final = (64, 16, 4, 1)
"""Sizes a bulk statement is prepared for (see ``node.spool.queries``)."""


@cache
def statement(name: str, rows: int = 0) -> str:
    """One query by name; a bulk one with its row repeated."""
    text = queries.named(__package__)[name]
    return _ROWS.sub(lambda match: ", ".join([match[1]] * rows), text) if rows else text


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return queries.migrations(__package__)


def run(database: Database, name: str, params: Params = ()) -> list[Row]:
    """Run a query; its rows. Raises SpoolBroken, SpoolFull."""
    return database.run_text(statement(name), params)


def cell(database: Database, name: str, params: Params = ()) -> Cell:
    """Run a query for one value; None if there is no row."""
    rows = run(database, name, params)
    return rows[0][0] if rows else None


def number(database: Database, name: str, params: Params = ()) -> int:
    """Run a query for one number; 0 if there is none."""
    return int(cell(database, name, params) or 0)


def bulk(database: Database, name: str, rows: Sequence[Row]) -> None:
    """Run a bulk statement over all rows in as few steps as possible."""
    start = 0
    for size in BULK_ROWS:
        while len(rows) - start >= size:
            database.run_text(statement(name, size), [one for row in rows[start : start + size] for one in row])
            start += size
