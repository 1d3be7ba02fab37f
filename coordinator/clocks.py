"""How far this host's wall clock is from the others', and what follows (coordination-review §6, operations A12). Pure.

Only what counts by the wall clock of several machines depends on it: counters of a day. Offsets are *theirs minus
ours*, each with the error its measurement leaves. A node is an outlier if the median of all clocks heard, its own
among them, is surely more than a second away; then it reserves no day budget. Too few clocks, or clocks that agree on
nothing, are an alarm and wider margins only. The node whose clock is the median is never an outlier, so whatever the
clocks say, never all nodes stop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_low
from typing import Final

BOUND_MS: Final = 1_000
"""Clocks may differ so much; everything that counts by them allows for it."""
BACK_MS: Final = 800
"""An outlier must come so near to count as one of the others again."""
ERROR_MAX_MS: Final = 1_000
"""A reading less exact than this says nothing."""
FRESH_MS: Final = 180_000
"""A reading older than this says nothing."""
MARGIN_MAX_MS: Final = 900_000
DATE_GRAIN_MS: Final = 1_000
"""A ``Date`` header says whole seconds, cut."""

GRAIN_MS: Final = 2
"""Every figure is cut to whole milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One comparison with another clock: the truth is within ``error_ms`` of ``offset_ms`` (theirs minus ours)."""

    source: str
    """A node's name, or whatever else tells the time; one vote each."""
    offset_ms: int
    error_ms: int
    taken_ms: int
    """Boot-time clock."""

    @property
    def least_ms(self) -> int:
        """The smallest offset it allows."""
        return self.offset_ms - self.error_ms

    @property
    def most_ms(self) -> int:
        """The largest offset it allows."""
        return self.offset_ms + self.error_ms


def reading(source: str, *, sent_ms: int, took_ms: int, got_ms: int, answered_ms: int, taken_ms: int) -> Reading | None:
    """Read a question and its answer.

    ``sent_ms``: our clock at the sending; ``took_ms``: how long we waited, by a clock nobody sets; ``got_ms`` and
    ``answered_ms``: their clock at the receipt and at the answer. None when the figures cannot be: an answer before
    its question, or longer in work than we waited.
    """
    under_way_ms = took_ms - (answered_ms - got_ms)
    if took_ms < 0 or answered_ms < got_ms or under_way_ms < 0:
        return None
    return _between(source, answered_ms - (sent_ms + took_ms), got_ms - sent_ms, taken_ms)


def reading_of_date(source: str, *, date_ms: int, sent_ms: int, took_ms: int, taken_ms: int) -> Reading | None:
    """Read a ``Date`` header: made at some moment between sending and answer, and cut to the second."""
    if took_ms < 0:
        return None
    return _between(source, date_ms - (sent_ms + took_ms), date_ms + DATE_GRAIN_MS - sent_ms, taken_ms)


def _between(source: str, least_ms: int, most_ms: int, taken_ms: int) -> Reading:
    offset_ms = (least_ms + most_ms) // 2
    error_ms = max(most_ms - offset_ms, offset_ms - least_ms) + GRAIN_MS
    return Reading(source=source, offset_ms=offset_ms, error_ms=error_ms, taken_ms=taken_ms)


class Standing(StrEnum):
    """What the clocks say of this node."""

    FINE = "fine"
    OUTLIER = "outlier"
    """Surely off the median: reserves no day budget."""
    NO_MAJORITY = "no_majority"
    """Nobody can say: an alarm, and wider margins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement in force."""

    standing: Standing
    offset_ms: int = 0
    """The median clock minus ours, as far as known."""
    heard: int = 0
    """Other clocks heard."""

    @property
    def reserves(self) -> bool:
        """Whether this node may reserve from counters of a day."""
        return self.standing is not Standing.OUTLIER

    @property
    def margin_ms(self) -> int:
        """By how much longer to count what leaves a window: nothing while fine, else what the clocks may be apart."""
        if self.standing is Standing.FINE:
            return 0
        return min(max(abs(self.offset_ms), BOUND_MS), MARGIN_MAX_MS)


UNKNOWN: Final = Verdict(standing=Standing.NO_MAJORITY)
"""Before anything was heard."""
ALONE: Final = Verdict(standing=Standing.FINE)
"""Of a single node, whose counters nobody else adds to."""


def usable(readings: Iterable[Reading], now_ms: int) -> tuple[Reading, ...]:
    """Give the readings that say something now, the last of each source."""
    last: dict[str, Reading] = {}
    for each in readings:
        if now_ms - each.taken_ms <= FRESH_MS and each.error_ms <= ERROR_MAX_MS:
            last[each.source] = each
    return tuple(last.values())


def judge(readings: Sequence[Reading], *, nodes: int, now_ms: int, before: Verdict = UNKNOWN) -> Verdict:
    """Judge this node by the clocks it heard. ``nodes``: how many the cluster has, this one among them."""
    heard = usable(readings, now_ms)
    votes = len(heard) + 1
    bound_ms = BACK_MS if before.standing is Standing.OUTLIER else BOUND_MS
    ahead = sum(each.least_ms > bound_ms for each in heard)
    behind = sum(each.most_ms < -bound_ms for each in heard)
    median_ms = median_low([0, *(each.offset_ms for each in heard)])
    if votes < nodes // 2 + 1:
        standing = Standing.NO_MAJORITY
    elif 2 * max(ahead, behind) > votes:
        standing = Standing.OUTLIER
    elif 2 * (votes - ahead - behind) > votes or votes == 1:
        standing = Standing.FINE
    else:
        standing = Standing.NO_MAJORITY
    return Verdict(standing=standing, offset_ms=median_ms, heard=len(heard))
