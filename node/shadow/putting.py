"""Transactions of the copy store: what each job does to the tables. Refusals are raised before the first change."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, cast

import msgspec

from coordinator.ownership.rows import Attached
from node.shadow import addresses, statements
from node.shadow.contract import PAIRINGS_MAX, cost_of
from node.shadow.engine import Done
from node.shadow.entries import Copy, Discard, Entry, Intent, Lines, Outcome
from node.shadow.erasing import erased
from node.shadow.errors import Malformed, QuotaReached, WrongNode, WrongStream
from node.shadow.frames import Batch, Standing, standing
from node.shadow.rows import past_of
from node.shadow.telling import joined, progress_bytes, stored, told_of
from node.spool.database import Database
from node.spool.erasing import Eraser
from node.spool.rows import Cell, journey_of, lines_of

ERASE_ROWS: Final = 500
DROP_ROWS: Final = 1_000
"""Copies forgotten in one transaction; the caller comes back for more."""


def text(ids: Iterable[str]) -> str:
    """Ids as ``json_each`` takes them."""
    return msgspec.json.encode(list(ids)).decode()


def key_of(attached: Attached) -> tuple[Cell, ...]:
    """The columns a pairing is found by."""
    return attached.key.spool, attached.key.shadow, attached.epoch


def number_of(database: Database, attached: Attached) -> int:
    """A pairing's number; 0 if nothing of it is here."""
    return statements.number(database, "pairing", key_of(attached))


# ---- streams and batches ---------------------------------------------------------------------------------------------


def begin(database: Database, attached: Attached, node: str) -> Done:
    """Give the next stream; its number is never used twice in one store."""
    found = statements.run(database, "pairing", key_of(attached))
    if found and found[0][1] != node:
        raise WrongNode(f"copies of this spool come from {found[0][1]!s}, not from {node}")
    if not found and statements.number(database, "count_pairings") >= PAIRINGS_MAX:
        raise QuotaReached(f"copies of {PAIRINGS_MAX} pairings are kept")
    stream = statements.number(database, "get_meta", ("stream",)) + 1
    statements.run(database, "set_meta", ("stream", stream))
    if found:
        statements.run(database, "begin_stream", (stream, found[0][0]))
    else:
        statements.run(database, "add_pairing", (*key_of(attached), node, stream))
    return Done(value=stream)


def put(
    database: Database, attached: Attached, batch: Batch, files: Mapping[str, tuple[str, int]], max_bytes: int
) -> Done:
    """Take a batch; ``files``: name and size of the bodies that are files, by message. See the contract."""
    found = statements.run(database, "pairing", key_of(attached))
    if not found:
        raise WrongStream("no stream was begun")
    number, _, stream, expected = (cast("int", value) for value in found[0])
    header = batch.header
    if standing(header, stream=stream, expected=expected) is Standing.REPLAYED:
        return Done(value=expected - 1)
    _look(database, batch.entries, files, max_bytes)
    gone: list[str] = []
    for kind, run in groupby(batch.entries, type):
        entries = list(run)
        if kind is Copy:
            add(database, number, cast("list[Copy]", entries), files)
        elif kind is Discard:
            for each in cast("list[Discard]", entries):
                gone += discard(database, number, each)
        elif kind is Lines:
            _lines(database, number, cast("list[Lines]", entries))
        elif kind in {Intent, Outcome}:
            tell(database, number, cast("list[Intent | Outcome]", entries))
    statements.run(database, "expect", (header.sequence + 1, number))
    return Done(value=header.sequence, gone=gone)


def _look(database: Database, entries: Sequence[Entry], files: Mapping[str, tuple[str, int]], max_bytes: int) -> None:
    copies = [entry for entry in entries if isinstance(entry, Copy)]
    for copy in copies:
        if copy.pieced and files.get(copy.message_id, ("", -1))[1] != copy.size_bytes:
            raise Malformed("a copy whose body has not come whole")
    wanted = sum(map(cost_of, copies))
    if max_bytes and wanted and statements.number(database, "total") + wanted > max_bytes:
        raise QuotaReached(f"copies may take {max_bytes} bytes, and do")


def add(database: Database, number: int, copies: Sequence[Copy], files: Mapping[str, tuple[str, int]]) -> None:
    """Add what is new; of what is known, take the progress: it is newer, the rest is the same."""
    latest = {copy.message_id: copy for copy in copies}
    params: dict[str, Cell] = {"pairing": number, "ids": text(latest)}
    known = {str(row[0]) for row in statements.run(database, "known", params)}
    for name in known:
        statements.run(database, "renew_copy", (progress_bytes(latest[name].progress), number, name))
        statements.run(database, "drop_stale", (number, name))
    rows = [_row(number, copy, files) for name, copy in latest.items() if name not in known]
    statements.bulk(database, "add_copies", rows)
    statements.run(database, "add_numbers", (len(rows), sum(cast("int", row[2]) for row in rows), number))


def _row(number: int, copy: Copy, files: Mapping[str, tuple[str, int]]) -> tuple[Cell, ...]:
    file = files[copy.message_id][0] if copy.message_id in files else None
    head = (number, copy.message_id, cost_of(copy), copy.size_bytes, file)
    return (*head, progress_bytes(copy.progress), copy.facts, None if file else copy.body)


def tell(database: Database, number: int, told: Iterable[Intent | Outcome | Lines]) -> None:
    """Add what was told of copies."""
    rows = [(number, each.message_id, *stored(each)) for each in told]
    statements.bulk(database, "add_told", rows)


def _lines(database: Database, number: int, entries: Sequence[Lines]) -> None:
    """Lines of a settled message join its history, others wait with its copy."""
    past = dict(_past(database, [each.message_id for each in entries]))
    tell(database, number, [each for each in entries if each.message_id not in past])
    for each in entries:
        if each.message_id in past:
            past[each.message_id] = lines_of(joined([journey_of([past[each.message_id]]), each.lines]))
    for name, lines in past.items():
        statements.run(database, "renew_past", (lines, name))
    if past:
        statements.run(database, "note_unhidden", {"ids": text(past)})


def _past(database: Database, ids: Sequence[str]) -> list[tuple[str, bytes]]:
    return [
        (str(name), cast("bytes", lines)) for name, lines in statements.run(database, "past_of", {"ids": text(ids)})
    ]


def discard(database: Database, number: int, gone: Discard) -> list[str]:
    """Turn copies into history; their body files."""
    chosen: dict[str, Cell] = {"pairing": number, "ids": text(gone.message_ids)}
    rows = statements.run(database, "chosen", chosen)
    told: dict[str, list[bytes]] = {}
    for name, kind, what in statements.run(database, "told", chosen):
        word = told_of(cast("int", kind), cast("bytes", what))
        if isinstance(word, Lines):
            told.setdefault(str(name), []).append(lines_of(word.lines))
    known = dict(_past(database, [str(row[0]) for row in rows]))
    fresh: list[tuple[Cell, ...]] = []
    for name, _, _, facts in rows:
        parts = [*([known[str(name)]] if name in known else []), *told.get(str(name), [])]
        lines = lines_of(joined(journey_of([part]) for part in parts))
        if name in known:
            statements.run(database, "renew_past", (lines, name))
        else:
            fresh.append((name, gone.at_ms, facts, lines))
    statements.bulk(database, "add_past", fresh)
    statements.run(database, "note_unhidden", {"ids": text(str(row[0]) for row in rows)})
    addresses.note(database, [(str(name), cast("bytes", facts)) for name, _, facts, _ in fresh])
    return _forget(database, number, chosen, rows)


def _forget(database: Database, number: int, chosen: dict[str, Cell], rows: Sequence[tuple[Cell, ...]]) -> list[str]:
    statements.run(database, "drop_copies", chosen)
    statements.run(database, "drop_told", chosen)
    freed = sum(cast("int", row[1]) for row in rows)
    statements.run(database, "add_numbers", (-len(rows), -freed, number))
    return [str(row[2]) for row in rows if row[2]]


# ---- forgetting ------------------------------------------------------------------------------------------------------


def take_away(database: Database, attached: Attached, ids: Sequence[str]) -> Done:
    """Forget copies without history; how many there were."""
    number = number_of(database, attached)
    chosen: dict[str, Cell] = {"pairing": number, "ids": text(ids)}
    rows = statements.run(database, "chosen", chosen)
    return Done(value=len(rows), gone=_forget(database, number, chosen, rows))


def drop_some(database: Database, number: int) -> Done:
    """Forget a part of a pairing's copies, and the pairing with the last of them; how many there were."""
    ids = [str(row[0]) for row in statements.run(database, "first_ids", (number, DROP_ROWS))]
    chosen: dict[str, Cell] = {"pairing": number, "ids": text(ids)}
    rows = statements.run(database, "chosen", chosen)
    gone = _forget(database, number, chosen, rows)
    if len(ids) < DROP_ROWS:
        statements.run(database, "drop_all_told", (number,))
        statements.run(database, "drop_pairing", (number,))
    return Done(value=len(rows), gone=gone)


def prune(database: Database, before_ms: int, limit: int) -> Done:
    """Drop history; how many messages."""
    rows = statements.run(database, "old", (before_ms, limit))
    addresses.forget(database, [(str(name), cast("bytes", facts)) for name, facts in rows])
    statements.run(database, "prune", {"ids": text(str(name) for name, _ in rows)})
    return Done(value=len(rows))


def erase_some(database: Database, eraser: Eraser, actor: str, now_ms: int) -> Done:
    """Take an address out of a part of history; how many messages named it, 0 when none does any more."""
    ids = [str(row[0]) for row in statements.run(database, "naming", (eraser.key, ERASE_ROWS))]
    for old in map(past_of, statements.run(database, "past_by_ids", {"ids": text(ids)})):
        new = erased(old, eraser, actor, now_ms)
        if new is not None:
            statements.run(database, "rewrite_past", (new.facts, lines_of(new.lines), old.message_id))
            addresses.forget(database, [(old.message_id, old.facts)])
            addresses.note(database, [(new.message_id, new.facts)])
    statements.run(database, "drop_named", {"key": eraser.key, "ids": text(ids)})
    return Done(value=len(ids))
