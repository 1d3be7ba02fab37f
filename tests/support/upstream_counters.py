"""Slow, obvious twins of the budget arithmetic: an upstream that may count a unit at any moment it likes."""

from bisect import bisect_left
from dataclasses import dataclass


@dataclass
class Span:
    """One unit: counted by the upstream at one moment in [start, end], whichever suits it best."""

    start_ms: int
    end_ms: int
    units: int = 1


def worst_window(spans: list[Span], window_ms: int) -> int:
    """The most units any closed window [t, t + W] can hold: the upstream picks every counting moment against us.

    A unit can be put into a window if its span touches it, so only windows that begin at the end of a span matter.
    """
    worst = 0
    for edge in {span.end_ms for span in spans}:
        inside = sum(span.units for span in spans if span.end_ms >= edge and span.start_ms <= edge + window_ms)
        worst = max(worst, inside)
    return worst


def worst_window_fast(spans: list[Span], window_ms: int) -> int:
    """The same by sorting: units started by the window's end less those ended before its beginning."""
    starts = sorted(span.start_ms for span in spans)
    ends = sorted(span.end_ms for span in spans)
    return max(
        (bisect_left(starts, edge + window_ms + 1) - bisect_left(ends, edge) for edge in ends),
        default=0,
    )


def most_sessions(spans: list[Span]) -> int:
    """The most spans open at one moment (half-open: closing and opening at the same moment do not overlap)."""
    edges = sorted([(span.start_ms, 1) for span in spans] + [(span.end_ms, -1) for span in spans])
    worst = level = 0
    for _, step in edges:
        level += step
        worst = max(worst, level)
    return worst
