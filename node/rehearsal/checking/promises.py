"""I1 and I5: is every promise kept, and is each repetition one that an unknown outcome explains. Pure.

An outcome is unknown (design §1, I5) when the receiver's answer did not reach a living connection; when the sending
node was lost, or could tell nobody, within ``TELLING_MS`` of it; or when the client itself did not hear its 250 and
sent the message anew. Every such outcome explains one repetition, later than itself. What the relay calls unknown
explains nothing by itself. Where the other side cannot tell who sent (Graph carries no node's name), a lost node is an
explanation only together with that word: the relay lists an attempt of this message as unknown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from node.rehearsal.checking.records import Any, Begun, Ended, Fault, Kept, Unknown
from node.rehearsal.checking.verdict import Duplicate, Violation
from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry

TELLING_MS: Final = 1_000.0
"""An outcome is at the other machine so soon: gathered for 100 ms, answered when durable there, on a busy machine."""


class Delivery(NamedTuple):
    """One message taken for one recipient."""

    at_ms: float
    answered: bool
    sources: tuple[str, ...]
    """Address and name of who sent it, as far as known."""
    line: str


class Excuse(NamedTuple):
    """An outcome that was unknown from a moment on."""

    at_ms: float
    why: str


@dataclass
class Told:
    """Everything the histories say of one message."""

    promises: list[Entry] = field(default_factory=list)
    unheard: list[Entry] = field(default_factory=list)
    """Tries of the client that ended unknown."""
    refused: list[Entry] = field(default_factory=list)
    deliveries: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))

    @property
    def promised(self) -> set[str]:
        """Every recipient any 250 covers."""
        return {one.lower() for entry in self.promises for one in entry.recipients}


@dataclass
class Judgement:
    """Counts, duplicates, violations."""

    accepted_messages: int = 0
    accepted: int = 0
    delivered: int = 0
    kept: int = 0
    lost: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def gather(ledger: Iterable[Entry], operations: Iterable[tuple[Begun, Ended | None]]) -> dict[str, Told]:
    """Bring both sides together by message."""
    told: dict[str, Told] = defaultdict(Told)
    for entry in ledger:
        one = told[entry.id]
        if entry.result is Result.ACCEPTED:
            one.promises.append(entry)
        elif entry.result is Result.UNKNOWN:
            one.unheard.append(entry)
        else:
            one.refused.append(entry)
    for begun, ended in operations:
        if ended is None or not ended.taken or not ended.id:
            continue
        sources = tuple(filter(None, (begun.peer.rpartition(":")[0], begun.helo)))
        line = f"{ended.at_ms:.0f} taken for {begun.scope} from {begun.helo} {begun.peer}, operation {ended.operation}"
        for recipient in ended.recipients:
            delivery = Delivery(ended.at_ms, ended.answered, sources, line)
            told[ended.id].deliveries[recipient.lower()].append(delivery)
    return dict(told)


def judge(told: dict[str, Told], others: Iterable[Any]) -> Judgement:
    """Judge all messages; ``others``: what a drill did, and what the relay says it has or does not know."""
    every = list(others)
    faults = [one for one in every if isinstance(one, Fault) and one.silences]
    kept = {(one.id, one.recipient.lower()) for one in every if isinstance(one, Kept)}
    listed: dict[str, set[str]] = defaultdict(set)
    for unknown in (one for one in every if isinstance(one, Unknown)):
        listed[unknown.id].add(unknown.node)
    result = Judgement()
    for name, one in told.items():
        if one.promises:
            _promise(result, name, one, kept)
        _unasked(result, name, one)
        for recipient, deliveries in one.deliveries.items():
            _repeated(result, (name, recipient), one, sorted(deliveries), faults, listed)
    return result


def _promise(result: Judgement, name: str, one: Told, kept: set[tuple[str, str]]) -> None:
    result.accepted_messages += 1
    names = {name, *(entry.queue_id for entry in one.promises if entry.queue_id)}
    for recipient in sorted(one.promised):
        result.accepted += 1
        if recipient in one.deliveries:
            result.delivered += 1
        elif any((each, recipient) in kept or (each, "") in kept for each in names):
            result.kept += 1
        else:
            result.lost += 1
            result.violations.append(_lost(name, recipient, one))


def _lost(name: str, recipient: str, one: Told) -> Violation:
    entry = next(each for each in one.promises if recipient in {to.lower() for to in each.recipients})
    return Violation(
        invariant="I1",
        what="lost",
        subject=f"{name} {recipient}",
        at_ms=entry.at_ms,
        text=f"was promised with {entry.reply!r}; nobody got it and the relay does not have it",
        evidence=tuple(map(_tried, [*one.promises, *one.unheard])),
    )


def _unasked(result: Judgement, name: str, one: Told) -> None:
    """Mail that was refused, or addressed to somebody else, and arrived all the same."""
    if one.unheard or not (one.promises or one.refused):
        return
    for recipient in sorted(set(one.deliveries) - one.promised):
        found = min(one.deliveries[recipient])
        result.violations.append(
            Violation(
                invariant="I1",
                what="unasked",
                subject=f"{name} {recipient}",
                at_ms=found.at_ms,
                text="was delivered though no answer promised it",
                evidence=(found.line, *map(_tried, [*one.promises, *one.refused])),
            )
        )


def _repeated(
    result: Judgement,
    subject: tuple[str, str],
    one: Told,
    deliveries: Sequence[Delivery],
    faults: Sequence[Fault],
    listed: Mapping[str, set[str]],
) -> None:
    names = (subject[0], *(entry.queue_id for entry in one.promises))
    doubted = frozenset(node for name in names for node in listed.get(name, ()))
    excuses = _excuses(one, deliveries, faults, doubted) if len(deliveries) > 1 else []
    for before, again in pairwise(deliveries):
        excuse = next((each for each in excuses if each.at_ms < again.at_ms), None)
        if excuse is not None:
            excuses.remove(excuse)
        else:
            result.violations.append(_silent(subject, one, before, again))
        result.duplicates.append(
            Duplicate(
                id=subject[0],
                recipient=subject[1],
                first_ms=before.at_ms,
                again_ms=again.at_ms,
                why=excuse.why if excuse is not None else "",
                listed=bool(doubted),
            )
        )


def _excuses(
    one: Told, deliveries: Sequence[Delivery], faults: Sequence[Fault], doubted: frozenset[str]
) -> list[Excuse]:
    """Give the unknown outcomes, each once; a delivery has one outcome, however many reasons made it unknown.

    ``doubted``: the nodes that list an attempt of the message as unknown; "" for one that is not named.
    """
    found = [
        Excuse(each.at_ms - each.took_ms, "the client did not hear the answer and sent it anew") for each in one.unheard
    ]
    for delivery in deliveries[:-1]:
        if not delivery.answered:
            found.append(Excuse(delivery.at_ms, "the upstream's answer was lost"))
        elif (fault := _silenced(delivery, faults, doubted)) is not None:
            found.append(Excuse(delivery.at_ms, f"{fault.kind} {fault.node}: the outcome could not be told in time"))
    return sorted(found)


def _silenced(delivery: Delivery, faults: Sequence[Fault], doubted: frozenset[str]) -> Fault | None:
    near = (one for one in faults if one.at_ms - TELLING_MS <= delivery.at_ms <= one.until_ms)
    return next((one for one in near if _befell(one, delivery, doubted)), None)


def _befell(fault: Fault, delivery: Delivery, doubted: frozenset[str]) -> bool:
    """Whether a fault befell who sent; where nobody can say who that was, the relay must have been in doubt too."""
    if delivery.sources:
        return fault.source in ("", *delivery.sources)
    return bool(doubted)


def _silent(subject: tuple[str, str], one: Told, before: Delivery, again: Delivery) -> Violation:
    return Violation(
        invariant="I5",
        what="silent duplicate",
        subject=" ".join(subject),
        at_ms=again.at_ms,
        text="was delivered again though the outcome of the delivery before was known",
        evidence=(before.line, again.line, *map(_tried, [*one.promises, *one.unheard])),
    )


def _tried(entry: Entry) -> str:
    return f"{entry.at_ms} try {entry.attempt}: {entry.result} {entry.reply!r} {entry.queue_id}".rstrip()
