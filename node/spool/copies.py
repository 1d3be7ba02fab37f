"""Rows of ``copies``: which pairing each message of a unit of work belongs to, written in the unit's transaction.

A spool that was never in a cluster has none, and nothing is written for it.
"""

from collections.abc import Iterator
from itertools import islice

from node.spool.database import Database
from node.spool.rows import Cell, careful_of, text_json
from node.spool.work import CopyState, Record, Work

CHUNK = 1_000
"""Rows put in at once."""


def pairs_of(database: Database) -> frozenset[int] | None:
    """Numbers of pairings; None: this spool was never in a cluster."""
    if not database.cell("get_meta", ("paired",)):
        return None
    return frozenset(int(row[0] or 0) for row in database.rows("pair_numbers"))


def save_copies(database: Database, work: Work) -> None:
    """Write what changed of pairings and copies."""
    added = [_row(record) for record, _, _ in work.appended if record.pairing is not None]
    if added:
        database.bulk("add_copies", added)
    if work.recopied:
        new = {record.seq for record, _, _ in work.appended}
        _save_changed(database, [record for seq, record in work.recopied.items() if seq not in new])


def _row(record: Record) -> tuple[Cell, ...]:
    return record.seq, record.id, record.pairing, record.copy.value, int(record.careful)


def _save_changed(database: Database, changed: list[Record]) -> None:
    settled = [record.seq for record in changed if record.copy is CopyState.SETTLED]
    gone = [record.seq for record in changed if record.pairing is None]
    again = [record.seq for record in changed if record.pairing == 0]
    if settled:
        database.run("settle_copies", {"seqs": text_json(settled)})
    if gone:
        database.run("drop_copies", {"seqs": text_json(gone)})
    for seq, facts, _, message_id, _ in database.rows("facts", {"seqs": text_json(again)}) if again else ():
        database.run("reopen_copies", (seq, message_id, int(careful_of(facts))))


def complete_copies(database: Database) -> None:
    """Give every live message that has no row one: alone, and not known to be kept twice."""
    rows = _missing(database)
    while part := list(islice(rows, CHUNK)):
        database.bulk("add_copies", part)


def _missing(database: Database) -> Iterator[tuple[Cell, ...]]:
    for seq, message_id, facts in database.stream("without_copies"):
        yield seq, message_id, 0, 0, int(careful_of(facts))


def mend_copies(database: Database) -> None:
    """After a salvage: rows that say what cannot be go, and what is not known of a message is taken to be nothing."""
    for name in ("mend_orphans", "mend_settled", "mend_strange", "mend_done"):
        database.run(name)
    if database.cell("get_meta", ("paired",)) or database.cell("any_copy"):
        complete_copies(database)
        database.run("set_meta", ("paired", 1))
    database.run("recount_copies")
