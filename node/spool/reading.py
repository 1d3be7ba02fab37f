"""What readers ask: due mail, views, journeys, totals. Runs in reader threads on read-only connections.

Changes nothing. A message whose facts cannot be read is left out and named, for the writer to set aside.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from node.policy.envelope import NewMessage, OnUnknown, Priority, RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.spool.bodies import SMALL_BODY_BYTES
from node.spool.contract import Counts, Due, Filter, JourneyLine, LaneState, MessageView, OpenAttempt
from node.spool.database import Database
from node.spool.errors import MessageGone
from node.spool.rows import (
    AttemptRow,
    Cell,
    Unreadable,
    attempt_of,
    dues_of,
    journey_of,
    message_of,
    text_json,
    view_of,
)
from node.spool.search import params_of
from node.spool.steps import told_of
from node.spool.work import Entry, Record

Damage = list[str]
"""Ids of messages whose row could not be read."""

MAX_SEEN_ROWS = 100_000
"""Recipient rows one peek walks at most: a bound should one message's recipients crowd the front of a lane."""


def lanes(database: Database) -> list[LaneState]:
    """Backlog of every lane: the tally and two index look-ups each, whatever the backlog's size."""
    return [
        LaneState(
            lane=str(name), waiting=_number(waiting), first_due_ms=_number(due), oldest_received_ms=_number(received)
        )
        for name, waiting, due, received in database.rows("lanes")
    ]


def peek(database: Database, lane: str, now_ms: int, limit: int, exclude: Sequence[str]) -> tuple[list[Due], Damage]:
    """Oldest due messages of a lane; stops walking the index when it has seen enough messages."""
    order: dict[int, None] = {}
    walk = database.stream("peek_order", {"lane": lane, "now_ms": now_ms, "exclude": text_json(exclude)})
    for seen, (seq,) in enumerate(walk):
        if (seq not in order and len(order) >= limit) or seen >= MAX_SEEN_ROWS:
            break
        order[_number(seq)] = None
    rows = database.rows("due_recipients", {"seqs": text_json(order), "lane": lane, "now_ms": now_ms})
    return _dues(database, order, grouped(rows), _small_bodies(database, order))


def _small_bodies(database: Database, order: Iterable[int]) -> dict[int, bytes]:
    """Bodies that come along with a peek: one look-up for all saves a thread's round trip for each."""
    rows = database.rows("small_bodies", {"seqs": text_json(order), "bytes": SMALL_BODY_BYTES})
    return {_number(seq): data for seq, data in rows if isinstance(data, bytes)}


def unknowns(database: Database, limit: int) -> tuple[list[Due], Damage]:
    """Messages with recipients nobody knows the fate of, oldest first."""
    order = [_number(row[0]) for row in database.rows("unknown_order", {"limit": limit})]
    return _chosen(database, order, frozenset({RecipientState.UNKNOWN}))


def expired(database: Database, now_ms: int, limit: int) -> tuple[list[Due], Damage]:
    """Messages past their time with recipients that wait or are unknown, longest past first."""
    order = [_number(row[0]) for row in database.rows("expired_order", {"now_ms": now_ms, "limit": limit})]
    return _chosen(database, order, WAITING_STATES | {RecipientState.UNKNOWN})


def _chosen(database: Database, order: list[int], states: frozenset[RecipientState]) -> tuple[list[Due], Damage]:
    whole = grouped(database.rows("all_recipients", {"seqs": text_json(order)}))
    picked = {seq: [entry for entry in entries if entry.state in states] for seq, entries in whole.items()}
    return _dues(database, order, picked)


def _dues(
    database: Database,
    order: Iterable[int],
    entries: dict[int, list[Entry]],
    bodies: Mapping[int, bytes] = MappingProxyType({}),
) -> tuple[list[Due], Damage]:
    messages, damage = _messages(database, order)
    found: list[Due] = []
    for seq in order:
        if seq in messages and entries.get(seq):
            message, _, pairing = messages[seq]
            found += dues_of(message, entries[seq], bodies.get(seq), pairing)
    return found, damage


def find(database: Database, which: Filter) -> tuple[list[MessageView], Damage]:
    """Messages that fit, newest first."""
    query, params = _plan(which)
    return views(database, [_number(row[0]) for row in database.rows(query, params)])


def _plan(which: Filter) -> tuple[str, dict[str, Cell]]:
    """The query whose index narrows most: id, recipient, sender, parked state, waiting, client, time."""
    params: dict[str, Cell] = dict(params_of(which))
    states = frozenset(which.states)
    parked = {RecipientState.IN_FLIGHT, RecipientState.UNKNOWN, RecipientState.HELD, RecipientState.DEAD}
    if which.ids:
        return "find_by_id", params | {"ids": text_json(which.ids)}
    choices = (
        (bool(which.recipient), "find_by_recipient"),
        (bool(states) and states <= parked, "find_parked"),
        (bool(which.sender), "find_by_sender"),
        (bool(states) and states <= WAITING_STATES, "find_waiting"),
        (bool(which.client), "find_by_client"),
    )
    return next((name for fits, name in choices if fits), "find_by_time"), params


def views(database: Database, order: Sequence[int]) -> tuple[list[MessageView], Damage]:
    """Messages with all their recipients, in the order given."""
    messages, damage = _messages(database, order)
    entries = grouped(database.rows("all_recipients", {"seqs": text_json(order)}))
    found = []
    for seq in order:
        if seq in messages:
            message, finished_ms, _ = messages[seq]
            found.append(view_of(message, _record(seq, message, finished_ms, entries.get(seq, []))))
    return found, damage


def journey(database: Database, message_id: str) -> tuple[MessageView | None, Damage]:
    """One message with all its lines; None if there is no such message."""
    seq = database.cell("seq_of", (message_id,))
    if seq is None:
        return None, []
    number = _number(seq)
    messages, damage = _messages(database, [number])
    if number not in messages:
        return None, damage
    message, finished_ms, _ = messages[number]
    entries = grouped(database.rows("all_recipients", {"seqs": text_json([number])})).get(number, [])
    lines: list[JourneyLine] = journey_of(cast("bytes", row[0]) for row in database.rows("lines", (number,)))
    return view_of(message, _record(number, message, finished_ms, entries), lines), []


def body(database: Database, message_id: str) -> tuple[str, bytes]:
    """File name and bytes of a body, one of them empty; raises MessageGone."""
    rows = database.rows("body", (message_id,))
    if not rows:
        raise MessageGone(f"the body of {message_id} is not in the spool")
    file, data = rows[0]
    return str(file or ""), data if isinstance(data, bytes) else b""


def count(database: Database) -> Counts:
    """Totals from the tally; ages from the front of each lane."""
    by_state = {str(state): _number(number) for state, number in database.rows("totals") if number}
    oldest: dict[str, int] = {}
    for lane in lanes(database):
        priority = Priority(lane.lane.split("/", 1)[0]).value
        oldest[priority] = min(oldest.get(priority, lane.oldest_received_ms), lane.oldest_received_ms)
    size = _number(database.cell("get_meta", ("body_bytes",)))
    return Counts(by_state=by_state, oldest_received_ms=oldest, body_bytes=size)


def interrupted(database: Database) -> tuple[dict[str, OnUnknown], list[str]]:
    """What a crash cut off: messages in flight with their class, and the open attempts."""
    ids = [str(row[0]) for row in database.rows("interrupted")]
    found: dict[str, OnUnknown] = {}
    for message_id in ids:
        seq = _number(database.cell("seq_of", (message_id,)))
        messages, _ = _messages(database, [seq])
        # Unreadable facts: the careful class, so that nothing is sent twice by guess.
        found[message_id] = messages[seq][0].on_unknown if seq in messages else OnUnknown.VERIFY
    return found, [str(row[0]) for row in database.rows("open_attempts")]


def recent(database: Database, since_ms: int) -> list[OpenAttempt]:
    """Attempts for the budgets, oldest first."""
    rows = database.rows("recent_attempts", {"since_ms": since_ms})
    return [told_of(attempt_of(AttemptRow(*cast("tuple[Any, ...]", row)))) for row in rows]


def body_files(database: Database) -> list[tuple[str, str, int]]:
    """Message id, file name and size of every body kept in a file."""
    return [(str(name), str(file), _number(size)) for name, file, size in database.rows("body_files")]


def bodiless(database: Database) -> list[str]:
    """Live messages without a body: only damage leaves them so."""
    return [str(row[0]) for row in database.rows("bodiless")]


def knows(database: Database, message_id: str) -> bool:
    """Whether there is such a message, live or past."""
    return database.cell("seq_of", (message_id,)) is not None


def sequence(database: Database) -> int:
    """Number of the newest write transaction."""
    return _number(database.cell("get_meta", ("sequence",)))


def _messages(database: Database, seqs: Iterable[int]) -> tuple[dict[int, tuple[NewMessage, int, int]], Damage]:
    found: dict[int, tuple[NewMessage, int, int]] = {}
    damage: Damage = []
    for seq, facts, finished_ms, message_id, pairing in database.rows("facts", {"seqs": text_json(seqs)}):
        try:
            message = message_of(facts if isinstance(facts, bytes) else b"")
        except Unreadable:
            damage.append(str(message_id))
        else:
            found[_number(seq)] = message, _number(finished_ms), _number(pairing)
    return found, damage


def grouped(rows: Iterable[tuple[Cell, ...]]) -> dict[int, list[Entry]]:
    """Recipients of each message, from a query that gives its number and the columns of an entry."""
    found: dict[int, list[Entry]] = {}
    for seq, index, state, *rest in rows:
        entry = Entry(_number(index), RecipientState(str(state)), *cast("list[Any]", rest))
        found.setdefault(_number(seq), []).append(entry)
    return found


def _record(seq: int, message: NewMessage, finished_ms: int, entries: Iterable[Entry]) -> Record:
    return Record(seq=seq, id=message.id, entries={e.index: e for e in entries}, finished_ms=finished_ms)


def _number(cell: Cell) -> int:
    return cell if isinstance(cell, int) else int(cell or 0)
