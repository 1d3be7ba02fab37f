"""What readers ask about pairings: what there is of one, and how its messages stand. Runs in reader threads."""

from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec

from node.policy.envelope import RecipientState
from node.spool.contract import JourneyLine
from node.spool.database import Database, Row
from node.spool.paired import Here, Looked, Newer, Pair, Standing
from node.spool.pairing_standing import progressed
from node.spool.reading import Damage, grouped
from node.spool.rows import Cell, Unreadable, journey_of, message_of, text_json
from node.spool.steps import first_entries
from node.spool.work import CopyState, Entry

SCAN: Final = 5_000
"""Messages looked at in one go for what was written lately."""
HEARD: Final = "heard"
"""Of ``meta``: by number, how far the other end has heard; what is not there is told again."""


def pairs(database: Database) -> list[Pair]:
    """Every pair that has a number."""
    return [
        Pair(number=_number(number), spool=str(spool), shadow=str(shadow), epoch=_number(epoch), store=str(store))
        for number, spool, shadow, epoch, store in database.rows("pairs")
    ]


def here(database: Database, number: int) -> Here:
    """What the database has of one."""
    unconfirmed, confirmed, careful, moving = database.rows("here", {"number": number})[0]
    return Here(
        own=bool(unconfirmed or confirmed), unconfirmed=bool(unconfirmed), careful=bool(careful), moving=bool(moving)
    )


def unprotected(database: Database) -> int:
    """See the contract."""
    return _number(database.cell("get_meta", ("unprotected",)))


def remembered(database: Database) -> int:
    """See the contract."""
    return _number(database.cell("get_meta", ("told",)))


def number_of(database: Database, spool: str, shadow: str, epoch: int) -> int:
    """The number a pairing's epoch was given; 0: none."""
    return _number(database.cell("pair_number", (spool, shadow, epoch)))


def untold(database: Database, number: int, limit: int) -> list[str]:
    """See the contract."""
    return [str(row[0]) for row in database.rows("untold", {"number": number, "limit": limit})]


def look(database: Database, message_ids: Sequence[str]) -> dict[str, Looked]:
    """See the contract."""
    return {
        str(name): Looked(
            pairing=0 if finished_ms else _number(pairing),
            confirmed=not finished_ms and state == CopyState.CONFIRMED,
            finished=bool(finished_ms),
            moving=bool(moving),
        )
        for name, finished_ms, pairing, state, moving in database.rows("look", {"ids": text_json(message_ids)})
    }


def standing(
    database: Database, number: int, after: str, limit: int, *, unconfirmed: bool
) -> tuple[list[Standing], Damage]:
    """See the contract; those whose facts cannot be read are named."""
    params: dict[str, Cell] = {"number": number, "after": after, "limit": limit}
    return _standings(database, database.rows("standing_order", params | {"confirmed": 0 if unconfirmed else limit}))


def newer(database: Database, number: int, sequence: int, after: str, limit: int) -> tuple[Newer, Damage]:
    """See the contract; those whose facts cannot be read are named."""
    params: dict[str, Cell] = {"number": number, "sequence": sequence, "after": after, "scan": SCAN}
    rows = database.rows("newer", params)
    chosen = [row for row in rows if row[4]]
    last = str(chosen[limit - 1][0]) if len(chosen) > limit else str(rows[-1][0]) if len(rows) == SCAN else ""
    found, damage = _standings(database, [row[:4] for row in chosen[:limit]])
    return Newer(found=tuple(found), last=last), damage


def journeys(database: Database, message_ids: Sequence[str]) -> dict[str, tuple[JourneyLine, ...]]:
    """See the contract."""
    found: dict[str, list[bytes]] = {}
    for name, blob in database.rows("journeys", {"ids": text_json(message_ids)}):
        found.setdefault(str(name), []).append(cast("bytes", blob))
    return {name: tuple(journey_of(stored)) for name, stored in found.items()}


def heard(database: Database, number: int) -> int:
    """See the contract."""
    return heard_of(database).get(number, 0)


def heard_of(database: Database) -> dict[int, int]:
    """What was noted of every number."""
    stored = database.cell("get_meta", (HEARD,))
    try:
        return msgspec.json.decode(str(stored), type=dict[int, int]) if stored else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # then all of it is told again


def _standings(database: Database, rows: Sequence[Row]) -> tuple[list[Standing], Damage]:
    chosen = {"seqs": text_json(_number(seq) for _, seq, *_ in rows)}
    entries = grouped(database.rows("all_recipients", chosen))
    sizes = {_number(seq): _number(size) for seq, size in database.rows("sizes", chosen)}
    facts = {_number(seq): data for seq, data, *_ in database.rows("facts", chosen)}
    lines = _lines(database.rows("lines_of_many", chosen))
    found: list[Standing] = []
    damage: Damage = []
    for message_id, key, pairing, state in rows:
        seq = _number(key)
        data = facts.get(seq)
        stored = data if isinstance(data, bytes) else b""
        try:
            found.append(
                _standing(
                    stored,
                    entries.get(seq, []),
                    tuple(lines.get(seq, ())),
                    size_bytes=sizes.get(seq, 0),
                    pairing=_number(pairing),
                    confirmed=state == CopyState.CONFIRMED,
                )
            )
        except Unreadable:
            damage.append(str(message_id))
    return found, damage


def _standing(
    facts: bytes,
    entries: Sequence[Entry],
    lines: tuple[JourneyLine, ...],
    *,
    size_bytes: int,
    pairing: int,
    confirmed: bool,
) -> Standing:
    message = message_of(facts)
    return Standing(
        message=message,
        facts=facts,
        size_bytes=size_bytes,
        pairing=pairing,
        confirmed=confirmed,
        moving=any(entry.state is RecipientState.IN_FLIGHT for entry in entries),
        progress=progressed(first_entries(message), entries),
        lines=lines,
    )


def _lines(rows: Iterable[tuple[Cell, ...]]) -> dict[int, list[JourneyLine]]:
    found: dict[int, list[JourneyLine]] = {}
    for seq, blob in rows:
        found.setdefault(_number(seq), []).extend(journey_of([cast("bytes", blob)]))
    return found


def _number(cell: Cell) -> int:
    return cell if isinstance(cell, int) else int(cell or 0)
