"""Compares what the sender was promised with what arrived: lost, duplicated, extra. Pure.

The promise is 250 to the final dot, for every recipient that got 250 at RCPT (I1). A message may arrive twice without
blame when a try of the sender or an attempt of the relay ended unknown (I5); every duplicate is listed all the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver saw of one message."""

    id: str
    recipients: dict[str, int]
    """Recipient to number of times."""
    unanswered: int = 0
    """How often the receiver took the message and its answer was lost on the way."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay still has: a message (by queue id or rehearsal id) and its state."""

    id: str
    state: str = "queued"
    recipient: str = ""
    """Empty: all recipients."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient the relay promised and nobody got."""

    id: str
    queue_id: str
    recipient: str
    accepted_ms: int


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient who got a message more than once."""

    id: str
    queue_id: str
    recipient: str
    count: int
    explained: int
    """How many repetitions follow from outcomes known to be unknown."""
    attempts: list[Entry]
    """What the sender saw of its tries."""


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """Mail that arrived without a promise."""

    id: str
    recipient: str
    unconfirmed: bool
    """The sender's try ended unknown: it was taken, only the answer was lost."""


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison; counts are of (message, recipient) pairs unless they say messages."""

    accepted_messages: int
    accepted: int
    delivered: int
    kept: dict[str, int]
    """Not delivered yet, but in the relay: by state."""
    lost: list[Missing]
    duplicated: list[Repeated]
    extra: list[Extra]

    @property
    def unexplained(self) -> int:
        """Repetitions no unknown outcome accounts for."""
        return sum(max(0, one.count - 1 - one.explained) for one in self.duplicated)


@dataclass(slots=True)
class _Sent:
    """Everything the ledger says of one message."""

    attempts: list[Entry] = field(default_factory=list)
    promise: Entry | None = None

    @property
    def unknown_tries(self) -> int:
        return sum(entry.result is Result.UNKNOWN for entry in self.attempts)


def reconcile(
    ledger: Iterable[Entry],
    arrivals: Iterable[Arrival],
    kept: Iterable[Kept] = (),
    unknown: Iterable[str] = (),
) -> Reconciliation:
    """Compare; ``unknown`` names queue or rehearsal ids, once per attempt whose outcome the relay did not learn."""
    sent = _by_message(ledger)
    arrived = {one.id: one for one in arrivals}
    in_relay = {(one.id, one.recipient.lower()): one.state for one in kept}
    unknowns = Counter(unknown)
    result = Reconciliation(
        accepted_messages=0, accepted=0, delivered=0, kept={}, lost=[], duplicated=[], extra=_extra(sent, arrived)
    )
    counts: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for message, what in sent.items():
        if what.promise is None:
            continue
        counts["messages"] += 1
        seen = _lowered(arrived.get(message))
        for recipient in what.promise.recipients:
            counts["accepted"] += 1
            times = seen.get(recipient.lower(), 0)
            if times:
                counts["delivered"] += 1
                if times > 1:
                    explained = _explained(what, arrived[message], unknowns)
                    result.duplicated.append(_repeated(what, what.promise, recipient, times, explained))
            elif state := _state(in_relay, what.promise, recipient):
                states[state] += 1
            else:
                result.lost.append(_missing(what.promise, recipient))
    return msgspec.structs.replace(
        result,
        accepted_messages=counts["messages"],
        accepted=counts["accepted"],
        delivered=counts["delivered"],
        kept=dict(states),
    )


def _by_message(ledger: Iterable[Entry]) -> dict[str, _Sent]:
    sent: dict[str, _Sent] = {}
    for entry in ledger:
        what = sent.setdefault(entry.id, _Sent())
        what.attempts.append(entry)
        if entry.result is Result.ACCEPTED:
            what.promise = entry
    return sent


def _lowered(arrival: Arrival | None) -> Counter[str]:
    seen: Counter[str] = Counter()
    for recipient, times in (arrival.recipients if arrival is not None else {}).items():
        seen[recipient.lower()] += times
    return seen


def _explained(what: _Sent, arrival: Arrival, unknowns: Mapping[str, int]) -> int:
    promise = what.promise
    listed = unknowns.get(arrival.id, 0) + (unknowns.get(promise.queue_id, 0) if promise and promise.queue_id else 0)
    return what.unknown_tries + max(listed, arrival.unanswered)


def _state(in_relay: Mapping[tuple[str, str], str], promise: Entry, recipient: str) -> str:
    for name in filter(None, (promise.queue_id, promise.id)):
        state = in_relay.get((name, recipient.lower())) or in_relay.get((name, ""))
        if state:
            return state
    return ""


def _missing(promise: Entry, recipient: str) -> Missing:
    return Missing(id=promise.id, queue_id=promise.queue_id, recipient=recipient, accepted_ms=promise.at_ms)


def _repeated(what: _Sent, promise: Entry, recipient: str, times: int, explained: int) -> Repeated:
    return Repeated(
        id=promise.id,
        queue_id=promise.queue_id,
        recipient=recipient,
        count=times,
        explained=min(explained, times - 1),
        attempts=what.attempts,
    )


def _extra(sent: Mapping[str, _Sent], arrived: Mapping[str, Arrival]) -> list[Extra]:
    extra: list[Extra] = []
    for message, arrival in arrived.items():
        what = sent.get(message)
        promised = {one.lower() for one in what.promise.recipients} if what is not None and what.promise else set()
        unconfirmed = what is not None and what.promise is None and what.unknown_tries > 0
        extra.extend(
            Extra(id=message, recipient=recipient, unconfirmed=unconfirmed)
            for recipient in arrival.recipients
            if recipient.lower() not in promised
        )
    return extra
