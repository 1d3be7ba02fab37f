"""The history of all nodes as one: each gives a page from the same place on, the node asked puts them together.

What one node has not looked at yet cannot be passed over, so a page ends where the first of them ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.peers.contract import Handler, Peers
from node.admin.everywhere import Found, Place
from node.admin.history import HistoryPage, key_text, spot
from node.app.answers import ANSWER_MAX, found_of, rank
from node.app.hiding import Hiding
from node.app.kept import bounded
from node.shadow.contract import Copies
from node.shadow.finding import may_be_past
from node.shadow.showing import past_view
from node.spool.contract import Filter, MessageView, Spool
from node.spool.pages import Spot

HISTORY: Final = "history-page"
"""Route of the peer channel."""
WAIT_S: Final = 2.0
_ROOM: Final = ANSWER_MAX - 1024


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Ask one node for its page."""

    which: Filter
    before: Spot | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One node's page."""

    messages: tuple[Found, ...]
    looked_to: Spot | None = None
    """All it has down to here is in it; None: that was all."""


class NotUnderstood(CoordinatorError):  # noqa: N818 - a state of affairs
    """A question that cannot be read."""

    temporary = False


class History:
    """Implements ``node.admin.history.HistoryControl``; ``routes`` answers the other nodes."""

    def __init__(
        self,
        node: str,
        spool: Spool,
        *,
        copies: Copies | None = None,
        usable: Callable[[], bool] = lambda: True,
        peers: Peers | None = None,
        others: Callable[[], Iterable[str]] = tuple,
        hiding: Hiding | None = None,
    ) -> None:
        """``usable``: whether the spool is in use; ``others``: the other nodes; ``hiding``: of addresses."""
        self._hiding = hiding or Hiding()
        self._node, self._spool, self._copies = node, spool, copies
        self._usable, self._peers, self._others = usable, peers, others

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {HISTORY: self._answer}

    async def page(self, which: Filter, before: Spot | None, *, here: bool = False) -> HistoryPage:
        """See HistoryControl."""
        which = bounded(which)
        others = [] if here or self._peers is None else list(self._others())
        asked = [self._asked(name, Question(which=which, before=before)) for name in others]
        mine, answers = await asyncio.gather(self._part(which, before), asyncio.gather(*asked))
        parts: list[Part] = [mine, *(each for each in answers if isinstance(each, Part))]
        missing = {name: each for name, each in zip(others, answers, strict=True) if isinstance(each, str)}
        return merged(parts, which.limit, missing)

    async def _asked(self, name: str, question: Question) -> Part | str:
        assert self._peers is not None  # noqa: S101 - asked by the caller
        body = msgspec.json.encode(question)
        return await _answer_of(self._peers.ask(name, HISTORY, body, timeout_s=WAIT_S))

    async def _answer(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - all members may ask
        try:
            question = msgspec.json.decode(body, type=Question)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotUnderstood(f"not understood: {error}") from None
        return msgspec.json.encode(fitted(await self._part(bounded(question.which), question.before)))

    async def _part(self, which: Filter, before: Spot | None) -> Part:
        """Give this node's page: its own mail, and settled mail of others it kept copies of."""
        return joined([await self._one(each, before) for each in self._hiding.variants(which)], which.limit)

    async def _one(self, which: Filter, before: Spot | None) -> Part:
        place = Place.SPOOL if self._usable() else Place.SHUT
        page = await self._spool.page(which, before)
        own = Part(messages=tuple(self._found(each, place) for each in page.messages), looked_to=page.looked_to)
        if self._copies is None or not may_be_past(which):
            return own
        past = await self._copies.page_past(which, before)
        kept = tuple(self._found(past_view(each), Place.PAST) for each in past.items)
        return joined([own, Part(messages=kept, looked_to=past.looked_to)], which.limit)

    def _found(self, view: MessageView, place: Place) -> Found:
        return found_of(self._hiding.view(view), self._node, place, None)


async def _answer_of(answer: Awaitable[bytes]) -> Part | str:
    try:
        return msgspec.json.decode(await answer, type=Part)
    except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)[:200] or type(error).__name__


def joined(parts: Iterable[Part], limit: int) -> Part:
    """Put pages from the same place on together: every message once, as whoever knows it best has it. Pure."""
    parts = list(parts)
    ends = [part.looked_to for part in parts if part.looked_to is not None]
    floor = max(ends, default=None)
    chosen: dict[str, Found] = {}
    for each in (found for part in parts for found in part.messages):
        other = chosen.get(each.message.id)
        if floor is None or spot(each) >= floor:
            chosen[each.message.id] = each if other is None or rank(each) < rank(other) else other
    order = sorted(chosen.values(), key=spot, reverse=True)
    if len(order) > limit:
        return Part(messages=tuple(order[:limit]), looked_to=spot(order[limit - 1]))
    return Part(messages=tuple(order), looked_to=floor)


def merged(parts: Iterable[Part], limit: int, missing: Mapping[str, str]) -> HistoryPage:
    """Make the page of the parts that came. Pure."""
    whole = joined(parts, limit)
    goes_on = key_text(whole.looked_to) if whole.looked_to is not None else ""
    return HistoryPage(messages=whole.messages, next=goes_on, missing=dict(missing))


def fitted(part: Part) -> Part:
    """Cut a part to what one answer of the channel may hold; it goes on where it was cut. Pure.

    A message that does not fit alone is left out: it is found by its id.
    """
    size = 0
    kept: list[Found] = []
    for each in part.messages:
        one = len(msgspec.json.encode(each)) + 1
        if size + one > _ROOM and kept:
            return Part(messages=tuple(kept), looked_to=spot(kept[-1]))
        if one <= _ROOM:
            kept.append(each)
            size += one
    return Part(messages=tuple(kept), looked_to=part.looked_to)
