"""Changes of mail at rest that only a cluster knows, as functions on a Work. Pure, and shared by both stores."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.policy.envelope import OnUnknown, RecipientState
from node.policy.lifecycle import Event, allows
from node.spool.contract import JourneyLine
from node.spool.paired import Here
from node.spool.work import Arrival, Change, Entry, Work

_TRIED: Final = frozenset(
    {RecipientState.IN_FLIGHT, RecipientState.UNKNOWN, RecipientState.DELIVERED, RecipientState.BOUNCED}
)


def withdraw(message_id: str, why: str, now_ms: int, work: Work) -> bool:
    """End a message before anything was tried; True also if it is ended so already, or is not here at all."""
    record = work.records.get(message_id)
    if record is None:
        return True
    if any(map(_tried, record.entries.values())):
        return False
    ended = [entry.index for entry in record.entries.values() if allows(entry.state, Event.DELETE)]
    for index in ended:
        work.move(record, index, Event.DELETE, Change())
    if ended:
        line = JourneyLine(at_ms=now_ms, event="withdrawn", indexes=tuple(ended), detail={"why": why})
        work.tell(record, line)
        work.close(record, now_ms)
    return True


def _tried(entry: Entry) -> bool:
    return entry.state in _TRIED or bool(entry.tried_ms or entry.attempts or entry.way)


def with_arrivals(found: Here, number: int, waiting: Iterable[Arrival]) -> Here:
    """What there is of a pairing, together with messages that are not in the database yet."""
    mine = [one.item.message for one in waiting if (one.item.pairing or 0) == number]
    if not mine:
        return found
    careful = found.careful or any(message.on_unknown is not OnUnknown.RESEND for message in mine)
    return msgspec.structs.replace(found, own=True, unconfirmed=True, careful=careful)
