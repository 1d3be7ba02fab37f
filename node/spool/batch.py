"""Loads a Work from the database and writes back what changed, in a handful of statements however many operations.

It decides nothing about mail. The transaction's sequence number goes with every batch: it proves after a doubtful
commit whether the batch is durable, and tells a snapshot's age later.
"""

from collections.abc import Iterable

import msgspec

from node.spool.contract import BodyFile
from node.spool.copies import pairs_of, save_copies
from node.spool.database import Database
from node.spool.rows import (
    AttemptRow,
    Cell,
    attempt_of,
    attempt_row,
    lines_of,
    message_row,
    move_row,
    recipient_row,
    text_json,
)
from node.spool.work import CopyState, Entry, Record, Work

_messages = msgspec.json.Decoder(
    list[tuple[int, str, int, int | None, str | None, int | None, CopyState | None, int | None]]
)
_recipients = msgspec.json.Decoder(list[tuple[int, Entry]])
_attempts = msgspec.json.Decoder(list[AttemptRow])

Row = tuple[Cell, ...]


class Book:
    """What the writer remembers between batches: the next row number, the sequence, numbers of lanes and pairings."""

    def __init__(self, database: Database) -> None:
        """Read all of it from the database."""
        self.next_seq = int(database.cell("last_seq") or 0) + 1
        self.sequence = int(database.cell("get_meta", ("sequence",)) or 0)
        self.lanes: dict[str, int] = {str(name): int(number or 0) for name, number in database.rows("lane_ids")}
        self.pairs: frozenset[int] | None = pairs_of(database)
        """None: never in a cluster."""


def load(database: Database, book: Book, message_ids: Iterable[str], attempt_ids: Iterable[str]) -> Work:
    """The records named, as far as they exist."""
    work = Work(next_seq=book.next_seq, pairs=book.pairs)
    wanted = set(message_ids)
    if wanted:
        _load_records(database, work, wanted)
    named = set(attempt_ids)
    if named:
        for row in _attempts.decode(str(database.cell("load_attempts", {"ids": text_json(named)}))):
            work.attempts[row.id] = attempt_of(row)
    return work


def _load_records(database: Database, work: Work, wanted: set[str]) -> None:
    by_seq: dict[int, Record] = {}
    for seq, message_id, finished_ms, size, file, pairing, copy, careful in _messages.decode(
        str(database.cell("load_messages", {"ids": text_json(wanted)}))
    ):
        record = Record(
            seq=seq,
            id=message_id,
            entries={},
            finished_ms=finished_ms,
            body_bytes=size or 0,
            body_file=file or "",
            has_body=size is not None,
            pairing=pairing,
            copy=copy or CopyState.UNCONFIRMED,
            careful=bool(careful),
        )
        by_seq[seq] = work.records[message_id] = record
    if by_seq:
        for seq, entry in _recipients.decode(str(database.cell("load_recipients", {"seqs": text_json(by_seq)}))):
            by_seq[seq].entries[entry.index] = entry


def save(database: Database, book: Book, work: Work, applied: int = 0) -> dict[str, int]:
    """Write every change of the unit; the caller commits, and only then calls ``settle_book`` with the lanes given.

    ``applied`` is the last batch of the journal among them, 0 if there is none.
    """
    lanes = _lane_numbers(database, book, work)
    _save_appended(database, work, lanes)
    if work.moved:
        database.guarded(
            "move_recipients",
            [move_row(seq, was, record.entries[index]) for (seq, index), (was, record) in work.moved.items()],
        )
    if work.claimed:
        database.guarded("add_attempts", [attempt_row(attempt) for attempt in work.claimed.values()])
    if work.touched:
        touched = work.touched.values()
        database.guarded(
            "touch_attempts",
            [(a.start.attempt_id, a.dot_ms, a.finished_ms, int(a.mail_sent)) for a in touched],
        )
    if work.finished:
        database.guarded("finish_messages", list(work.finished.items()))
    if work.dropped:
        database.run("drop_bodies", {"seqs": text_json(work.dropped)})
    save_copies(database, work)
    sequence = book.sequence + 1
    if work.lines:
        database.bulk("add_lines", [(seq, sequence, lines_of(lines)) for seq, lines in work.lines.items()])
    _save_totals(database, work, lanes)
    if applied:
        database.run("set_meta", ("journal", applied))
    stamp(database, sequence)
    return lanes


def stamp(database: Database, sequence: int) -> None:
    """Put the sequence number of this transaction on record."""
    database.run("set_meta", ("sequence", sequence))


def _save_appended(database: Database, work: Work, lanes: dict[str, int]) -> None:
    if not work.appended:
        return
    messages: list[Row] = []
    recipients: list[Row] = []
    bodies: list[Row] = []
    for record, item, entries in work.appended:
        message = item.message
        messages.append(message_row(record.seq, message, work.facts.get(record.seq)))
        recipients += [
            recipient_row(record.seq, entry, lanes[entry.lane], recipient, message.received_ms)
            for entry, recipient in zip(entries, message.recipients, strict=True)
        ]
        data = None if isinstance(item.body, BodyFile) or record.body_file else item.body
        bodies.append((record.seq, record.body_bytes, record.body_file or None, data))
    database.bulk("add_messages", messages)
    database.bulk("add_recipients", recipients)
    database.bulk("add_bodies", bodies)


def _lane_numbers(database: Database, book: Book, work: Work) -> dict[str, int]:
    """Numbers of the lanes in use; new ones are written now and remembered only after the commit."""
    known = book.lanes
    fresh = {lane for lane, _ in work.tally} - known.keys()
    if not fresh:
        return known
    first = max(known.values(), default=0) + 1
    numbered = {lane: first + offset for offset, lane in enumerate(sorted(fresh))}
    database.many("add_lane", [(number, lane) for lane, number in numbered.items()])
    return known | numbered


def _save_totals(database: Database, work: Work, lanes: dict[str, int]) -> None:
    rows = [(lanes[lane], state.value, change) for (lane, state), change in work.tally.items() if change]
    if rows:
        database.many("add_tally", rows)
    if work.body_bytes:
        database.run("add_body_bytes", (work.body_bytes,))


def settle_book(book: Book, work: Work, lanes: dict[str, int]) -> None:
    """After the commit: remember what the next batch starts from. Must not fail: the batch is durable."""
    book.next_seq = work.next_seq
    book.sequence += 1
    book.lanes = lanes
