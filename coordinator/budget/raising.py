"""A day's record of an older copy of the store, raised to what the holders' own ledgers say was used (§5, disaster).

The copy counts everybody's units up to the day it was made, whole lots included; the ledgers count what each holder
used, to this hour, but only of holders that are left. Neither may be forgotten: in each quarter the higher one counts.
What a ledger has in another quarter than the record is counted in both: too much is safe. Pure.
"""

from collections.abc import Iterable, Mapping

import msgspec

from coordinator.budget.day import DAY_MS
from coordinator.budget.day_part import BY, SHOWN_CHARS, is_quarter, read_day
from coordinator.budget.lots import QUARTER_MS, Counts
from coordinator.budget.permits import EDGE_MS
from coordinator.budget.shares import Overdrawn


def together(ledgers: Iterable[Counts]) -> dict[str, int]:
    """Add up what several holders used, by quarter. Raises Overdrawn for what is no start of a quarter, or negative."""
    found: dict[str, int] = {}
    for counts in ledgers:
        for start, units in counts.items():
            if not is_quarter(start) or units < 0:
                raise Overdrawn(f"not a ledger of a day: {start[:SHOWN_CHARS]!r}: {units}")
            found[start] = found.get(start, 0) + units
    return found


def raised(value: bytes | None, floor: Mapping[str, int], now_ms: int, settle_ms: int) -> bytes | None:
    """Give the record to write so that no quarter counts less than *floor*; None: it counts as much already.

    Quarters that have left the day are not written. Raises Overdrawn when the record cannot be read.
    """
    counts, marks = ({}, {}) if value is None else read_day(value)
    edge_ms = now_ms - DAY_MS - settle_ms - EDGE_MS
    missing = {
        start: units
        for start, units in floor.items()
        if units > counts.get(start, 0) and int(start) + QUARTER_MS > edge_ms
    }
    if not missing:
        return None
    return msgspec.json.encode({**counts, **missing, **{BY + name: number for name, number in marks.items()}})
