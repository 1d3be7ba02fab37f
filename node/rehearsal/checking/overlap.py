"""How much could have been counted at once: overlap of weighted intervals, with those that make it up. Pure.

Each interval runs from the first moment something may be counted to the moment it certainly counts no more. Counted
anew here, without the simulator's own meters, so that either shows a fault of the other.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 50
"""Members of an overlap kept as evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """``[from_ms, to_ms)`` with its weight."""

    from_ms: float
    to_ms: float
    name: str
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A moment at which there was more than allowed."""

    at_ms: float
    level: int
    names: tuple[str, ...]
    """The one that came last is the last; at most ``SHOWN``."""


def crowds(intervals: Iterable[Interval], limit: int) -> tuple[int, list[Crowd]]:
    """Give the greatest overlap, and each beginning that lifted it above ``limit``."""
    ends: list[tuple[float, int, Interval]] = []
    level = worst = 0
    found: list[Crowd] = []
    for number, one in enumerate(sorted(intervals, key=lambda each: each.from_ms)):
        while ends and ends[0][0] <= one.from_ms:
            level -= heapq.heappop(ends)[2].weight
        heapq.heappush(ends, (one.to_ms, number, one))
        level += one.weight
        worst = max(worst, level)
        if level > limit and one.weight:
            found.append(Crowd(at_ms=one.from_ms, level=level, names=_names([each for _, _, each in ends])))
    return worst, found


def _names(together: Sequence[Interval]) -> tuple[str, ...]:
    ordered = sorted((one for one in together if one.weight), key=lambda each: each.from_ms)
    return tuple(one.name for one in ordered[-SHOWN:])
