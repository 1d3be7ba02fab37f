"""Lists of messages, a page at a time: what stands in the address of a page becomes a filter, and the next page's key.

A page begins below a key, the time and id of the last message of the page before; nothing is counted over again.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from node.admin.everywhere import Found, Gathered
from node.admin.history import before_of, key_text, spot
from node.admin.queries import BadRequestError
from node.console.visit import Visit
from node.settings.when import BadTimeError, since_ms
from node.spool.pages import Spot

PAGE: Final = 50
LOOK: Final = (PAGE * 2, 1_000)
"""Asked for at once; more where many messages came in the same millisecond as the key."""
TIMES: Final = ("since", "until")
NAMES: Final = ("states", "client", "sender", "recipient", "reason")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One page."""

    found: tuple[Found, ...]
    missing: Mapping[str, str]
    """Nodes whose part is not in it, or not all, and why."""
    older: str
    """The address of the next page; empty: that was all."""


def named(values: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """Give the filter of what was typed: texts as they are, times as 30m, 2h, 3d or a date."""
    wanted = {name: values[name].strip() for name in NAMES if values.get(name, "").strip()}
    for name in TIMES:
        at_ms = _time(values.get(name, ""), name, now_ms) or _number(values.get(f"{name}_ms", ""))
        if at_ms:
            wanted[f"{name}_ms"] = str(at_ms)
    return wanted


async def listed(visit: Visit, wanted: dict[str, str], path: str) -> Listed:
    """Ask every node for one page. Raises BadRequestError for a key that is none."""
    key = before_of(visit.query)
    for limit in LOOK:
        query = wanted | {"limit": str(limit)}
        if key is not None:
            until = min(key.received_ms + 1, int(wanted.get("until_ms", key.received_ms + 1)))
            query["until_ms"] = str(until)
        gathered: Gathered = await visit.look("/v1/everywhere/messages", query)
        left = beyond(gathered.messages, key)
        if len(left) > PAGE or len(gathered.messages) < limit:
            break
    return _page(left, gathered, len(gathered.messages) >= limit, visit.query, path)


def beyond(messages: Sequence[Found], key: Spot | None) -> list[Found]:
    """Leave out what stood on the pages before."""
    return [each for each in messages if key is None or spot(each) < key]


def _page(left: list[Found], gathered: Gathered, more: bool, query: Mapping[str, str], path: str) -> Listed:
    shown, older = tuple(left[:PAGE]), ""
    if shown and (len(left) > PAGE or more):
        kept = {name: value for name, value in query.items() if value and name != "before"}
        older = f"{path}?{urlencode(kept | {'before': key_text(spot(shown[-1]))})}"
    return Listed(found=shown, missing=gathered.missing, older=older)


def _time(text: str, name: str, now_ms: int) -> int:
    try:
        return since_ms(text.strip(), now_ms)
    except BadTimeError as error:
        raise BadRequestError(f"{name}: {error}") from None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0  # noqa: PLR2004 - as the interface
