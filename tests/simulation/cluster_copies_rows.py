"""What hosts of the world `copies` do with rows: take in, copy, attempt, settle, tell, compare.

Nothing is acted upon before it is on disk: every change is a commit, and what follows is its continuation.
"""

from dataclasses import replace
from functools import partial

from coordinator.ownership import answers, rows
from coordinator.ownership.answers import Mark
from coordinator.ownership.rows import Attached, Kind, OnUnknown, Row
from coordinator.ownership.views import State
from tests.simulation.cluster_copies_attempts import Flight
from tests.simulation.cluster_copies_telling import Teller

FLUSH_MS, ASK_MS, PROTECT_MS, WAIT_S = 100, 3_000, 1_000, 0.5
KNOWN = {"done", "reported", "aborted", "never"}


class Taking:
    """One row being taken in."""

    __slots__ = ("here", "required", "there")

    def __init__(self, *, required: bool) -> None:
        self.required, self.here, self.there = required, False, False


class Host(Teller):
    """One machine."""

    def begin(self) -> None:
        super().begin()
        self.flights: dict[str, Flight] = {}
        self.taking: dict[str, Taking] = {}
        self.rest_ms: dict[str, int] = {}
        self.left_alone: dict[str, tuple] = {}
        """Rows nothing was to be done about, and the view that said so."""
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

    def received(self, row: Row, copy: str) -> Row | None:
        retired = row.attached is not None and self.retired(row.attached.key.spool)
        return answers.received(row, self.view_of(row), self.me, copy=copy, retired=retired)

    def copied(self, sender: str, name: str, row: Row, copy: str) -> None:
        known = self.disk.settled.get(name)
        if known is not None and known.outcome in KNOWN:
            self.to(sender, "told", {name: known.outcome})
            return
        kept = self.received(row, copy)
        if kept is None or self.stopped or not self.judged:
            return
        mine = self.disk.rows.get(name)
        if mine is not None and mine.kind is Kind.OWN:
            if mine.attached == row.attached:
                self.to(sender, "has", name, row.attached, Mark(attempt=-1, by="", intent=False))
            return

        def what(disk) -> None:
            before, again = disk.rows.get(name), self.received(row, copy)
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
