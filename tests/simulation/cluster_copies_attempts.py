"""Attempts of hosts of the world `copies`: intent, last look, deed, and whatever is heard of it, or not."""

from dataclasses import replace

from coordinator.ownership import rows
from coordinator.ownership.answers import Mark
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Kind, OnUnknown, Resolution, Row, Stage
from tests.simulation.cluster_copies_retiring import Retirer

REPLY_S, AT_ONCE = 12.0, 4


class Flight:
    """One attempt under way."""

    __slots__ = ("attempt", "sent", "there")

    def __init__(self, attempt: int) -> None:
        self.attempt, self.sent, self.there = attempt, False, False


class Attempter(Retirer):
    """A host that attempts what is its own."""

    # Rows and pairings ------------------------------------------------------------------------------------------------

    def view_of(self, row: Row):
        return self.views.get(row.attached.key) if row.attached else None

    def may_attempt(self, row: Row | None) -> bool:
        return row is not None and rows.may_attempt(row, self.view_of(row), self.me, live=self.live)

    def moving(self, name: str) -> bool:
        return name in self.flights

    def held(self, name: str) -> bool:
        row = self.disk.rows.get(name)
        return row is not None and row.stage is Stage.UNKNOWN and row.on_unknown is OnUnknown.VERIFY

    def change(self, name: str, how, then=None) -> None:
        """Commit a change of one row, if it is there when its turn comes."""

        def what(disk) -> None:
            row = disk.rows.get(name)
            after = how(row) if row is not None else None
            if after is not None and after != row:
                disk.put(name, after)

        self.disk.commit(self, what, then)

    def to(self, node: str, what: str, *about) -> None:
        """A message to another host."""
        target = self.world.hosts[node]
        self.world.send(self.name, node, lambda: getattr(target, what)(self.name, *about) if target.ready else None)

    def other_end(self, key: PairKey) -> str:
        """The node at the other end, whether or not it is there."""
        if key.spool == self.me.spool:
            return key.shadow
        seat = self.seats.with_spool(key.spool)
        return seat.node if seat is not None else ""

    # Attempts ---------------------------------------------------------------------------------------------------------

    def _attempts(self, now_ms: int) -> None:
        if not self.live:
            return
        draining = self.draining
        for name, row in list(self.disk.rows.items()):
            if name in self.flights or name in self.taking or self.rest_ms.get(name, 0) > now_ms:
                continue
            if row.stage is Stage.UNKNOWN:
                self._resolve(name, row)
            elif len(self.flights) < AT_ONCE and not draining and self._waits_for_us(row):
                flight = self.flights[name] = Flight(row.attempt + 1)
                self._later(self.world.random.uniform(0.05, 0.4), name, flight, self._intent)

    def _waits_for_us(self, row: Row) -> bool:
        """``may_attempt`` of whoever has just found its session live."""
        return rows.may_attempt(row, self.view_of(row), self.me, live=True)

    def _later(self, delay: float, name: str, flight: Flight, do) -> None:
        life = self.life
        self.world.after(delay, lambda: life == self.life and self.deliver(
            lambda: do(name, flight) if self.flights.get(name) is flight else None))  # fmt: skip

    def _intent(self, name: str, flight: Flight) -> None:
        if not self.may_attempt(self.disk.rows.get(name)):
            self._abandon(name, flight)
            return

        def intended(row: Row) -> Row | None:
            if not self.may_attempt(row):
                return None
            return replace(row, stage=Stage.SENT, attempt=flight.attempt, by=self.name, intent=True)

        self.change(name, intended, lambda: self._intended(name, flight))
        self._later(2.0, name, flight, self._gave_up)

    def _intended(self, name: str, flight: Flight) -> None:
        row = self.disk.rows.get(name)
        if row is None or row.stage is not Stage.SENT or self.flights.get(name) is not flight:
            self._abandon(name, flight)
        elif rows.asks_first(row, self.view_of(row)):
            self._copy(name, row, self.view_of(row))
        else:
            self.marks[name] = Mark(attempt=flight.attempt, by=self.name, intent=True)
            self._last_look(name, flight)

    def _last_look(self, name: str, flight: Flight) -> None:
        """The last look, and after a moment the deed."""
        row = self.disk.rows.get(name)
        if row is None or flight.sent or self.flights.get(name) is not flight:
            return
        if not rows.may_send(row, self.view_of(row), self.me, live=self.live, intent_there=flight.there):
            self._abandon(name, flight)
            return
        flight.sent = True
        self.world.looked(self, name)
        life = self.life
        self.world.after(self.world.hiccup(), lambda: self._deed(name, flight, life))

    def _deed(self, name: str, flight: Flight, life: int) -> None:
        if life != self.life:
            return
        if self.world.now < self.paused_until:  # frozen between look and deed: looks again when it runs again
            flight.sent = False
            self.deliver(lambda: self._last_look(name, flight) if life == self.life else None)
            return
        self.world.attempted(self, name)
        word = self.world.upstream(self, name)
        if word in {"nothing", "silent"}:
            self._later(REPLY_S, name, flight, self._no_word)
            return
        slow = self.world.random.random() < 0.03
        seconds = self.world.random.uniform(1, 11) if slow else self.world.random.uniform(0.02, 0.6)
        self._later(seconds, name, flight, lambda *_: self._word(name, flight, word))

    def _gave_up(self, name: str, flight: Flight) -> None:
        if not flight.sent:
            self._abandon(name, flight)

    def _abandon(self, name: str, flight: Flight) -> None:
        """Nothing was sent: it waits again."""
        if self.flights.get(name) is flight:
            del self.flights[name]
            self._not_done(name, flight)

    def _not_done(self, name: str, flight: Flight) -> None:
        self.rest_ms[name] = self.now_ms() + int(self.world.random.uniform(500, 3_000))

        def waits(row: Row) -> Row:
            if (row.attempt, row.by) != (flight.attempt, self.name) or not row.intent:
                return row
            stage = Stage.WAITING if row.stage is Stage.SENT or row.kind is not Kind.OWN else row.stage
            return replace(row, stage=stage, intent=False)

        def durable() -> None:
            self.marks[name] = Mark(attempt=flight.attempt, by=self.name, intent=False)

        self.change(name, waits, durable)

    def _word(self, name: str, flight: Flight, word: str) -> None:
        del self.flights[name]
        if word == "later":
            self._not_done(name, flight)
        else:
            self._settle(name, word)

    def _settle(self, name: str, outcome: str) -> None:
        def what(disk) -> None:
            row = disk.rows.get(name)
            if row is not None and outcome in {"never", "reported"}:
                self.world.reported.add(name)
            disk.settle(name, outcome, told=row is None or row.attached is None)

        self.disk.commit(self, what)

    def _no_word(self, name: str, flight: Flight) -> None:
        del self.flights[name]
        self.rest_ms[name] = self.now_ms() + 2_000
        self.change(name, lambda row: replace(row, stage=Stage.UNKNOWN) if row.stage is Stage.SENT else row)

    def _resolve(self, name: str, row: Row) -> None:
        """Its session is live. Rows and views are values: what was decided of the same two need not be asked again."""
        view = self.view_of(row)
        asked_row, asked_view = self.left_alone.get(name, (None, None))
        if asked_row is row and asked_view is view:
            return
        found = rows.resolution(row, view, self.me, live=True)
        if found is None or found is Resolution.HOLD:
            self.left_alone[name] = row, view
            return
        self.rest_ms[name] = self.now_ms() + 3_000
        if found is Resolution.AGAIN:
            self.change(name, lambda r: replace(r, stage=Stage.WAITING) if r.stage is Stage.UNKNOWN else r)
        else:
            self._report(name)

    def _report(self, name: str) -> None:
        def what(disk) -> None:
            row = disk.rows.get(name)
            if row is not None and rows.resolution(row, self.view_of(row), self.me, live=self.live):
                self.world.reported.add(name)
                disk.settle(name, "reported", told=row.attached is None)

        self.disk.commit(self, what)
