"""Pages of history: which messages come next beyond a place, in a bounded time. Runs in reader threads only.

What a filter names is either so rare that all of it is looked at and sorted, or it is walked in the order of history by
an index that has this order: an address, a client, or time itself. Whoever turns pages goes on from the place the last
one ended at, so a page costs the same however far back it lies.
"""

import heapq
from collections.abc import Generator, Iterator, Mapping
from typing import Final, cast

import msgspec

from node.policy.envelope import RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.spool.contract import Filter
from node.spool.database import Database
from node.spool.pages import PAGE_S, Patience, Spot
from node.spool.rows import Cell, text_json
from node.spool.search import params_of

FEW: Final = 2_000
"""Messages that are looked at whole: a few milliseconds."""
LOOKED_MAX: Final = 5_000
"""Messages one page looks at, some 50 ms, and no longer than ``PAGE_S``; there may be more beyond them."""
LATEST_MS: Final = 1 << 60
PARKED: Final = frozenset({RecipientState.IN_FLIGHT, RecipientState.UNKNOWN, RecipientState.HELD, RecipientState.DEAD})
_Place = tuple[int, str, int, int]
"""When received, id, row, and whether it fits."""
_Walk = Generator[_Place, None, None]


class Looked(msgspec.Struct, frozen=True):
    """Rows of messages that fit, newest first, and down to where that is all."""

    order: tuple[int, ...]
    looked_to: Spot | None


def look(database: Database, which: Filter, before: Spot | None) -> Looked:
    """Give the messages of one page."""
    patience = Patience(LOOKED_MAX, PAGE_S)
    params = _params(which, before)
    limit = max(1, cast("int", params["limit"]))
    order: dict[int, None] = {}
    last: _Place | None = None
    for looked, place in enumerate(_places(database, which, params)):
        if last is not None and (len(order) >= limit or patience.is_over(looked)):
            return Looked(tuple(order), Spot(received_ms=last[0], id=last[1]))
        last = place
        if place[3]:
            order[place[2]] = None
    return Looked(tuple(order), None)


def _params(which: Filter, before: Spot | None) -> dict[str, Cell]:
    before_ms, before_id = (before.received_ms, before.id) if before is not None else (LATEST_MS, "")
    until_ms = which.until_ms - 1 if which.until_ms else LATEST_MS
    place: dict[str, Cell] = {"before_ms": before_ms, "before_id": before_id, "to_ms": min(before_ms, until_ms)}
    return {**params_of(which), **place, "ids": text_json(which.ids), "few": FEW + 1}


def _places(database: Database, which: Filter, params: Mapping[str, Cell]) -> Iterator[_Place]:
    for name in _rare(which):
        rows = database.rows(name, params)
        if len(rows) <= FEW:
            chosen = {**params, "seqs": text_json(cast("int", row[0]) for row in rows)}
            return cast("Iterator[_Place]", iter(database.rows("of_few", chosen)))
    return _merged([cast("_Walk", database.stream(name, params)) for name in _walks(which)])


def _rare(which: Filter) -> Iterator[str]:
    """Name what may be rare, what narrows most first."""
    states = frozenset(which.states)
    choices = (
        (bool(which.ids), "few_ids"),
        (bool(which.recipient), "few_recipients"),
        (bool(which.sender), "few_senders"),
        (bool(states) and states <= PARKED, "few_parked"),
        (bool(states) and states <= WAITING_STATES, "few_waiting"),
        (bool(which.client), "few_clients"),
        (bool(which.since_ms and which.until_ms), "few_times"),
    )
    return (name for fits, name in choices if fits)


def _walks(which: Filter) -> tuple[str, ...]:
    """Name the queries that give places in order; a whole domain has no order of its own, so time is walked."""
    if which.recipient and not which.recipient.startswith("*@"):
        return "walk_recipient", "walk_original"
    if which.sender and not which.sender.startswith("*@"):
        return "walk_sender", "walk_env_sender"
    return ("walk_client",) if which.client else ("walk_time",)


def _merged(walks: list[_Walk]) -> Iterator[_Place]:
    """Give places of several walks in one order, each once; ends all of them when the reader stops."""
    before = ("", 0)
    try:
        for place in heapq.merge(*walks, key=_key, reverse=True):
            if (place[1], place[2]) != before:
                yield place
            before = place[1], place[2]
    finally:
        for walk in walks:
            walk.close()


def _key(place: _Place) -> tuple[int, str]:
    return place[0], place[1]
