"""At start: what the journal holds and the database does not, and what of the journal cannot be read set aside.

Nothing is deleted and nothing is dropped in silence: a report names what is missing. After a salvage that lost the
mark of what is in the database, messages come in on hold: one that was delivered must not be sent again by guess.
"""

import uuid
from collections.abc import Iterable

import msgspec

from node.spool.database import Database
from node.spool.journal import Batch, Loss, Scan, arrival_of, arrivals_of, what_counts
from node.spool.pending import Unapplied
from node.spool.salvage import SetAside
from node.spool.segments import Segments
from node.spool.work import Arrival


def replay(segments: Segments, database: Database, aside: SetAside) -> list[Unapplied]:
    """Batches to bring into the database, in order; begins the journal anew. Raises SpoolUnusable, SpoolBroken."""
    applied: int | None = int(database.cell("get_meta", ("journal",)) or 0)
    spool = uuid.UUID(str(database.cell("get_meta", ("spool_id",)))).bytes
    salvaged = bool(aside.notes)
    if salvaged and not applied:
        applied = None
    scans = [one for one in segments.load() if _ours(segments, one, spool, aside, salvaged=salvaged)]
    found, losses = what_counts(scans, applied)
    for loss in losses:
        _tell(segments, loss, aside)
    hold = applied is None
    batches = [
        Unapplied(number=one.number, arrivals=_read(one, aside, hold=hold), size_bytes=len(one.payload))
        for one in found
    ]
    segments.start(spool, scans, applied or 0)
    return batches


def _ours(segments: Segments, one: Scan, spool: bytes, aside: SetAside, *, salvaged: bool) -> bool:
    """Whether a segment is to be read on; what is not goes aside whole."""
    path = segments.folder / one.name
    if one.header is None:
        if one.garbage:
            aside.move(path, "neither a journal nor blank")
        return not one.garbage
    if one.header.spool not in {spool, b""} and not salvaged:
        aside.move(path, "journal of another spool")
        return False
    if one.garbage:
        aside.note(journal=one.name, why="its first block cannot be read; batches that prove themselves are taken")
        aside.write(one.name, segments.read(one.name, 0, path.stat().st_size))
    return True


def _tell(segments: Segments, loss: Loss, aside: SetAside) -> None:
    where = loss.name or "journal"
    aside.note(journal=where, why="batches are missing or damaged", first_batch=loss.first, last_batch=loss.last)
    if loss.name:
        aside.write(f"{loss.name}.{loss.start}", segments.read(loss.name, loss.start, loss.end))


def _read(batch: Batch, aside: SetAside, *, hold: bool) -> list[Arrival]:
    try:
        found, unreadable = arrivals_of(batch.payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        found, unreadable = [], [batch.payload]
        aside.note(batch=batch.number, why=f"cannot be read: {error}")
    for number, data in enumerate(unreadable):
        aside.note(batch=batch.number, message=number, why="facts cannot be read")
        aside.write(f"batch-{batch.number}.{number}", data)
    return list(_held(found)) if hold else found


def _held(arrivals: Iterable[Arrival]) -> Iterable[Arrival]:
    for one in arrivals:
        message = msgspec.structs.replace(one.item.message, held=True)
        yield arrival_of(msgspec.structs.replace(one.item, message=message), one.size_bytes, one.file)
