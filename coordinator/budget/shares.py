"""How a limit of L permits is divided among holders: a pool and shares that move by demand (coordination-review §4).

A record holds ``limit``, ``pool``, ``share/<holder>`` and, in the order of asking, ``want/<holder>``, or
``urgent/<holder>`` for work that goes first; pool and shares add up to the record's own limit.
``moved/<giver>/<taker>`` counts what two holders ever moved between them while the store was silent, so that either
may write it down, once.
Every function gives the record to write, or the same one when there is nothing to do; whoever writes compares the
revision it read and its own membership. Only *free* permits ever move: one that is out stays counted where it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Record = Mapping[str, int]
POOL = "pool"
SHARE = "share/"
WANT = "want/"
URGENT = "urgent/"
MOVED = "moved/"
LIMIT = "limit"
LOT_PERCENT = 20
"""One move from the pool: this part of the limit, at least one."""
RECORD_MAX = 1_000
"""Entries of a record that is still believed."""


class Overdrawn(ValueError):  # noqa: N818 - a state of affairs
    """The record's parts do not add up to the limit, or one is negative: nobody moves anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A record to write, and how many permits its writer has more (or fewer) once it is written."""

    record: Record
    gained: int = 0


def fresh(limit: int) -> Record:
    """Everything in the pool."""
    return {LIMIT: limit, POOL: limit}


def checked(record: Record, limit: int) -> Record:
    """Give the record back if it adds up to its own limit (``limit`` if it names none); raises Overdrawn."""
    if len(record) > RECORD_MAX:
        raise Overdrawn(f"{len(record)} entries, at most {RECORD_MAX} are believed")
    unknown = [name for name in record if not (name in {LIMIT, POOL} or name.startswith((SHARE, WANT, URGENT, MOVED)))]
    if unknown:
        raise Overdrawn(f"entries of an unknown form: {unknown[:3]}")
    parts = [count for name, count in record.items() if name == POOL or name.startswith(SHARE)]
    if any(count < 0 for count in record.values()) or sum(parts) != size_of(record, limit):
        raise Overdrawn(f"parts {dict(record)} of a limit of {size_of(record, limit)}")
    return record


def size_of(record: Record, limit: int) -> int:
    """The limit the record adds up to; another than the one in force until somebody resizes it."""
    return record.get(LIMIT, limit)


def share_of(record: Record, holder: str) -> int:
    """Permits this holder has, out or free."""
    return record.get(SHARE + holder, 0)


def waiting(record: Record) -> tuple[str, ...]:
    """Holders that asked and got nothing yet, first come first."""
    asked = sorted((number, name) for name, number in record.items() if name.startswith(WANT))
    return tuple(name.removeprefix(WANT) for _, name in asked)


def urgently_waiting(record: Record) -> tuple[str, ...]:
    """Holders with work that goes first and nothing for it, first come first."""
    asked = sorted((number, name) for name, number in record.items() if name.startswith(URGENT))
    return tuple(name.removeprefix(URGENT) for _, name in asked)


def holders(record: Record) -> frozenset[str]:
    """Everybody with a share or a place in the queue."""
    return frozenset(
        name.partition("/")[2]
        for name, number in record.items()
        if name.startswith((WANT, URGENT)) or (name.startswith(SHARE) and number)
    )


def lot_of(limit: int) -> int:
    """How many move at once."""
    return max(1, limit * LOT_PERCENT // 100)


def take(record: Record, holder: str, limit: int) -> Moved:
    """A holder with work and no free permit: a lot from the pool, or a place in the queue."""
    lot = min(lot_of(limit), record.get(POOL, 0))
    if lot:
        return Moved(record=_waits_no_more(_shift(record, POOL, SHARE + holder, lot), holder), gained=lot)
    return ask(record, holder)


def give(record: Record, holder: str, free: int) -> Moved:
    """A holder with free permits while others wait: half of them, at least one, to the first who waits."""
    others = [name for name in waiting(record) if name != holder]
    free = min(free, share_of(record, holder))
    if not others or free <= 0:
        return Moved(record=record)
    return hand(record, holder, others[0], max(1, free // 2))


def hand(record: Record, giver: str, taker: str, count: int) -> Moved:
    """Permits of one holder to another, who then waits no longer."""
    count = min(count, share_of(record, giver))
    after = _shift(record, SHARE + giver, SHARE + taker, count)
    return Moved(record=_without(_without(after, WANT + taker), URGENT + taker), gained=-count)


def ask(record: Record, holder: str, *, urgent: bool = False) -> Moved:
    """A place at the end of the queue; the same record if there is one already."""
    queue = URGENT if urgent else WANT
    if queue + holder in record:
        return Moved(record=record)
    last = max((number for name, number in record.items() if name.startswith(queue)), default=0)
    return Moved(record={**record, queue + holder: last + 1})


def settle_moved(record: Record, giver: str, taker: str, total: int) -> Record:
    """Write down what two holders moved without the store, up to their running ``total``; once, whoever writes it."""
    name = f"{MOVED}{giver}/{taker}"
    if total <= record.get(name, 0):
        return record
    return {**_shift(record, SHARE + giver, SHARE + taker, unwritten(record, giver, taker, total)), name: total}


def unwritten(record: Record, giver: str, taker: str, total: int) -> int:
    """Permits moved without the store that a record does not show yet; none of a share taken back meanwhile."""
    return max(0, min(total - record.get(f"{MOVED}{giver}/{taker}", 0), share_of(record, giver)))


def give_back(record: Record, holder: str, free: int) -> Moved:
    """A holder that was idle or leaves: its free permits to the pool."""
    free = min(free, share_of(record, holder))
    if free <= 0:
        return Moved(record=_waits_no_more(record, holder))
    after = _shift(record, SHARE + holder, POOL, free)
    return Moved(record=_waits_no_more(after, holder), gained=-free)


def reclaim(record: Record, gone: str) -> Moved:
    """The share of a holder whose session ended ``reclaim_delay_ms`` ago: back to the pool."""
    return Moved(record=_waits_no_more(_shift(record, SHARE + gone, POOL, share_of(record, gone)), gone))


def reclaim_delay_ms(settle_ms: int, window_ms: int) -> int:
    """H + W: how long units of a vanished holder may still be counted; from the later of its end and our begin."""
    return settle_ms + window_ms


def resize(record: Record, old: int, new: int) -> Moved:
    """A changed limit: the pool takes the difference as far as it can; shares follow as their holders shrink.

    A lowered limit that the pool cannot bear yet leaves the record unchanged: try again as permits come back.
    """
    pool = record.get(POOL, 0) + new - old
    if pool < 0:
        return Moved(record=record)
    named = {LIMIT: new} if LIMIT in record else {}
    return Moved(record={**record, **named, POOL: pool})


def _shift(record: Record, source: str, target: str, count: int) -> Record:
    moved = {**record, source: record.get(source, 0) - count}
    moved[target] = moved.get(target, 0) + count
    return {name: number for name, number in moved.items() if number or not name.startswith(SHARE)}


def _waits_no_more(record: Record, holder: str) -> Record:
    return _without(_without(record, WANT + holder), URGENT + holder)


def _without(record: Record, name: str) -> Record:
    return {key: value for key, value in record.items() if key != name}
