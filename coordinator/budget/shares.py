"""How a limit of L permits is divided among holders: a pool and shares that move by demand (coordination-review §4).

A record holds ``pool``, ``share/<holder>`` and, in the order of asking, ``want/<holder>``; pool and shares add up to L.
Every function gives the record to write, or the same one when there is nothing to do; whoever writes compares the
revision it read and its own membership. Only *free* permits ever move: one that is out stays counted where it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Record = Mapping[str, int]
POOL = "pool"
SHARE = "share/"
WANT = "want/"
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
    return {POOL: limit}


def checked(record: Record, limit: int) -> Record:
    """Give the record back if it adds up; raises Overdrawn."""
    parts = [count for name, count in record.items() if not name.startswith(WANT)]
    if len(record) > RECORD_MAX or any(count < 0 for count in parts) or sum(parts) != limit:
        raise Overdrawn(f"parts {dict(record)} of a limit of {limit}")
    return record


def share_of(record: Record, holder: str) -> int:
    """Permits this holder has, out or free."""
    return record.get(SHARE + holder, 0)


def waiting(record: Record) -> tuple[str, ...]:
    """Holders that asked and got nothing yet, first come first."""
    asked = sorted((number, name) for name, number in record.items() if name.startswith(WANT))
    return tuple(name.removeprefix(WANT) for _, name in asked)


def lot_of(limit: int) -> int:
    """How many move at once."""
    return max(1, limit * LOT_PERCENT // 100)


def take(record: Record, holder: str, limit: int) -> Moved:
    """A holder with work and no free permit: a lot from the pool, or a place in the queue."""
    lot = min(lot_of(limit), record.get(POOL, 0))
    if lot:
        return Moved(record=_without(_shift(record, POOL, SHARE + holder, lot), WANT + holder), gained=lot)
    if WANT + holder in record:
        return Moved(record=record)
    last = max((number for name, number in record.items() if name.startswith(WANT)), default=0)
    return Moved(record={**record, WANT + holder: last + 1})


def give(record: Record, holder: str, free: int) -> Moved:
    """A holder with free permits while others wait: half of them, at least one, to the first who waits."""
    others = [name for name in waiting(record) if name != holder]
    free = min(free, share_of(record, holder))
    if not others or free <= 0:
        return Moved(record=record)
    lot = max(1, free // 2)
    after = _shift(record, SHARE + holder, SHARE + others[0], lot)
    return Moved(record=_without(after, WANT + others[0]), gained=-lot)


def give_back(record: Record, holder: str, free: int) -> Moved:
    """A holder that was idle or leaves: its free permits to the pool."""
    free = min(free, share_of(record, holder))
    if free <= 0:
        return Moved(record=_without(record, WANT + holder))
    after = _shift(record, SHARE + holder, POOL, free)
    return Moved(record=_without(after, WANT + holder), gained=-free)


def reclaim(record: Record, gone: str) -> Moved:
    """The share of a holder whose session ended ``reclaim_delay_ms`` ago: back to the pool."""
    return Moved(record=_without(_shift(record, SHARE + gone, POOL, share_of(record, gone)), WANT + gone))


def reclaim_delay_ms(settle_ms: int, window_ms: int) -> int:
    """H + W: how long units of a vanished holder may still be counted; from the later of its end and our begin."""
    return settle_ms + window_ms


def resize(record: Record, old: int, new: int) -> Moved:
    """A changed limit: the pool takes the difference as far as it can; shares follow as their holders shrink.

    A lowered limit that the pool cannot bear yet leaves the record unchanged: try again as permits come back.
    """
    pool = record.get(POOL, 0) + new - old
    return Moved(record={**record, POOL: pool}) if pool >= 0 else Moved(record=record)


def _shift(record: Record, source: str, target: str, count: int) -> Record:
    moved = {**record, source: record.get(source, 0) - count}
    moved[target] = moved.get(target, 0) + count
    return {name: number for name, number in moved.items() if number or not name.startswith(SHARE)}


def _without(record: Record, name: str) -> Record:
    return {key: value for key, value in record.items() if key != name}
