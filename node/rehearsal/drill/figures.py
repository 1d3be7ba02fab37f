"""Figures of a drill: gaps, takeovers, series for the plots. Pure.

They come from the ledger, the history and what was looked at. All times are milliseconds since the epoch.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The cluster at a moment, as it says itself; good for plots and for waiting, never for the verdict."""

    at_ms: float
    asked_ms: float = 0.0
    """When the nodes were last asked for what follows the holder."""
    holder: str = ""
    """Where clients are led; empty: nowhere."""
    leader: str = ""
    """Node whose member leads etcd."""
    ready: tuple[str, ...] = ()
    unprotected: int = 0
    """Messages known to lie on one machine only."""
    waiting: int = 0
    """Recipients not delivered yet."""
    troubles: tuple[str, ...] = ()
    """What keeps the cluster from being whole."""


def gap_ms(moments: Sequence[float], from_ms: float, to_ms: float) -> float:
    """Give the longest pause between two moments that reaches into a span; ``moments`` are sorted.

    A pause that is not over at the end of the span counts up to there.
    """
    inside = [at for at in moments if from_ms <= at <= to_ms]
    before = max((at for at in moments if at < from_ms), default=from_ms)
    return max((later - sooner for sooner, later in pairwise([before, *inside, to_ms])), default=0.0)


def takeover_ms(looks: Iterable[Look], node: str, from_ms: float, to_ms: float) -> float | None:
    """Give the time from a moment until clients are led to another node than this; None: that did not happen."""
    found = (one.at_ms for one in looks if from_ms <= one.at_ms <= to_ms and one.holder not in ("", node))
    first = next(iter(found), None)
    return None if first is None else first - from_ms


def per_second(moments: Iterable[float], from_ms: float, to_ms: float) -> list[int]:
    """Count moments in each second of a span."""
    counts = Counter(int((at - from_ms) // 1000) for at in moments if from_ms <= at <= to_ms)
    return [counts.get(second, 0) for second in range(int((to_ms - from_ms) // 1000) + 1)]


def holders(looks: Sequence[Look], to_ms: float) -> list[tuple[str, float, float]]:
    """Give who held the address from when to when; looks that say the same are one span."""
    spans: list[tuple[str, float, float]] = []
    for one, following in zip(looks, [*[each.at_ms for each in looks[1:]], to_ms], strict=True):
        if spans and spans[-1][0] == one.holder:
            spans[-1] = (one.holder, spans[-1][1], following)
        else:
            spans.append((one.holder, one.at_ms, following))
    return spans
