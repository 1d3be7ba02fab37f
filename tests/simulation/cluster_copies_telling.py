"""What hosts of the world `copies` tell each other: outcomes, marks, and what became of the spares."""

from coordinator.ownership import answers, moves
from coordinator.ownership.answers import Answer
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Kind, Row
from tests.simulation.cluster_copies_attempts import Attempter


class Teller(Attempter):
    """A host that tells and asks."""

    # Telling ----------------------------------------------------------------------------------------------------------

    def _flush(self, now_ms: int) -> None:
        """Discards, and what is known of attempts, in batches; discards again until they were heard."""
        told: dict[str, dict[str, str]] = {}
        for name, settled in self.disk.untold.items():
            if now_ms - self.told_ms.get(name, -1_000) < 1_000:
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

        for key, view in self.sorted_views():
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
