"""What this node knows of other nodes' mail, for whoever looks at all queues: copies, history of what is settled."""

import logging
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from coordinator.ownership.rows import Attached
from node.admin.everywhere import Found, Place
from node.app.answers import Answer, found_of
from node.app.hiding import Hiding
from node.shadow.contract import Copies
from node.shadow.finding import may_be_past
from node.shadow.showing import kept_of, kept_view, past_view
from node.spool.contract import Filter, MessageView
from node.spool.rows import Unreadable

FIND_MAX: Final = 1_000
"""Messages one node gives at once."""
_log = logging.getLogger(__name__)


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for copies of mail whose owners did not answer."""

    which: Filter
    owners: tuple[str, ...]


class Kept:
    """The copy store of one node; without one nothing is known."""

    def __init__(
        self, node: str, copies: Copies | None, owner_of: Callable[[Attached], str], hiding: Hiding | None = None
    ) -> None:
        """``owner_of``: who owns the mail of a pairing; empty if that is not known. ``hiding``: of addresses."""
        self._node, self._copies, self._owner_of = node, copies, owner_of
        self._hiding = hiding or Hiding()

    async def past(self, which: Filter) -> Answer:
        """Give settled mail of others that fits: it outlives the disk it came in at."""
        if self._copies is None or not may_be_past(which):
            return Answer(messages=())
        found = [await self._copies.find_past(bounded(each)) for each in self._hiding.variants(which)]
        items = (item for each in found for item in each.items)
        messages = tuple(self._of(past_view(each), Place.PAST) for each in items)
        return Answer(messages=messages, cut=any(each.more for each in found))

    async def of(self, which: Filter, owners: Collection[str]) -> Answer:
        """Give copies that fit of what these nodes own, as far as they told how it stands."""
        if self._copies is None:
            return Answer(messages=())
        held = [each for each in await self._copies.held() if each.messages]
        pairings = [each.attached for each in held if (self._owner_of(each.attached) or each.node) in owners]
        found = await self._copies.find_kept(bounded(which), pairings)
        return Answer(messages=tuple(self._of(kept_view(each), Place.COPY) for each in found.items), cut=found.more)

    async def one(self, message_id: str) -> list[Found]:
        """Give one message, if there is a copy or history of it."""
        if self._copies is None:
            return []
        try:
            row = await kept_of(self._copies, message_id)
            if row is not None:
                return [self._of(kept_view(row), Place.COPY)]
            past = await self._copies.past(message_id)
            return [self._of(past_view(past), Place.PAST)] if past is not None else []
        except Unreadable as error:
            _log.warning("a copy cannot be read", extra={"queue_id": message_id, "cause": str(error)})
            return []

    def _of(self, view: MessageView, place: Place) -> Found:
        return found_of(self._hiding.view(view), self._node, place, None)


def bounded(which: Filter) -> Filter:
    """Ask for no more than one answer may hold."""
    return msgspec.structs.replace(which, limit=max(0, min(which.limit, FIND_MAX)))
