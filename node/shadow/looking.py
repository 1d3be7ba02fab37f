"""Questions to the copy store's tables, and rows as the contract's values. Changes nothing."""

from collections.abc import Sequence
from typing import cast

from coordinator.ownership.rows import Attached
from node.shadow import putting, statements
from node.shadow.contract import KeptCopy, Past
from node.shadow.rows import past_of
from node.shadow.telling import Told, fold, progress_of, told_of
from node.spool.database import Database, Row
from node.spool.errors import MessageGone
from node.spool.rows import Cell


def known(database: Database, attached: Attached, ids: Sequence[str]) -> set[str]:
    """Which of these messages are kept."""
    chosen: dict[str, Cell] = {"pairing": putting.number_of(database, attached), "ids": putting.text(ids)}
    return {str(row[0]) for row in statements.run(database, "known", chosen)}


def ids(database: Database, attached: Attached, after: str, limit: int) -> list[str]:
    """Ids in their order, beyond one."""
    number = putting.number_of(database, attached)
    return [str(row[0]) for row in statements.run(database, "ids_after", (number, after, limit))]


def seen(database: Database, ids: Sequence[str]) -> dict[str, bool]:
    """Which of these are settled (True) or kept (False)."""
    chosen: dict[str, Cell] = {"ids": putting.text(ids)}
    found = {str(row[0]): True for row in statements.run(database, "past_of", chosen)}
    return found | {str(row[0]): False for row in statements.run(database, "kept_anywhere", chosen)}


def some(database: Database, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
    """Copies by id, beyond one."""
    number = putting.number_of(database, attached)
    return kept_of(database, number, statements.run(database, "some", (number, after, limit)))


def kept_of(database: Database, number: int, rows: Sequence[Row]) -> list[KeptCopy]:
    """Rows of copies of one pairing, with what was told of them."""
    chosen: dict[str, Cell] = {"pairing": number, "ids": putting.text(str(row[0]) for row in rows)}
    told: dict[str, list[Told | None]] = {}
    for name, kind, what in statements.run(database, "told", chosen):
        told.setdefault(str(name), []).append(told_of(cast("int", kind), cast("bytes", what)))
    return [_kept(row, told.get(str(row[0]), [])) for row in rows]


def _kept(row: Row, told: Sequence[Told | None]) -> KeptCopy:
    name, size_bytes, stored, facts = row
    progress = progress_of(cast("bytes", stored))
    stands, intents, lines = fold(progress or (), [each for each in told if each is not None])
    return KeptCopy(
        message_id=str(name),
        facts=cast("bytes", facts),
        size_bytes=cast("int", size_bytes),
        progress=stands,
        intents=intents,
        lines=lines,
        damaged=progress is None or None in told,
    )


def body(database: Database, attached: Attached, message_id: str) -> bytes | str:
    """A body, or the name of its file. Raises MessageGone."""
    rows = statements.run(database, "body", (putting.number_of(database, attached), message_id))
    if not rows:
        raise MessageGone(f"no copy of {message_id} is kept")
    file, data = rows[0]
    return str(file) if file else cast("bytes", data)


def past(database: Database, message_id: str) -> Past | None:
    """Give a settled message."""
    rows = statements.run(database, "past", (message_id,))
    return past_of(rows[0]) if rows else None
