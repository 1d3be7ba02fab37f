"""Asks the other ends of pairings for their word, while the store is silent for all; its worth is in ``freely.py``."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from coordinator.keeping.contract import Rows
from coordinator.keys import Keys
from coordinator.ownership import freely
from coordinator.ownership.freely import Word
from coordinator.ownership.records import PairKey, UnreadableRecord, read_spool
from coordinator.ownership.views import End, Me, View, end_of
from coordinator.store.contract import Item

_log = logging.getLogger("coordinator")
ANSWER_S: Final = 1.0
Ask = Callable[[str, PairKey, int], Awaitable[Word | None]]
"""Takes a node, a pairing and an epoch; None: no answer, or no such node."""


async def all_agree(views: Iterable[View], me: Me, rows: Rows, ask: Ask, node_of: Callable[[View], str]) -> bool:
    """Whether every pairing with own rows here is mine, as far as both ends know. Raises what ``rows`` raises."""
    asked = []
    for view in views:
        here = await rows.here(view.key, view.epoch)
        stands = freely.stands(view, here, me)
        if stands is False:
            return False
        if stands is None:
            asked.append(_word_of(node_of(view), view, ask))
    return all(await asyncio.gather(*asked))


async def _word_of(node: str, view: View, ask: Ask) -> bool:
    if not node:
        return False
    try:
        async with asyncio.timeout(ANSWER_S):
            word = await ask(node, view.key, view.epoch)
    except Exception as error:  # noqa: BLE001 - whatever the way to it says, it is no word
        _log.debug("no word of %s: %r", node, error)
        return False
    return word is not None and not word.owned


def node_of(view: View, me: Me, keys: Keys, found: Callable[[str], Item | None]) -> str:
    """Name the node of the other end, there or not; empty if it is not known. ``found`` gives a key as last seen."""
    if end_of(view.key, view.pairing, me) is not End.COPY:
        return view.key.shadow
    item = found(keys.spool(view.key.spool))
    try:
        return read_spool(item.value).node if item is not None else ""
    except UnreadableRecord:
        return ""
