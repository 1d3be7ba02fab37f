"""Searches in the copy store: history by its addresses, spares by looking at them; newest first, and bounded.

History has rows of its own for what it is searched by (``addresses.py``). Spares are not indexed: they are many, are
gone soon, and are asked for only while their owner is away; their ids tell the order of acceptance (UUIDv7). Changes
nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar, cast

import msgspec

from coordinator.ownership.rows import Attached
from node.policy.envelope import FINAL_STATES
from node.shadow import addresses, looking, putting, statements
from node.shadow.contract import FoundKept, FoundPast, KeptCopy, Past
from node.shadow.rows import past_of
from node.shadow.showing import NOT_TOLD, kept_view, past_view
from node.spool.contract import Filter, MessageView
from node.spool.database import Database, Row
from node.spool.pages import PAGE_S, Patience, Spot
from node.spool.rows import Cell, Unreadable
from node.spool.search import key_of, matches, range_of, spot_of

PAGE: Final = 200
LOOKED_MAX: Final = 20_000
"""Messages of an owner one question looks at, a third of a second on a disk at rest. There may be more beyond them."""
LOOKED_S: Final = 1.0
"""How long one question looks at most."""
PAGE_LOOKED_MAX: Final = 3_000
"""Messages one page of history looks at, some 50 ms, and no longer than ``PAGE_S``."""
FEW: Final = 2_000
"""Messages that are looked at whole."""
_LAST: Final = "\U0010ffff"
_LATEST_MS: Final = 1 << 60
Item = TypeVar("Item", Past, KeptCopy)


def may_be_past(which: Filter) -> bool:
    """Whether a settled message could be meant."""
    return not which.states or not FINAL_STATES.isdisjoint(which.states)


def past(database: Database, which: Filter) -> FoundPast:
    """See the contract."""
    return _page(database, which, None, Patience(LOOKED_MAX, LOOKED_S))


def page(database: Database, which: Filter, before: Spot | None) -> FoundPast:
    """See the contract."""
    return _page(database, which, before, Patience(PAGE_LOOKED_MAX, PAGE_S))


def _page(database: Database, which: Filter, before: Spot | None, patience: Patience) -> FoundPast:
    found: list[Past] = []
    last: Spot | None = None
    for looked, (spot, item) in enumerate(_places(database, which, before)):
        over = patience.is_over(looked)
        if last is not None and (over or len(found) >= which.limit):
            return FoundPast(items=tuple(found), more=over, looked_to=last)
        last = spot
        if fits(which, item, past_view):
            found.append(item)
    return FoundPast(items=tuple(found))


def _places(database: Database, which: Filter, before: Spot | None) -> Iterator[tuple[Spot, Past]]:
    """Give what may fit beyond a place, newest first."""
    if which.ids:
        rows = statements.run(database, "past_by_ids", {"ids": putting.text(which.ids)})
        views = [(spot_of(past_view(item)), item) for item in map(past_of, rows) if fits(Filter(), item, past_view)]
        yield from sorted((each for each in views if before is None or each[0] < before), key=_spot, reverse=True)
        return
    for spots in _spots(database, which, before):
        rows = statements.run(database, "past_by_ids", {"ids": putting.text(each.id for each in spots)})
        items = {item.message_id: item for item in map(past_of, rows)}
        yield from ((spot, items[spot.id]) for spot in spots if spot.id in items)


def _spots(database: Database, which: Filter, before: Spot | None) -> Iterator[list[Spot]]:
    """Give places in parts: of a whole domain if it has few, else by what has the order of history itself."""
    before = before or Spot(received_ms=_LATEST_MS, id="")
    role, pattern = addresses.RECIPIENT, which.recipient
    if not pattern:
        role, pattern = addresses.SENDER, which.sender
    if pattern.startswith("*@"):
        first, last = range_of(pattern)
        params: dict[str, Cell] = {"role": role, "first": first, "last": last, "limit": FEW + 1}
        rows = statements.run(database, "searched_among", params)
        if len(rows) <= FEW:
            few = sorted({spot for spot in map(_spot_of, rows) if spot < before}, reverse=True)
            yield from (few[start : start + PAGE] for start in range(0, len(few), PAGE))
            return
    key = key_of(pattern) if pattern and not pattern.startswith("*@") else ""
    if not key:
        role, key = (addresses.CLIENT, which.client) if which.client else (addresses.ALL, "")
    yield from _walked(database, {"role": role, "key": key, "since_ms": which.since_ms}, before, which.until_ms)


def _walked(database: Database, params: dict[str, Cell], before: Spot, until_ms: int) -> Iterator[list[Spot]]:
    if until_ms:
        before = min(before, Spot(received_ms=until_ms, id=""))
    while True:
        place: dict[str, Cell] = {"before_ms": before.received_ms, "before_id": before.id, "limit": PAGE}
        rows = statements.run(database, "searched_before", params | place)
        if not rows:
            return
        spots = [_spot_of(row) for row in rows]
        yield spots
        before = spots[-1]


def _spot_of(row: Row) -> Spot:
    return Spot(received_ms=cast("int", row[0]), id=str(row[1]))


def _spot(place: tuple[Spot, Past]) -> Spot:
    return place[0]


def kept(database: Database, which: Filter, pairings: Sequence[Attached]) -> FoundKept:
    """See the contract."""
    found: list[KeptCopy] = []
    more = False
    for attached in pairings:
        patience = Patience(LOOKED_MAX, LOOKED_S / len(pairings))
        mine, cut = _kept(database, which, putting.number_of(database, attached), patience)
        found += mine
        more |= cut
    found.sort(key=_name, reverse=True)
    return FoundKept(items=tuple(found[: which.limit]), more=more)


def _kept(database: Database, which: Filter, number: int, patience: Patience) -> tuple[list[KeptCopy], bool]:
    found: list[KeptCopy] = []
    before, looked = _LAST, 0
    params: dict[str, Cell] = {"pairing": number, "limit": PAGE}
    while rows := statements.run(database, "kept_before", {**params, "before": before}):
        fitting = (each for each in looking.kept_of(database, number, rows) if fits(which, each, kept_view))
        found += fitting
        before, looked = str(rows[-1][0]), looked + len(rows)
        if len(found) >= which.limit or patience.is_over(looked):
            return found[: which.limit], len(found) < which.limit
    return found, False


def _name(kept: KeptCopy) -> str:
    return kept.message_id


def fits(which: Filter, item: Item, show: Callable[[Item], MessageView]) -> bool:
    """Whether a message as shown fits; one that cannot be read does not."""
    try:
        view = show(item)
    except Unreadable:
        return False
    if which.states or which.reason:  # of an end that nobody told it cannot be said whether it is the one meant
        told = tuple(each for each in view.recipients if each.last_reason != NOT_TOLD)
        view = msgspec.structs.replace(view, recipients=told)
    return matches(which, view)
