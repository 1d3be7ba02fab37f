"""A damaged database: set aside whole, and every row that can still be read copied into a new one.

Nothing is deleted. A report beside the damaged files says what was found and what was not. What cannot be known is
put on hold for a person, never sent a second time by guess.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from node.policy.envelope import RecipientState, lane_of
from node.spool.batch import Book
from node.spool.copies import mend_copies
from node.spool.database import Database, Row
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.opening import DATABASE
from node.spool.rows import Unreadable, message_of, recipient_row
from node.spool.work import Entry

CHUNK = 256
"""Keys read at once; a chunk that fails is read key by key."""

MAX_KEYS = 2**40
"""No spool has numbered more messages; a larger maximum is damage speaking."""

_TABLES: tuple[tuple[str, str, str], ...] = (
    ("messages", "seq", "seq id received_ms expires_ms finished_ms client sender env_sender facts"),
    (
        "recipients",
        "message",
        "message idx state due_ms lane attempts reason reply way trace tried_ms address original",
    ),
    ("bodies", "message", "message size_bytes file data"),
    ("journey", "message", "message sequence lines"),
    ("copies", "message", "message id pairing state careful"),
)
"""Tables read by ranges of a key: name, key, columns."""

_SMALL: tuple[tuple[str, str], ...] = (
    ("lanes", "id name"),
    ("pairs", "number spool shadow epoch store"),
    (
        "attempts",
        (
            "id message_id indexes path account tenant grant_id external started_ms traceparent "
            "dot_ms finished_ms mail_sent"
        ),
    ),
)
"""Tables read whole."""

_KEPT_META = ("spool_id", "created_ms", "sequence", "journal", "paired", "told")
_SEQUENCE_JUMP = 1_000_000
"""Added to the last sequence read: the newest transactions may be among what was lost, and no number comes twice."""


class SetAside:
    """The folder that takes what cannot be used; made on first need."""

    def __init__(self, directory: Path, now_ms: int) -> None:
        """Name the folder by the time of this start."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms / 1000))
        self.folder = directory / "set-aside" / f"{stamp}.{now_ms % 1000:03d}"
        self.notes: list[dict[str, str | int]] = []

    def note(self, **facts: str | int) -> None:
        """Add to the report, which is written anew each time: a crash in between must not lose it."""
        self.notes.append(facts)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(self.notes), indent=2))

    def move(self, path: Path, why: str) -> Path:
        """Put a file there, under a name nothing else has."""
        self.note(file=path.name, why=why)
        target = self.folder / path.name
        number = 0
        while target.exists():
            number += 1
            target = self.folder / f"{path.name}.{number}"
        path.replace(target)
        return target

    def write(self, name: str, data: bytes) -> None:
        """Keep a row's bytes as a file."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / name).open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())  # where it came from may be written over before long

    def keep(self, message_id: str, why: str, facts: bytes, body: object) -> None:
        """Keep a message as files: its stored facts, and its body if that is at hand."""
        self.note(message=message_id, why=why)
        self.write(f"{message_id}.facts", facts)
        if isinstance(body, bytes):
            self.write(f"{message_id}.body", body)


def salvage(
    directory: Path,
    connect: Callable[[], Database],
    ready: Callable[[Database], object],
    aside: SetAside,
    cause: str,
) -> Database:
    """Set the damaged database aside and give a new one with what could be read; raises SpoolFull, SpoolBroken.

    ``ready`` makes a new one ready (``opening.make_ready``).
    """
    aside.note(damage=cause)
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{DATABASE}{suffix}"
        if path.exists():
            aside.move(path, "damaged database")
    fresh = connect()
    try:
        ready(fresh)
        _copy_all(aside.folder / DATABASE, fresh, aside)
        _mend(fresh, aside)
    except BaseException:
        fresh.close()
        raise
    return fresh


def _copy_all(source: Path, fresh: Database, aside: SetAside) -> None:
    try:
        # Opened for writing: only so does SQLite read the log beside it.
        old = Database(source, writable=True)
    except (SpoolBroken, SpoolFull) as error:
        aside.note(unreadable="whole database", error=str(error))
        return
    try:
        _copy_meta(old, fresh)
        for table, columns in _SMALL:
            if _there(old, table):
                _copy_small(old, fresh, aside, table, columns.split())
        for table, key, names in _TABLES:
            if _there(old, table):
                _copy_table(old, fresh, aside, (table, key, names.split()))
    finally:
        old.close()


def _there(old: Database, table: str) -> bool:
    """Whether its version had the table; a schema that cannot be read does not tell."""
    try:
        return bool(old.run_text("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,))[0][0])
    except SpoolBroken:
        return True


def _copy_meta(old: Database, fresh: Database) -> None:
    with fresh.transaction():
        for key in _KEPT_META:
            try:
                value = old.cell("get_meta", (key,))
            except SpoolBroken:
                continue
            if value is not None:
                jump = _SEQUENCE_JUMP if key == "sequence" else None
                fresh.run("set_meta", (key, int(value) + jump if jump else value))


def _copy_small(old: Database, fresh: Database, aside: SetAside, table: str, columns: Sequence[str]) -> None:
    try:
        rows = old.run_text(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - names are constants above
    except SpoolBroken as error:
        aside.note(lost=table, error=str(error))
        return
    insert_rows(fresh, table, columns, rows)


def _copy_table(old: Database, fresh: Database, aside: SetAside, what: tuple[str, str, Sequence[str]]) -> None:
    table, key, columns = what
    select = f"SELECT {', '.join(columns)} FROM {table} WHERE {key} BETWEEN ? AND ?"  # noqa: S608 - constants
    copied, lost = 0, 0
    for first in range(_edge(old, table, key, "min"), _edge(old, table, key, "max") + 1, CHUNK):
        rows: list[Row] = []
        for part, failed in read_range(old, select, first):
            rows += part
            lost += failed
        copied += len(rows)
        insert_rows(fresh, table, columns, rows)
    aside.note(table=table, rows=copied, unreadable_keys=lost)


def _edge(old: Database, table: str, key: str, which: str) -> int:
    """Least or greatest key; where that page is damaged, what the other tables say."""
    tables = [(table, key), *((name, column) for name, column, _ in _TABLES if name != table)]
    for name, column in tables:
        try:
            value = old.run_text(f"SELECT {which}({column}) FROM {name}")[0][0]  # noqa: S608 - constants
        except SpoolBroken:
            continue
        if value is not None and 0 <= int(value) < MAX_KEYS:
            return int(value)
    return 0


def read_range(old: Database, select: str, first: int) -> Iterator[tuple[list[Row], int]]:
    """Read CHUNK keys from ``first``, one by one where they cannot be read together; with each part how many failed."""
    try:
        yield old.run_text(select, (first, first + CHUNK - 1)), 0
    except SpoolBroken:
        for key in range(first, first + CHUNK):
            try:
                yield old.run_text(select, (key, key)), 0
            except SpoolBroken:
                yield [], 1


def insert_rows(fresh: Database, table: str, columns: Sequence[str], rows: list[Row]) -> None:
    """Put rows into a new database in a transaction of their own; a second one of a key is left out."""
    marks = ", ".join("?" * len(columns))
    with fresh.transaction():
        fresh.write_text(f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608


def _mend(fresh: Database, aside: SetAside) -> None:
    """Make the copy consistent: recipients that were lost are held, rows without their message are reported."""
    lanes = Book(fresh).lanes
    with fresh.transaction():
        orphans = fresh.run_text(
            "SELECT DISTINCT message FROM recipients WHERE message NOT IN (SELECT seq FROM messages)"
        )
        for (seq,) in orphans:
            aside.note(lost="message facts", number=int(seq or 0))
        for table in ("recipients", "bodies", "journey"):
            fresh.run_text(f"DELETE FROM {table} WHERE message NOT IN (SELECT seq FROM messages)")  # noqa: S608
        for seq, facts in fresh.run_text("SELECT seq, facts FROM messages WHERE finished_ms = 0"):
            if isinstance(facts, bytes):
                _mend_recipients(fresh, int(seq or 0), facts, lanes, aside)
        fresh.run("recount_received")  # not read: the damaged one may be from before there was such a column
        mend_copies(fresh)
        fresh.run("clear_tally")
        fresh.run("recount")
        fresh.run("recount_bodies")


def _mend_recipients(fresh: Database, seq: int, facts: bytes, lanes: dict[str, int], aside: SetAside) -> None:
    try:
        message = message_of(facts)
    except Unreadable:
        return  # the check of rows that follows sets it aside
    found = fresh.run_text("SELECT idx, lane FROM recipients WHERE message = ?", (seq,))
    present = {int(index or 0): int(lane or 0) for index, lane in found}
    for index, recipient in enumerate(message.recipients):
        name = lane_of(message, recipient.direction)
        if name not in lanes:
            lanes[name] = max(lanes.values(), default=0) + 1
            fresh.run("add_lane", (lanes[name], name))
        if index not in present:
            aside.note(held=message.id, recipient=index, why="its state could not be read")
            entry = Entry(index, RecipientState.HELD, None, name, reason="salvaged")
            fresh.bulk("add_recipients", [recipient_row(seq, entry, lanes[name], recipient, message.received_ms)])
            fresh.write_text(
                "UPDATE recipients SET reason = ? WHERE message = ? AND idx = ?", [("salvaged", seq, index)]
            )
        elif present[index] not in lanes.values():
            fresh.write_text(
                "UPDATE recipients SET lane = ? WHERE message = ? AND idx = ?", [(lanes[name], seq, index)]
            )
