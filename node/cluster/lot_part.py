"""The part a node has of a day limit: lots fetched ahead, so that a message never waits for the store."""

from collections.abc import Callable

from coordinator.budget.day_part import DayPart, Write
from coordinator.budget.holding import IDLE_MS
from coordinator.store.contract import Compare, Field, Item, Put
from node.cluster.parts import Moment, Proposal


class LotPart:
    """Day units of one scope on this node."""

    prefixes: tuple[str, ...] = ()

    def __init__(self, key: str, day: DayPart, *, on_more: Callable[[], None]) -> None:
        """``on_more`` is called when units came that somebody was refused for want of."""
        self.keys = (key,)
        self.day = day
        self._on_more = on_more
        self._refused = False
        self._asked_ms = -(1 << 60)
        self._seen: Item | None = None

    @property
    def fault(self) -> str:
        """See Part."""
        return self.day.fault

    def ask(self, units: int, now_ms: int, *, urgent: bool, silent: bool) -> bool:
        """Whether units are at hand; what is missing is fetched."""
        self._asked_ms = max(self._asked_ms, now_ms)
        if units <= self.day.room(now_ms, urgent=urgent, silent=silent):
            return True
        self.day.want(units, urgent=urgent)
        self._refused = True
        return False

    def expect(self, until_ms: int) -> None:
        """Work waits for something else until then: what is at hand is not given back meanwhile."""
        self._asked_ms = max(self._asked_ms, until_ms)

    def begin(self, at: Moment) -> None:
        """See Part."""
        value, revision = (None, 0) if self._seen is None else (self._seen.value, self._seen.mod_revision)
        self.day.adopted(at.session.inc, value, revision)

    def news(self, key: str, item: Item | None, revision: int, at: Moment) -> None:  # noqa: ARG002 - one key only
        """See Part."""
        self._seen = item
        if self.day.inc:
            value, revision = (None, revision) if item is None else (item.value, item.mod_revision)
            self.day.learned(value, revision)
            self._told()

    def proposals(self, at: Moment) -> list[Proposal]:
        """See Part. Quarter hours are read off the wall clock, so an outlier's are nobody's."""
        if not at.clock_fits:
            return []
        write = self.day.next_write(at.now_ms, idle=at.now_ms >= self._asked_ms + IDLE_MS)
        return [] if write is None else [self._proposal(write)]

    def _proposal(self, write: Write) -> Proposal:
        compare = Compare(key=self.keys[0], field=Field.MOD, equals=self.day.revision)
        return Proposal(
            compares=(compare,),
            writes=(Put(key=self.keys[0], value=write.value),),
            sending=lambda: self.day.sending(write),
            done=self._done,
            undone=self._undone,
            refused=self.day.refused,
            unanswered=self.day.unanswered,
        )

    def _done(self, revision: int) -> None:
        self.day.done(revision)
        self._told()

    def _told(self) -> None:
        if self._refused and self.day.free + self.day.spare > 0:
            self._refused = False
            self._on_more()

    def _undone(self, found: dict[str, Item]) -> None:
        item = found.get(self.keys[0])
        self.day.undone(None if item is None else item.value, 0 if item is None else item.mod_revision)
