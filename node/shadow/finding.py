"""Searches in the copy store: history by its addresses, spares by looking at them; newest first, and bounded.

Ids tell the order of acceptance (UUIDv7), so the newest have the greatest. Spares are not indexed: they are many, are
gone soon, and are asked for only while their owner is away. Changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from coordinator.ownership.rows import Attached
from node.policy.envelope import FINAL_STATES
from node.shadow import addresses, looking, putting, statements
from node.shadow.contract import FoundKept, FoundPast, KeptCopy, Past
from node.shadow.rows import past_of
from node.shadow.showing import NOT_TOLD, kept_view, past_view
from node.spool.contract import Filter, MessageView
from node.spool.database import Database, Row
from node.spool.rows import Cell, Unreadable
from node.spool.search import matches, range_of

PAGE: Final = 500
LOOKED_MAX: Final = 20_000
"""Messages one question looks at: a third of a second. There may be more beyond them."""
_LAST: Final = "\U0010ffff"
Item = TypeVar("Item", Past, KeptCopy)


def may_be_past(which: Filter) -> bool:
    """Whether a settled message could be meant."""
    return not which.states or not FINAL_STATES.isdisjoint(which.states)


def past(database: Database, which: Filter) -> FoundPast:
    """See the contract."""
    found: list[Past] = []
    for looked, row in enumerate(_past_rows(database, which)):
        if len(found) >= which.limit or looked >= LOOKED_MAX:
            return FoundPast(items=tuple(found), more=looked >= LOOKED_MAX)
        item = past_of(row)
        if fits(which, item, past_view):
            found.append(item)
    return FoundPast(items=tuple(found))


def _past_rows(database: Database, which: Filter) -> Iterator[Row]:
    """Give what may fit, newest first; of what an address names, one more than is looked at."""
    ids = list(which.ids)
    if not ids and (which.recipient or which.sender):
        role = addresses.RECIPIENT if which.recipient else addresses.SENDER
        params: dict[str, Cell] = {"role": role, "limit": LOOKED_MAX + 1}
        params["first"], params["last"] = range_of(which.recipient or which.sender)
        ids = [str(row[0]) for row in statements.run(database, "ids_by_address", params)]
    elif not ids:
        yield from _newest(database)
    for start in range(0, len(ids), PAGE):
        yield from statements.run(database, "past_by_ids", {"ids": putting.text(ids[start : start + PAGE])})


def _newest(database: Database) -> Iterator[Row]:
    before = _LAST
    while rows := statements.run(database, "past_before", {"before": before, "limit": PAGE}):
        yield from rows
        before = str(rows[-1][0])


def kept(database: Database, which: Filter, pairings: Sequence[Attached]) -> FoundKept:
    """See the contract."""
    found: list[KeptCopy] = []
    more = False
    for attached in pairings:
        mine, cut = _kept(database, which, putting.number_of(database, attached))
        found += mine
        more |= cut
    found.sort(key=_name, reverse=True)
    return FoundKept(items=tuple(found[: which.limit]), more=more)


def _kept(database: Database, which: Filter, number: int) -> tuple[list[KeptCopy], bool]:
    found: list[KeptCopy] = []
    before, looked = _LAST, 0
    params: dict[str, Cell] = {"pairing": number, "limit": PAGE}
    while rows := statements.run(database, "kept_before", {**params, "before": before}):
        fitting = (each for each in looking.kept_of(database, number, rows) if fits(which, each, kept_view))
        found += fitting
        before, looked = str(rows[-1][0]), looked + len(rows)
        if len(found) >= which.limit or looked >= LOOKED_MAX:
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
