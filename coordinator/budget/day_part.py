"""One holder's part of a shared day limit: units reserved in lots ahead of use, all standing in one quarter hour (§4).

The record counts units by quarter hour (lots.py) and, as ``by/<holder>``, the number of the last write of each holder,
so that a write whose answer was lost is recognised in any later record. All units of this holder that are not yet
used and answered for (``free``, ``open``, ``late``) stand in the quarter ``stamp``; every write moves them to the
present quarter, so a unit is never used long after the quarter it is counted in. A minute before a quarter ends its
units move to the next one: counted later than used is safe, and nobody waits at the turn of a quarter.

Not a value but a small machine, as permits.py is: asked at every unit. Pure: handed ``now_ms``, the wall clock.
"""

from dataclasses import dataclass

import msgspec

from coordinator.budget import lots
from coordinator.budget.day import DAY_MS
from coordinator.budget.lots import Counts, Lot
from coordinator.budget.permits import EDGE_MS
from coordinator.budget.shares import Overdrawn

AHEAD_MS = 60_000
"""So long before a quarter ends its units are moved to the next."""
STOCK_LOTS = 9
"""Lots at hand while plenty is left: two thirds of them last one node for ten silent minutes at 30 a minute."""
PLENTY = 4
"""Plenty: so many stocks for everybody. A stock is smaller where less is left, and one lot at least."""
RECORD_MAX = 1_000
DIGITS_MAX = 16
"""Of a moment in milliseconds."""
SHOWN_CHARS = 40
BY = "by/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A record to write, and what it changes here once it has happened."""

    value: bytes
    number: int
    stamp: int
    gained: int
    spare: int
    late: int


class DayPart:
    """What one holder has of one day limit."""

    __slots__ = (
        "_counts", "_marks", "_sent", "_settle_ms", "doubt", "fault", "free", "holder", "holders", "inc", "kept",
        "known", "late", "limit", "open", "revision", "spare", "stamp", "wanted", "wanted_urgent",
    )  # fmt: skip

    def __init__(self, *, holder: str, limit: int, settle_ms: int, kept: int = 0) -> None:
        """``kept``: units of the limit that only urgent work may use."""
        self.holder, self.limit, self.kept = holder, limit, kept
        self.holders = 1
        """How many share the limit: decides how small lots become near its end."""
        self.inc = self.revision = 0
        self.known = self.doubt = False
        self.fault = ""
        self.stamp = self.free = self.spare = self.open = self.late = 0
        self.wanted = self.wanted_urgent = 0
        self._settle_ms = settle_ms
        self._counts: Counts = {}
        self._marks: dict[str, int] = {}
        self._sent: Write | None = None

    # -- units

    def room(self, now_ms: int, *, urgent: bool = False, silent: bool = False) -> int:
        """Units that may be reserved here now. ``silent``: also of a quarter that is over, the store being silent."""
        if not silent and self.stamp < lots.quarter_of(now_ms):
            return 0
        return self.free + self.spare * urgent

    def take(self, units: int) -> None:
        """Reserve units there is room for."""
        first = min(units, self.free)
        self.free -= first
        self.spare -= units - first
        self.open += units

    def want(self, units: int, *, urgent: bool) -> None:
        """Remember what there was no room for: the next write fetches it."""
        if urgent:
            self.wanted_urgent = max(self.wanted_urgent, units)
        else:
            self.wanted = max(self.wanted, units)

    def settle(self, reserved: int, used: int, now_ms: int) -> None:
        """Of ``reserved`` units ``used`` were used and answered now; the rest may be used again."""
        self.open -= reserved
        self.free += reserved - used
        if self.stamp + lots.QUARTER_MS <= now_ms:
            self.late += used

    @property
    def counts(self) -> Counts:
        """Units by start of their quarter, by the newest record."""
        return self._counts

    def used(self, now_ms: int) -> int:
        """Units of everybody that may be counted, by the newest record; what lies at hand included."""
        return lots.used(self._counts, now_ms, self._settle_ms)

    def left(self, now_ms: int, *, urgent: bool = False) -> int:
        """Units the record has room for."""
        return self.limit - (0 if urgent else self.kept) - self.used(now_ms)

    def free_at_ms(self, units: int, now_ms: int, *, urgent: bool = False) -> int:
        """When so many can be had: now while the record has room, else as quarters leave it."""
        missing = units - self.left(now_ms, urgent=urgent) - self.room(now_ms, urgent=urgent)
        if missing <= 0:
            return now_ms
        edge_ms = DAY_MS + self._settle_ms + lots.QUARTER_MS + EDGE_MS
        for start in sorted(map(int, self._counts)):
            missing -= self._counts[str(start)]
            if missing <= 0:
                return max(now_ms, start + edge_ms)
        return now_ms + edge_ms

    # -- what the store says

    def adopted(self, inc: int, value: bytes | None, revision: int) -> None:
        """Take the key's state as of the begin of session ``inc`` or later: no earlier write can still happen.

        News may have overtaken that reading; what they told is then as good and newer.
        """
        self.inc = inc
        if value is not None and revision < self.revision:
            self._settled(happened=False)  # what happened of it, the news told
        else:
            self._taken(value, max(revision, self.revision))

    def learned(self, value: bytes | None, revision: int) -> None:
        """Take news; older ones change nothing. A record written since says by its mark whether ours happened."""
        if revision > self.revision:
            self._taken(value, revision)

    def _taken(self, value: bytes | None, revision: int) -> None:
        if value is None and not self.known and not self.revision:
            self._settled(happened=False)
            self.fault = ""
            return
        try:
            counts, marks = read_day(value)
        except Overdrawn as error:
            self._settled(happened=None)
            self.fault, self.revision = str(error), revision
            return
        self._counts, self._marks, self.revision, self.fault, self.known = counts, marks, revision, "", True
        self._settled(happened=self._sent is not None and marks.get(self.holder, 0) == self._sent.number)

    def _settled(self, *, happened: bool | None) -> None:
        """None: nobody can know any more; then units gained are not there and units given back are gone."""
        sent, self._sent, self.doubt = self._sent, None, False
        if sent is None:
            return
        if happened:
            self.free += max(0, sent.gained)
            self.spare += max(0, sent.spare)
            self.late = max(0, self.late - sent.late)
            self.stamp = sent.stamp
        elif happened is False:
            self.free -= min(0, sent.gained)
            self.spare -= min(0, sent.spare)

    # -- what to write

    def next_write(self, now_ms: int, *, idle: bool) -> Write | None:
        """The record to write on ``revision``, or None."""
        if not self.inc or self.fault:
            return None
        if self._sent is not None:
            # The write nobody answered may still happen: the very same again, so that only one of the two can.
            return self._sent if self.doubt else None
        idle = idle and not (self.wanted or self.wanted_urgent)
        target = lots.quarter_of(now_ms + AHEAD_MS)
        stale = self.free + self.spare + self.open + self.late > 0 and self.stamp < target
        back = idle and self.free + self.spare > 0
        low = self.wanted or self.wanted_urgent or (not idle and self.free < self._stock(now_ms) * 2 // 3)
        return self._write(now_ms, target, idle=idle) if stale or back or low else None

    def _write(self, now_ms: int, target: int, *, idle: bool) -> Write | None:
        lot = Lot(quarter_ms=self.stamp, units=self.free + self.spare + self.open + self.late)
        counts = lots.restamp(self._counts, lot, target, self._settle_ms).counts
        if idle:
            gained, spare = -self.free, -self.spare
            counts = lots.give_back(counts, Lot(quarter_ms=target, units=self.free + self.spare))
        else:
            need = max(self.wanted, self._stock(now_ms)) - self.free
            counts, gained = self._reserved(counts, target, now_ms, self.limit - self.kept, need)
            need = self.wanted_urgent - self.free - self.spare - gained
            counts, spare = self._reserved(counts, target, now_ms, self.limit, need)
        self.wanted = self.wanted_urgent = 0
        counts = {start: units for start, units in counts.items() if units}
        if counts == self._counts:
            return None
        number = self._marks.get(self.holder, 0) + 1
        marks = {BY + name: at for name, at in {**self._marks, self.holder: number}.items()}
        value = msgspec.json.encode({**counts, **marks})
        return Write(value=value, number=number, stamp=target, gained=gained, spare=spare, late=self.late)

    def _reserved(self, counts: Counts, target: int, now_ms: int, limit: int, need: int) -> tuple[Counts, int]:
        units = min(need, limit - lots.used(counts, now_ms, self._settle_ms))
        return (lots.added(counts, target, units, now_ms, self._settle_ms), units) if units > 0 else (counts, 0)

    def _stock(self, now_ms: int) -> int:
        """How many to have at hand."""
        left = self.left(now_ms)
        lot = lots.lot_size(self.limit, left, self.holders)
        stock = max(1, min(STOCK_LOTS, left // max(1, lot * PLENTY * self.holders)))
        return min(lot * stock, left)

    # -- what becomes of it

    def sending(self, write: Write) -> None:
        """Just before it is sent: what it gives back is gone from here, what it gains comes once it has happened."""
        if self._sent is not write:
            self._sent = write
            self.free += min(0, write.gained)
            self.spare += min(0, write.spare)

    def done(self, revision: int) -> None:
        """It happened at ``revision``."""
        if self._sent is not None and revision > self.revision:
            self._taken(self._sent.value, revision)

    def undone(self, value: bytes | None, revision: int) -> None:
        """It did not: the key's present state; the one we knew if something else did not hold."""
        if revision > self.revision:
            self._taken(value, revision)
        elif value is None and self.known and not revision:
            self._settled(happened=None)
            self.fault = "the record is gone though units are counted in it"
        else:
            self.refused()

    def refused(self) -> None:
        """It was not carried out; an earlier try of the same write may still be."""
        if not self.doubt:
            self._settled(happened=False)

    def unanswered(self) -> None:
        """Nobody said whether it happened."""
        self.doubt = self._sent is not None


def read_day(value: bytes | None) -> tuple[Counts, dict[str, int]]:
    """Give a record's counts and marks. Raises Overdrawn for what is no such record."""
    if value is None:
        raise Overdrawn("the record is gone though units are counted in it")
    try:
        record = msgspec.json.decode(value, type=dict[str, int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Overdrawn(f"not a record of a day: {error}") from None
    counts = {name: units for name, units in record.items() if not name.startswith(BY)}
    wrong = [name[:SHOWN_CHARS] for name in counts if not is_quarter(name)]
    if wrong or len(record) > RECORD_MAX or any(units < 0 for units in record.values()):
        raise Overdrawn(f"not a record of a day: {wrong[:3] or dict(list(record.items())[:3])}")
    return counts, {name.removeprefix(BY): number for name, number in record.items() if name.startswith(BY)}


def is_quarter(name: str) -> bool:
    """Whether a name is the beginning of a quarter hour; thousands of digits would be no number Python reads."""
    plain = name.isascii() and name.isdecimal() and len(name) <= DIGITS_MAX
    return plain and not int(name) % lots.QUARTER_MS
