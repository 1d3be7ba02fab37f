"""What the receipts say of promises and repetitions. Pure.

A repetition is *explained* when the first delivery's node was lost so soon afterwards that the other end could not
hear of it (``SOON_MS`` to gather and tell, and the answer's own time; ``COMPARED_MS`` where the copy lies at a shadow
that is not in use any more), or while the other end could not be told at all, which takes a second fault; or when a
journey calls an attempt unknown and something broke it off: such a loss, a dead line to the upstream, the end of the
session, a full disk. Called unknown for no such reason, it explains nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tests.durability.plan import Act
from tests.durability.watch import Receipt, Seen, Takeover, accepted_ms
from tests.durability.world import LONGEST_S

SOON_MS: Final = 300
"""What is settled is gathered for 100 ms and answered when it is durable there: 0.2 s, and a busy machine."""
ENDS: Final = frozenset({Act.DESTROY, Act.POWER, Act.KILL, Act.FREEZE, Act.PUT_BACK, Act.WIPE})
"""Acts after which a node tells nothing any more."""
LOSES: Final = frozenset({Act.DESTROY, Act.POWER, Act.WIPE})
FORGETS: Final = frozenset({Act.DESTROY, Act.PUT_BACK})
"""Acts after which a node can deliver nothing of what it had."""
COMPARED_MS: Final = 7_500
"""A copy at a shadow that is not in use goes when the two compare, every 5 s and some."""
BEFORE_MS: Final = 30_000
"""No fault lasts longer."""
STALE_MS: Final = 1_500
"""A node's word on its copies is so old at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step as it was done: between two moments of the clock."""

    round: int
    node: str
    act: Act
    what: str
    began_ms: int
    ended_ms: int


class Why(StrEnum):
    """Why somebody got a message twice."""

    UNKNOWN = "unknown"
    UNDISCARDED = "undiscarded"
    IDLE = "undiscarded, copy not at the shadow in use"
    AWAY = "undiscarded, other end away"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One delivery too many."""

    queue_id: str
    recipient: str
    first_by: str
    first_ms: int
    again_by: str
    again_ms: int
    why: Why
    before_loss_ms: int | None = None
    """How long before its node's loss the first was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A promise nobody kept."""

    id: str
    queue_id: str
    recipient: str
    kind: str
    accepted_ms: int
    allowed: bool
    """It was accepted unprotected, as its client let it be, on a machine that was lost."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Every delivery of each (queue id, recipient), in order."""

    of: dict[tuple[str, str], list[Receipt]] = field(default_factory=dict)

    def add(self, receipts: Iterable[Receipt]) -> list[tuple[str, Receipt, Receipt]]:
        """Take receipts; give what they repeat: recipient, the one before, the one again."""
        again = []
        for receipt in receipts:
            for recipient in receipt.recipients:
                had = self.of.setdefault((receipt.queue_id, recipient), [])
                if had:
                    again.append((recipient, had[-1], receipt))
                had.append(receipt)
        return again


def repetition(
    recipient: str, first: Receipt, again: Receipt, *, unknown: bool, done: Sequence[Done], seen: Sequence[Seen] = ()
) -> Repetition:
    """Say why a message was delivered once more; ``unknown``: a journey calls an attempt unknown."""
    before_ms = before_loss_ms(first, again, done)
    within = before_ms is not None and before_ms <= LONGEST_S * 1000 + SOON_MS
    if unknown and (within or broken_off(first, done)):
        why = Why.UNKNOWN
    elif within:
        why = Why.UNDISCARDED
    elif before_ms is not None and before_ms <= COMPARED_MS and idle(first, seen):
        why = Why.IDLE
    else:
        why = Why.AWAY if untold(first, again, done) else Why.UNEXPLAINED
    return Repetition(
        queue_id=first.queue_id, recipient=recipient, first_by=first.sent_by, first_ms=first.at_ms,
        again_by=again.sent_by, again_ms=again.at_ms, why=why, before_loss_ms=before_ms,
    )  # fmt: skip


def before_loss_ms(first: Receipt, again: Receipt, done: Sequence[Done]) -> int | None:
    """Give the time from a delivery to the loss of its node, the first one before it was repeated."""
    own = (each for each in done if each.act in ENDS and each.node == first.sent_by)
    losses = [
        each.began_ms - first.at_ms for each in own if first.at_ms <= each.ended_ms and each.began_ms < again.at_ms
    ]
    return max(0, min(losses)) if losses else None


def idle(first: Receipt, seen: Sequence[Seen]) -> bool:
    """Whether its node copied to more than one shadow while a message waited: its copy may not be at the last one."""
    own = [one for one in seen if one.node == first.sent_by and one.shadow and one.at_ms <= first.at_ms]
    before = [one.shadow for one in own if one.at_ms <= first.accepted_ms][-1:]
    return len({*before, *(one.shadow for one in own if one.at_ms > first.accepted_ms)}) > 1


SESSION: Final = "session"
"""What is cut when a node's session ended for whatever reason; its connections are closed then."""
BREAKS: Final = {
    (Act.CUT, "upstream"): (-1_000, 30_000),
    (Act.MEND, "upstream"): (-1_000, 1_000),
    (Act.CUT, "etcd"): (0, 6_000),
    (Act.CUT, SESSION): (-1_500, 1_500),
    (Act.FILL, ""): (-1_000, 10_000),
}
"""Acts on a node that break attempts off without its loss: from when to when after them, in milliseconds."""


def ended(sessions: Iterable[tuple[str, int]]) -> list[Done]:
    """Give the ends of sessions (node, moment) as steps."""
    return [
        Done(round=-1, node=node, act=Act.CUT, what=SESSION, began_ms=at_ms, ended_ms=at_ms) for node, at_ms in sessions
    ]


def broken_off(first: Receipt, done: Sequence[Done]) -> bool:
    """Whether something kept the node from hearing, or noting, what became of a delivery."""
    own = [each for each in done if each.node == first.sent_by and (each.act, each.what) in BREAKS]
    return any(
        least <= first.at_ms - each.began_ms <= most for each in own for least, most in [BREAKS[each.act, each.what]]
    )


def untold(first: Receipt, again: Receipt, done: Sequence[Done]) -> bool:
    """Whether another fault of the round kept the other end from hearing of a delivery before its node was lost."""
    between = [each for each in done if first.at_ms - BEFORE_MS <= each.began_ms <= again.at_ms]
    losses = {each.round for each in between if each.node == first.sent_by and _loses(each) and _after(each, first)}
    away = {each.round for each in between if _keeps_away(each, first.sent_by)}
    return bool(losses & away)


def _loses(act: Done) -> bool:
    return act.act in ENDS or (act.act is Act.CUT and act.what == "etcd")


def _after(act: Done, first: Receipt) -> bool:
    return act.act not in ENDS or act.ended_ms >= first.at_ms


def _keeps_away(act: Done, node: str) -> bool:
    return (act.act in ENDS and act.node != node) or (act.act is Act.CUT and act.what == "peers")


def lost(
    promises: Mapping[str, Iterable[tuple[str, str, Sequence[str]]]],
    deliveries: Deliveries,
    kept: Collection[str],
    done: Sequence[Done],
    seen: Sequence[Seen],
) -> list[Lost]:
    """Compare promises, by kind (id, queue id, recipients), with what was delivered and what still waits."""
    return [
        Lost(
            id=name, queue_id=queue_id, recipient=recipient, kind=kind, accepted_ms=accepted_ms(queue_id),
            allowed=kind == "preferred" and alone(accepted_ms(queue_id), done, seen),
        )
        for kind, entries in promises.items()
        for name, queue_id, recipients in entries
        for recipient in recipients
        if (queue_id, recipient) not in deliveries.of and queue_id not in kept
    ]  # fmt: skip


def alone(at_ms: int, done: Sequence[Done], seen: Sequence[Seen]) -> bool:
    """Whether a node that lost its disk said, from a moment until then, that mail lay on it alone."""
    losses = [each for each in done if each.act in LOSES and each.ended_ms >= at_ms]
    return any(_never_safe([one for one in seen if one.node == each.node], at_ms, each.began_ms) for each in losses)


def _never_safe(said: Sequence[Seen], at_ms: int, until_ms: int) -> bool:
    near = [one for one in said if abs(one.at_ms - at_ms) <= STALE_MS]
    later = [one for one in said if at_ms + STALE_MS < one.at_ms <= until_ms]
    return any(map(_alone, near)) and all(map(_alone, later))


def _alone(one: Seen) -> bool:
    return bool(one.unprotected or not one.shadow)


def reasons(found: Iterable[Repetition]) -> dict[str, int]:
    counts = Counter(str(one.why) for one in found)
    return {str(why): counts.get(str(why), 0) for why in Why}


def taken_over_s(node: str, at_ms: int, found: Iterable[Takeover]) -> float | None:
    """Give the time from a node's loss until another said that it has its mail, at most a minute."""
    times = [one.at_ms - at_ms for one in found if one.of == node and one.messages]
    return min((ms / 1000 for ms in times if 0 < ms <= 60_000), default=None)


def waited(node: str, at_ms: int, seen: Sequence[Seen]) -> int:
    """Say how much mail waited on a node when it was last looked at, in the few seconds before a moment."""
    said = [one.waiting for one in seen if one.node == node and at_ms - 5_000 <= one.at_ms <= at_ms]
    return said[-1] if said else 0


def begun_ms(node: str, at_ms: int, done: Iterable[Done]) -> int:
    """Say when the life began in which a node was lost; what it had accepted before may be another's already."""
    return max(
        (each.began_ms for each in done if each.node == node and each.act is Act.BOOT and each.began_ms < at_ms),
        default=0,
    )


def resumed_s(node: str, at_ms: int, receipts: Iterable[Receipt], since_ms: int = 0) -> float | None:
    """Give the time from a node's loss to the first delivery, by another, of a message it had accepted."""
    its = (one for one in receipts if one.accepted_by == node and since_ms <= one.accepted_ms < at_ms)
    found = [one.at_ms for one in its if one.sent_by != node and one.at_ms > at_ms]
    return (min(found) - at_ms) / 1000 if found else None
