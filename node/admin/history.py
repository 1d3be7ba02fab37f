"""What the administration interface asks of every node's history at once: pages by key, never by offset, newest first.

A place in history (``Spot``) is the same on every node, so a page that several have a part of goes on from one key.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from node.admin.everywhere import Found
from node.admin.queries import FILTER_KEYS, BadRequestError
from node.spool.contract import Filter
from node.spool.pages import Spot

HISTORY_KEYS: Final = FILTER_KEYS | {"here", "before"}
_KEY = re.compile(r"(\d{1,15})\.([0-9A-Za-z-]{1,64})", re.ASCII)


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the history of all nodes that answered."""

    messages: tuple[Found, ...]
    next: str = ""
    """To be given as ``before`` for the next page; empty: this is the last. A page may be short and not the last."""
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    """Nodes whose part is not in it, and why."""


class HistoryControl(Protocol):
    """The history of all nodes; of a node without peers only its own."""

    async def page(self, which: Filter, before: Spot | None, *, here: bool = False) -> HistoryPage:
        """Give live and past messages beyond a place, newest first, without journeys; at most ``which.limit``."""
        ...


def spot(found: Found) -> Spot:
    """Where a message stands in the order of history."""
    return Spot(received_ms=found.message.received_ms, id=found.message.id)


def key_text(place: Spot) -> str:
    """Write a place as callers hand it back."""
    return f"{place.received_ms}.{place.id}"


def before_of(values: Mapping[str, str]) -> Spot | None:
    """Read the place a page begins beyond; raises BadRequestError."""
    text = values.get("before", "")
    if not text:
        return None
    match = _KEY.fullmatch(text)
    if match is None:
        raise BadRequestError(f"before: expected what the page before gave as next, not {text[:60]!r}")
    return Spot(received_ms=int(match[1]), id=match[2])
