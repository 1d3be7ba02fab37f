"""What hosts of the world `copies` do with rows: take in, copy, attempt, settle, tell, compare.

Nothing is acted upon before it is on disk: every change is a commit, and what follows is its continuation.
"""

from dataclasses import replace
from functools import partial

from coordinator.ownership import answers, moves, rows
from coordinator.ownership.answers import Answer, Mark
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Kind, OnUnknown, Resolution, Row, Stage
from coordinator.ownership.views import State
from tests.simulation.cluster_copies import Member

FLUSH_MS, ASK_MS, PROTECT_MS, WAIT_S, AT_ONCE = 100, 3_000, 1_000, 0.5, 4
REPLY_S = 12.0
KNOWN = {"done", "reported", "aborted", "never"}


class Flight:
    """One attempt under way."""

    __slots__ = ("attempt", "sent", "there")

    def __init__(self, attempt: int) -> None:
        self.attempt, self.sent, self.there = attempt, False, False


class Taking:
    """One row being taken in."""

    __slots__ = ("here", "required", "there")

    def __init__(self, *, required: bool) -> None:
        self.required, self.here, self.there = required, False, False


class Host(Member):
    """One machine."""

    def begin(self) -> None:
        super().begin()
        self.flights: dict[str, Flight] = {}
        self.taking: dict[str, Taking] = {}
        self.rest_ms: dict[str, int] = {}
        self.copied_ms: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}
        self.told_ms: dict[str, int] = {}
        self.next_flush_ms = self.next_ask_ms = self.next_protect_ms = 0

    def work(self) -> None:
        super().work()
        now_ms = self.now_ms()
        if not self.ready:
            return
        if now_ms >= self.next_flush_ms:
            self.next_flush_ms = now_ms + FLUSH_MS
            self._flush(now_ms)
        if now_ms >= self.next_protect_ms:
            self.next_protect_ms = now_ms + PROTECT_MS
            self._protect(now_ms)
        if now_ms >= self.next_ask_ms:
            self.next_ask_ms = now_ms + ASK_MS
            self._ask()
        self._attempts(now_ms)

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

    # Taking in --------------------------------------------------------------------------------------------------------

    def arrive(self, name: str, policy: OnUnknown, *, required: bool) -> None:
        if not self.judged or self.stopped or self.draining:
            return
        view = self.target()
        if view is None and required:
            return
        attached = Attached(key=view.key, epoch=view.epoch) if view else None
        row = Row(on_unknown=policy, attached=attached)
        taking = self.taking[name] = Taking(required=required)
        self.world.policies[name] = policy
        self.world.note(f"{self.name} takes {name} under {attached and attached.key.shadow}")

        def durable() -> None:
            taking.here = True
            self._say(name)

        self.disk.commit(self, lambda disk: disk.put(name, row), durable)
        if view is not None:
            self._copy(name, row, view)
        life = self.life
        self.world.after(WAIT_S, lambda: life == self.life and self.deliver(partial(self._waited, name)))

    def _say(self, name: str) -> None:
        """250 once it is durable here and there."""
        taking, row = self.taking.get(name), self.disk.rows.get(name)
        if taking is None or not taking.here:
            return
        twice = row is not None and row.attached is not None and taking.there
        if twice or (row is not None and row.attached is None and not taking.required):
            del self.taking[name]
            self.world.answer(name, twice=twice)

    def _waited(self, name: str) -> None:
        taking = self.taking.get(name)
        if taking is None:
            return
        if not taking.here:
            life = self.life
            self.world.after(0.2, lambda: life == self.life and self.deliver(partial(self._waited, name)))
        elif taking.required:
            del self.taking[name]  # 451, and nothing of it may stay
            self.disk.commit(self, lambda disk: disk.settle(name, "aborted", told=False))
        else:
            del self.taking[name]
            self.world.answer(name, twice=False)

    # Copies -----------------------------------------------------------------------------------------------------------

    def _copy(self, name: str, row: Row, view) -> None:
        node = self.other_end(view.key)
        self.copied_ms[name] = self.now_ms()
        if node:
            disk = view.pairing.copy if view.key.spool == self.me.spool else view.key.spool
            self.to(node, "copied", name, row, disk)

    def copied(self, sender: str, name: str, row: Row, copy: str) -> None:
        view = self.view_of(row)
        known = self.disk.settled.get(name)
        if known is not None and known.outcome in KNOWN:
            self.to(sender, "told", {name: known.outcome})
            return
        kept = answers.received(row, view, self.me, copy=copy)
        if kept is None or self.stopped or not self.judged:
            return
        mine = self.disk.rows.get(name)
        if mine is not None and mine.kind is Kind.OWN:
            if mine.attached == row.attached:
                self.to(sender, "has", name, row.attached, Mark(attempt=-1, by="", intent=False))
            return

        def what(disk) -> None:
            before, again = disk.rows.get(name), answers.received(row, self.view_of(row), self.me, copy=copy)
            settled = disk.settled.get(name)
            if again is None or (settled and settled.outcome in KNOWN) or (before and before.kind is Kind.OWN):
                return
            if before is not None and before.attached and before.attached.key == row.attached.key and (
                before.attached.epoch > row.attached.epoch
            ):  # fmt: skip
                return
            disk.put(name, answers.marked(again, answers.mark_of(before)) if before is not None else again)

        def durable() -> None:
            found = self.disk.rows.get(name)
            if found is not None and found.attached == row.attached:
                self.to(sender, "has", name, row.attached, answers.mark_of(found))

        self.disk.commit(self, what, durable)

    def has(self, sender: str, name: str, attached: Attached, mark: Mark) -> None:
        """The other end has the row, with this mark, durably."""
        row = self.disk.rows.get(name)
        view = self.view_of(row) if row is not None else None
        if row is None or row.attached != attached or not rows.kept_twice(row, view):
            return
        if name in self.taking:
            self.taking[name].there = True
            self._say(name)
        self.change(name, lambda r: answers.kept(r, view) if r.attached == attached else r)
        flight = self.flights.get(name)
        if flight is not None and mark == Mark(attempt=flight.attempt, by=self.name, intent=True) and not flight.there:
            flight.there = True
            self._last_look(name, flight)

    def _protect(self, now_ms: int) -> None:
        """What is here alone is copied; under a new pairing only when nobody can adopt it by the old one."""
        for name, row in list(self.disk.rows.items()):
            if row.kind is not Kind.OWN or row.confirmed or name in self.flights or name in self.taking:
                continue
            if now_ms - self.copied_ms.get(name, -PROTECT_MS) < PROTECT_MS:
                continue
            view = self.view_of(row)
            if view is not None and rows.belongs(row, view) and view.state is State.HELD:
                self._copy(name, row, view)
            elif self.live:
                self._reattach(name, row, view)

    def _reattach(self, name: str, row: Row, view) -> None:
        to = self.target()
        if to is None or not rows.may_attach(row, view, self.me, to=to):
            return
        self.copied_ms[name] = self.now_ms()
        attached = Attached(key=to.key, epoch=to.epoch)

        def moved(found: Row) -> Row | None:
            now = self.views[to.key]
            if not rows.may_attach(found, self.view_of(found), self.me, to=now) or now.epoch != attached.epoch:
                return None
            return replace(found, attached=attached, confirmed=False)

        def durable() -> None:
            found = self.disk.rows.get(name)
            if found is not None and found.attached == attached:
                self._copy(name, found, self.views[to.key])

        self.world.note(f"{self.name} moves {name} to {to.key.shadow}")
        self.change(name, moved, durable)

    # Attempts ---------------------------------------------------------------------------------------------------------

    def _attempts(self, now_ms: int) -> None:
        if not self.live:
            return
        for name, row in list(self.disk.rows.items()):
            if name in self.flights or name in self.taking or self.rest_ms.get(name, 0) > now_ms:
                continue
            if row.stage is Stage.UNKNOWN:
                self._resolve(name, row)
            elif len(self.flights) < AT_ONCE and not self.draining and self.may_attempt(row):
                flight = self.flights[name] = Flight(row.attempt + 1)
                self._later(self.world.random.uniform(0.05, 0.4), name, flight, self._intent)

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
        found = rows.resolution(row, self.view_of(row), self.me, live=self.live)
        if found is None or found is Resolution.HOLD:
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

    # Telling ----------------------------------------------------------------------------------------------------------

    def _flush(self, now_ms: int) -> None:
        """Discards, and what is known of attempts, in batches; discards again until they were heard."""
        told: dict[str, dict[str, str]] = {}
        for name, settled in self.disk.settled.items():
            if settled.told or settled.attached is None or now_ms - self.told_ms.get(name, -1_000) < 1_000:
                continue
            node = self.other_end(settled.attached.key)
            if node:
                self.told_ms[name] = now_ms
                told.setdefault(node, {})[name] = settled.outcome
        for node, outcomes in sorted(told.items()):
            self.to(node, "told", outcomes)
        marks, self.marks = self.marks, {}
        by_node: dict[str, dict] = {}
        for name, mark in marks.items():
            row = self.disk.rows.get(name)
            node = self.other_end(row.attached.key) if row is not None and row.attached else ""
            if node:
                by_node.setdefault(node, {})[name] = mark
        for node, found in sorted(by_node.items()):
            self.to(node, "marks_told", found)

    def told(self, sender: str, outcomes: dict) -> None:
        def what(disk) -> None:
            for name, outcome in outcomes.items():
                if self.flights.get(name) is None or not self.flights[name].sent or outcome != "aborted":
                    disk.settle(name, outcome, told=True)

        def durable() -> None:
            self.to(sender, "heard", [name for name in outcomes if name in self.disk.settled])

        self.disk.commit(self, what, durable)

    def heard(self, sender: str, names: list) -> None:
        self.disk.commit(self, lambda disk: [disk.told(name) for name in names])

    def marks_told(self, sender: str, marks: dict) -> None:
        for name, mark in marks.items():
            self.change(name, lambda row, mark=mark: answers.marked(row, mark))

    # Comparing --------------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """What became of the spares here?"""
        by_key: dict[PairKey, list] = {}
        for name, row in self.disk.rows.items():
            if row.kind is not Kind.OWN and row.attached is not None:
                by_key.setdefault(row.attached.key, []).append((name, row.attached.epoch))
        for key, names in sorted(by_key.items()):
            view = self.views.get(key)
            if view is not None and view.pairing is not None:
                owner = view.pairing.owner
                node = self.other_end(key) if owner == self.name else owner
                if node and node != self.name:
                    self.to(node, "asked", key, names)

        for key, view in sorted(self.views.items()):
            if not self.disk.pending and moves.may_ask_back(view, self.here(key), self.scene(key)):
                self.to(view.pairing.owner, "asked_back", key, view.revision)

    def asked_back(self, sender: str, key: PairKey, revision: int) -> None:
        self.wanted.add((key, revision))

    def asked(self, sender: str, key: PairKey, names: list) -> None:
        view, found, pending = self.views.get(key), {}, bool(self.disk.pending)
        for name, epoch in names:
            settled = self.disk.settled.get(name)
            row = self.disk.rows.get(name)
            said = answers.answer(row, view, epoch=epoch, settled=settled is not None, live=self.live)
            if name in self.taking or (row is None and settled is None and pending):
                said = Answer.WAIT
            if said is Answer.KEEP and not row.confirmed:
                self.change(name, lambda r, v=view: answers.kept(r, v))
            found[name] = (said, epoch, settled.outcome if settled else "")
        self.to(sender, "answered", key, found)

    def answered(self, sender: str, key: PairKey, found: dict) -> None:
        def what(disk) -> None:
            for name, (said, epoch, outcome) in found.items():
                row = disk.rows.get(name)
                if row is None or row.kind is Kind.OWN or row.attached != Attached(key=key, epoch=epoch):
                    continue
                if said is Answer.SETTLED:
                    disk.settle(name, outcome, told=True)
                elif said is Answer.ELSEWHERE:
                    disk.settle(name, "moved", told=True)

        self.disk.commit(self, what)
        for name, (said, *_) in found.items():
            row = self.disk.rows.get(name)
            if said is Answer.SEND and row is not None:
                self.world.count["sent_back"] += 1
                self.to(sender, "brought", name, row)

    def brought(self, sender: str, name: str, row: Row) -> None:
        """A row of mine that I do not know: I had it on a disk that forgot it, or never got its copy."""

        def what(disk) -> None:
            own = answers.brought(row, self.view_of(row), self.me)
            if own is not None and name not in disk.rows and name not in disk.settled:
                disk.put(name, own)

        self.disk.commit(self, what)
