"""Day limits shared by holders: units reserved in lots, each counted in the quarter hour it was reserved in.

A record maps the start of a quarter hour (wall clock, ms) to units. A lot may be used only while its quarter lasts: a
unit used later would leave the count too early. What is left over is moved to the new quarter (``restamp``) or given
back. A crash wastes at most one lot. Pure (coordination-review §4, §6).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.budget.day import COUNTERS, DAY_MS
from coordinator.budget.permits import EDGE_MS

QUARTER_MS = DAY_MS // COUNTERS
LOT_MAX = 50
LOT_PERMILLE = 5

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Units a holder may use until its quarter hour ends."""

    quarter_ms: int
    units: int

    def usable(self, now_ms: int) -> int:
        """Units that may be used now."""
        return self.units if quarter_of(now_ms) == self.quarter_ms else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A record to write and the lot its writer has once it is written."""

    counts: Counts
    lot: Lot


def quarter_of(now_ms: int) -> int:
    """Start of the quarter hour."""
    return now_ms // QUARTER_MS * QUARTER_MS


def used(counts: Counts, now_ms: int, settle_ms: int) -> int:
    """Units that may be counted in the 24 h before now; the oldest quarter whole, H more at the edge.

    Quarters of the future (another's clock, at most a second ahead) count too.
    """
    edge_ms = now_ms - DAY_MS - settle_ms - EDGE_MS
    return sum(units for start, units in counts.items() if int(start) + QUARTER_MS > edge_ms)


def lot_size(limit: int, left: int, holders: int) -> int:
    """Usual lot min(50, 0.5 % of the limit); one by one when fewer than a lot for everybody remain."""
    usual = max(1, min(LOT_MAX, limit * LOT_PERMILLE // 1_000))
    return usual if left >= usual * max(1, holders) else 1


def reserve(counts: Counts, *, limit: int, need: int, holders: int, now_ms: int, settle_ms: int) -> Reserved | None:
    """Reserve a lot of at least ``need`` units; None when they do not fit."""
    left = limit - used(counts, now_ms, settle_ms)
    units = max(need, min(left, lot_size(limit, left, holders)))
    if need < 1 or units > left:
        return None
    start = quarter_of(now_ms)
    return Reserved(counts=added(counts, start, units, now_ms, settle_ms), lot=Lot(quarter_ms=start, units=units))


def restamp(counts: Counts, lot: Lot, now_ms: int, settle_ms: int) -> Reserved:
    """Move what is left of a lot into the present quarter, so that it may be used again; adds no units."""
    start = quarter_of(now_ms)
    moved = dict(counts)
    moved[str(lot.quarter_ms)] = max(0, moved.get(str(lot.quarter_ms), 0) - lot.units)
    after = added(moved, start, lot.units, now_ms, settle_ms)
    return Reserved(counts=after, lot=Lot(quarter_ms=start, units=lot.units))


def give_back(counts: Counts, lot: Lot) -> Counts:
    """Take unused units off again."""
    key = str(lot.quarter_ms)
    return {**counts, key: max(0, counts.get(key, 0) - lot.units)}


def added(counts: Counts, start: int, units: int, now_ms: int, settle_ms: int) -> Counts:
    """Add units, and forget quarters that left the window: a record has at most ``COUNTERS + 3`` entries."""
    edge_ms = now_ms - DAY_MS - settle_ms - EDGE_MS
    kept = {key: count for key, count in counts.items() if count and int(key) + QUARTER_MS > edge_ms}
    kept[str(start)] = kept.get(str(start), 0) + units
    return kept
