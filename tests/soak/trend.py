"""Does a row of samples grow: a slope that single samples cannot bend, and what counts as growth. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

SIGMA = 1.4826
"""From the median of absolute deviations to the standard deviation of a normal distribution."""
NOISE_SIGMAS = 2.0
PAIRS_FROM = 400
"""More samples are thinned out evenly: their pairs would be too many."""
LEAST = 8
"""Fewer samples decide nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What the samples of one measure of one process say."""

    first: float
    last: float
    grew: float
    """By the slope, over the whole time."""
    per_hour: float
    noise: float
    allowed: float
    """What it may grow over the whole time, noise included."""

    @property
    def flat(self) -> bool:
        return self.grew <= self.allowed


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen: the median of the slopes of all pairs; a single leap in a row of hundred leaves it as it is."""
    thinned = samples[:: max(1, len(samples) // PAIRS_FROM)]
    found = [(later[1] - one[1]) / (later[0] - one[0]) for one, later in combinations(thinned, 2) if later[0] > one[0]]
    return median(found) if found else 0.0


def trend(samples: Sequence[tuple[float, float]], *, per_hour: float, at_once: float) -> Trend | None:
    """Judge ``(seconds, value)``: ``per_hour`` and ``at_once`` are allowed beyond the noise. None: too few to judge."""
    if len(samples) < LEAST:
        return None
    steep, span_s = slope(samples), samples[-1][0] - samples[0][0]
    middle = median(value - steep * at for at, value in samples)
    noise = SIGMA * median(abs(value - steep * at - middle) for at, value in samples)
    return Trend(
        first=samples[0][1], last=samples[-1][1], grew=steep * span_s, per_hour=steep * 3600, noise=noise,
        allowed=NOISE_SIGMAS * noise + at_once + per_hour * span_s / 3600,
    )  # fmt: skip


def steps(samples: Sequence[tuple[float, float]], from_s: float) -> list[tuple[float, float]]:
    """Leave out what came before: caches fill, and Python takes its memory."""
    return [sample for sample in samples if sample[0] >= from_s]
