"""``truth.db`` beside the spool: cursors, what was kept aside, what owners are to be told, addresses that failed.

One connection, one thread; nothing here is needed to deliver mail, so a damaged file is set aside and begun anew.
Losing it loses no message: cursors begin a day back, and what was matched stands in the spool.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from node.spool.database import Damaged, Database
from node.spool.errors import SpoolBroken, SpoolClosed
from node.spool.migrating import Kind, bring_up
from node.spool.opening import examine
from node.spool.rows import Cell
from node.spool.schema import Schema
from node.truth import statements
from node.truth.statements import migrations

APPLICATION_ID: Final = 0x4D33_5452
"""``M3TR`` in the file's header."""
DATABASE: Final = "truth.db"
MAX_BYTES: Final = 256 << 20
"""Bound on the file; what is kept has bounds of its own far below."""
T = TypeVar("T")


def _get(database: Database, key: str) -> Cell:
    return statements.cell(database, "get_meta", (key,))


def _put(database: Database, key: str, value: Cell) -> None:
    statements.run(database, "set_meta", (key, value))


def _born(_database: Database) -> None:
    """Nothing to complete."""


_KIND: Final = Kind(
    name="truth", what="its record of reports", application_id=APPLICATION_ID, get=_get, put=_put, born=_born
)


class Store:
    """The file. ``open`` before anything else."""

    def __init__(self, directory: Path, *, schema: Schema | None = None) -> None:
        """Name the spool's directory; ``schema``: which migrations may be applied (None: all)."""
        self.path = directory / DATABASE
        self._schema = schema or Schema(migrations=migrations())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="truth")
        self._database: Database | None = None
        self.note = ""
        """Why a file was set aside when it was opened."""

    async def open(self) -> None:
        """Raises SpoolTooNew, SpoolUnusable, SpoolFull, SpoolBroken."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> None:
        try:
            self._database = self._ready()
        except Damaged as damage:
            self.note = str(damage)
            for suffix in ("", "-wal", "-shm"):
                path = self.path.with_name(self.path.name + suffix)
                if path.exists():
                    path.replace(path.with_name(path.name + ".unreadable"))
            self._database = self._ready()

    def _ready(self) -> Database:
        database = Database(self.path, writable=True, max_bytes=MAX_BYTES)
        try:
            bring_up(database, self.path, _KIND, self._schema)
            examine(database)
        except BaseException:
            database.close()
            raise
        return database

    async def close(self) -> None:
        """Close; idempotent."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    async def do(self, work: Callable[[Database], T]) -> T:
        """Run in one transaction; raises SpoolClosed, SpoolBroken, SpoolFull."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._done, work)

    def _done(self, work: Callable[[Database], T]) -> T:
        if self._database is None:
            raise SpoolClosed("truth.db is closed")
        with self._database.transaction():
            return work(self._database)


__all__ = ("DATABASE", "SpoolBroken", "Store")
