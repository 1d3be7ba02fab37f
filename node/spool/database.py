"""The only file that imports sqlite3: connections, statements by name, and SQLite's errors as ours.

It knows how to run a named query and what a failure means for the caller; it does not know what the queries are for.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from node.spool.checking import CheckClock, CheckCut
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.queries import BULK_ROWS, bulk, query
from node.spool.rows import Cell

PAGE_BYTES = 4096
"""A 4 KiB body fits one page with its row: at 4096 every usual body would take a second, overflow page."""

WRITER_CACHE_KIB = 64 * 1024
READER_CACHE_KIB = 8 * 1024
"""Page caches; with two readers the room stays below 100 MiB whatever the backlog."""

WAL_PAGES = 8_192
"""Pages in the log before it is copied (64 MiB): bodies that come and go within it cost no second write."""

BUSY_TIMEOUT_S = 5.0
STATEMENTS = 256
"""Prepared statements kept: every query in every bulk size."""

CHECK_STEP_OPCODES = 10_000
"""How often a long check looks at its deadline: well below a millisecond of work."""

Params = Sequence[Cell] | Mapping[str, Cell]
Row = tuple[Cell, ...]


class CommitUncertain(SpoolBroken):
    """COMMIT failed in a way that leaves open whether the transaction is durable."""


class Damaged(SpoolBroken):
    """The file is not a database, or a page of it cannot be trusted."""


class Conflict(SpoolBroken):
    """A key that was taken to be new exists already."""


class GuardFailed(SpoolBroken):
    """A guarded write found other rows than were loaded: two writers, or a fault of this program."""


_FULL = frozenset({sqlite3.SQLITE_FULL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF  # extended result codes keep the primary one in the low byte


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Give SQLite's errors as ours; the text names the statement, never its values (I7)."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, what) from error


def _ours(error: sqlite3.Error, what: str) -> SpoolBroken | SpoolFull:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in _FULL:
        return SpoolFull(f"no space left ({name} in {what})")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(f"constraint failed ({name} in {what})")
    if code in _DAMAGED:
        return Damaged(f"database damaged ({name} in {what})")
    return SpoolBroken(f"database failed ({name} in {what}: {error})")


class Database:
    """One connection. Used by one thread at a time; transactions are begun and ended by hand."""

    def __init__(
        self,
        path: Path,
        *,
        writable: bool,
        max_bytes: int = 0,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        """Open; ``max_bytes`` bounds the database file (0: only the disk does). Raises SpoolBroken, SpoolFull."""
        self.path = path
        self._max_pages = self._page_bytes = 0
        with mapped("open"):
            self._connection = sqlite3.connect(
                path if writable else f"file:{path}?mode=ro",
                uri=not writable,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS,
                factory=factory,
            )
        try:
            self._prepare(writable=writable, max_bytes=max_bytes)
        except BaseException:
            self.close()
            raise

    def _prepare(self, *, writable: bool, max_bytes: int) -> None:
        cache_kib = WRITER_CACHE_KIB if writable else READER_CACHE_KIB
        settings = [f"cache_size = -{cache_kib}", "temp_store = MEMORY", "trusted_schema = OFF"]
        if writable:
            # Page size and vacuum mode only take effect on a file without tables; later they are no-ops.
            # The writer checkpoints when idle; under load SQLite does at the bound, and the log starts over.
            fresh = [f"page_size = {PAGE_BYTES}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"]
            settings = [
                *fresh,
                *settings,
                "synchronous = FULL",
                f"wal_autocheckpoint = {WAL_PAGES}",
                "secure_delete = FAST",
            ]
        for setting in settings:
            self.run_text(f"PRAGMA {setting}")
            self.path.chmod(0o600)
        if max_bytes:
            self.limit(max_bytes)

    def limit(self, max_bytes: int) -> None:
        """Bound the database file; SQLite answers SQLITE_FULL beyond it."""
        self._page_bytes = self.number_text("PRAGMA page_size")
        self._max_pages = max(1, max_bytes // self._page_bytes)
        self.run_text(f"PRAGMA max_page_count = {self._max_pages}")

    @property
    def limited(self) -> bool:
        """Whether the file has a bound of its own."""
        return self._max_pages > 0

    def room_bytes(self) -> int:
        """Pages a bounded file may still use."""
        used = self.number_text("PRAGMA page_count") - self.number_text("PRAGMA freelist_count")
        return (self._max_pages - used) * self._page_bytes

    def close(self) -> None:
        """Close; never raises: what was committed is safe, the rest was not promised."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def run(self, name: str, params: Params = ()) -> int:
        """Run a named statement; number of rows it changed."""
        with mapped(name):
            return self._connection.execute(query(name), params).rowcount

    def run_text(self, text: str, params: Params = ()) -> list[Row]:
        """Run a statement of this file, of a migration, or put together by the salvage; its rows, if it has any."""
        with mapped(text.split("\n", 1)[0].split(" WHERE", maxsplit=1)[0]):
            return self._connection.execute(text, params).fetchall()

    def number_text(self, text: str) -> int:
        """The integer a pragma answers."""
        with mapped(text):
            return int(self._connection.execute(text).fetchone()[0])

    def bulk(self, name: str, rows: Sequence[Row]) -> int:
        """Run a bulk statement over all rows in as few steps as possible; number of rows changed."""
        changed = start = 0
        for size in BULK_ROWS:
            while len(rows) - start >= size:
                cells = [cell for row in rows[start : start + size] for cell in row]
                with mapped(name):
                    changed += self._connection.execute(bulk(name, size), cells).rowcount
                start += size
        return changed

    def guarded(self, name: str, rows: Sequence[Row]) -> None:
        """A bulk statement that must change exactly one row for each given; raises GuardFailed."""
        changed = self.bulk(name, rows)
        if changed != len(rows):
            raise GuardFailed(f"{name} changed {changed} rows instead of {len(rows)}")

    def many(self, name: str, rows: Sequence[Row]) -> None:
        """Run a statement once for each row."""
        with mapped(name):
            self._connection.executemany(query(name), rows)

    def rows(self, name: str, params: Params = ()) -> list[Row]:
        """Every row of a named query."""
        with mapped(name):
            return self._connection.execute(query(name), params).fetchall()

    def stream(self, name: str, params: Params = ()) -> Iterator[Row]:
        """Rows one by one, for readers that stop early."""
        with mapped(name):
            cursor = self._connection.execute(query(name), params)
            try:
                yield from cursor
            finally:
                cursor.close()

    def write_text(self, text: str, rows: Sequence[Row]) -> None:
        """Run a salvage's insert for each row."""
        with mapped(text.split(" VALUES", maxsplit=1)[0]):
            self._connection.executemany(text, rows)

    def cell(self, name: str, params: Params = ()) -> Cell:
        """The single value of a query; None if there is no row."""
        with mapped(name):
            row = self._connection.execute(query(name), params).fetchone()
        return row[0] if row else None

    def script(self, text: str) -> None:
        """Run the statements of a migration inside the transaction that is open."""
        for statement in _statements(text):
            self.run_text(statement)

    def begin(self) -> None:
        """Begin a write transaction."""
        self.run_text("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit; raises CommitUncertain if only a look at the file can tell whether it happened."""
        try:
            self.run_text("COMMIT")
        except (SpoolBroken, SpoolFull) as error:
            if self._connection.in_transaction:
                raise  # still open: SQLite did not commit
            raise CommitUncertain(str(error)) from error

    def rollback(self) -> None:
        """End a failed transaction; SQLite may have ended it already."""
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One write transaction: committed at the end, rolled back by any error."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def checkpoint(self, mode: str = "PASSIVE") -> bool:
        """Copy the log into the database file; True if all of it was."""
        with mapped("checkpoint"):
            busy, pages, done = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return not busy and pages == done

    def check(self, seconds: float) -> list[str]:
        """Damage that ``quick_check`` finds; raises CheckCut if the time was over before all was seen."""
        clock = CheckClock(seconds)
        # The walk through the trees is one opcode, which only an interrupt ends; the rest asks the clock itself.
        timer = threading.Timer(seconds, self._connection.interrupt)
        timer.daemon = True
        self._connection.set_progress_handler(clock, CHECK_STEP_OPCODES)
        timer.start()
        try:
            found = self._check()
        finally:
            timer.cancel()
            timer.join()
            self._connection.set_progress_handler(None, 0)
        # A walk that was cut takes the pages it did not come to for lost ones.
        damage = [line for line in found if not (clock() and line.endswith("is never used"))]
        if clock() and not damage:
            raise CheckCut
        return damage

    def _check(self) -> list[str]:
        try:
            found = self._connection.execute("PRAGMA quick_check(20)").fetchall()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                return []
            fault = _ours(error, "quick_check")
            if isinstance(fault, Damaged):
                return [str(fault)]
            raise fault from error
        return [
            line for row in found for line in str(row[0]).splitlines() if line != "ok" and not line.startswith("***")
        ]


def _statements(text: str) -> Iterator[str]:
    """Split a script where SQLite itself sees a statement end."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
