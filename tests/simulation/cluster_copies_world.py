"""The world `copies`: what is true of every row, whatever hosts believe, and an upstream that counts every delivery.

A host may own a row *by the store* only: its disk has the row, and the pairing's key, if the row has one, names the
host in the row's epoch. A copy counts as *reachable* if its host owns the row or could adopt it.
"""

from collections import Counter
from dataclasses import replace

from coordinator.keys import Role
from coordinator.ownership.records import PairKey, read_pairing
from coordinator.ownership.rows import Kind, OnUnknown
from coordinator.store.contract import Compacted
from tests.simulation.cluster_copies_disk import Disk
from tests.simulation.cluster_copies_faults import KEYS, SNAPSHOT_S, CopyFaults
from tests.simulation.cluster_world import Violation


class CopiesWorld(CopyFaults):
    """Time, network, store, hosts with disks, and the books of every row."""

    def __init__(self, seed, weather, *, calm_s: float) -> None:
        super().__init__(seed, weather)
        self.calm_s = calm_s
        self.answered: dict[str, bool] = {}
        """Rows answered for; whether kept twice was part of the answer."""
        self.policies: dict[str, OnUnknown] = {}
        self.attempts: dict[str, list[tuple[str, str]]] = {}
        """Deliveries of a row: which spool's host made them, and its name."""
        self.reported: set[str] = set()
        self.lost: dict[str, str] = {}
        self.knows: set[tuple[str, str]] = set()
        """Which spool has a row's outcome, or had it."""
        self.excused: set[tuple[str, str]] = set()
        self.copies: dict[str, int] = {}
        self.exposed: dict[str, str] = {}
        self.dirty: set[str] = set()
        self.count: Counter = Counter()
        self.closed_until = self.pause_until = 0.0
        self.dead: set[str] = set()
        self.cause = ""
        self._told_revision = 1
        self.kept: dict[str, list] = {}
        self.checks.append(self.check_rows)

    def plan(self, until: float) -> None:
        """Nothing breaks in the last part, so that everything can come to its end."""
        self.kind_from, self.calm_from = until - self.calm_s * 3 / 4, until - self.calm_s
        super().plan(until - self.calm_s)
        self.at(until - self.calm_s, self._calm)
        for name in sorted(self.hosts):
            self.after(self.random.uniform(0, SNAPSHOT_S), lambda n=name: self._snapshot(n))

    def _calm(self) -> None:
        self.weather = replace(self.weather, loss=min(self.weather.loss, 0.01), slow=min(self.weather.slow, 0.02))

    # What is true -----------------------------------------------------------------------------------------------------

    def touched(self, name: str) -> None:
        self.dirty.add(name)
        self.changed = True

    def touched_all(self, *more: Disk) -> None:
        for disk in (*(host.disk for host in self.hosts.values()), *more):
            self.dirty |= set(disk.rows)
        self.changed = True

    def tell(self) -> None:
        """Whatever became of a pairing's key concerns its rows."""
        prefix = KEYS.ownerships
        try:
            changed = {change.key for change in self.etcd.model.changes(prefix, self._told_revision + 1)}
        except Compacted:
            changed = {key for key in self.etcd.model.items if key.startswith(prefix)}
        self._told_revision = self.etcd.model.revision
        if changed:
            for host in self.hosts.values():
                for name, row in host.disk.rows.items():
                    if row.attached and KEYS.ownership(row.attached.key.spool, row.attached.key.shadow) in changed:
                        self.dirty.add(name)
        super().tell()

    def pairing(self, key: PairKey):
        item = self.etcd.model.items.get(KEYS.ownership(key.spool, key.shadow))
        return None if item is None else read_pairing(item.value)

    def standing(self, host, name: str) -> tuple[bool, bool]:
        """Whether the host owns the row by the store, and whether its copy can be reached at all."""
        row = host.disk.rows.get(name)
        if row is None or host.disk.old:
            return False, False
        own = row.kind is Kind.OWN
        if row.attached is None:
            return own, own
        found = self.pairing(row.attached.key)
        if found is None:
            return False, False
        at_spool = row.attached.key.spool == host.disk.spool
        if found.epoch != row.attached.epoch:
            alone = own and at_spool and found.epoch > row.attached.epoch
            return alone, alone
        end = at_spool or (row.attached.key.shadow == host.name and found.copy == host.disk.spool)
        owns = end and found.owner == host.name and (own or not found.void)
        return owns, owns or (end and (not found.void or self._unknown_to(found, row, name)))

    def _unknown_to(self, found, row, name: str) -> bool:
        """Whether a void pairing's owner never had the row: it will ask for it."""
        owner = self.hosts[found.owner]
        spool = found.copy if found.owner == row.attached.key.shadow else row.attached.key.spool
        known = name in owner.disk.rows or name in owner.disk.settled
        return owner.disk.spool == spool and not owner.disk.old and not known

    def reach(self, name: str) -> int:
        return sum(self.standing(host, name)[1] for host in self.hosts.values())

    def finished(self, name: str) -> bool:
        return bool(self.attempts.get(name)) or name in self.reported or name in self.lost

    # I1 ---------------------------------------------------------------------------------------------------------------

    def answer(self, name: str, *, twice: bool) -> None:
        """The client was told 250."""
        self.answered[name] = twice
        self.count["answered"] += 1
        self.count["unprotected"] += not twice
        found = self.reach(name)
        if not self.finished(name) and not found:
            self._nowhere(name, twice=twice)
            return
        if twice and found == 1 and not self.finished(name) and name not in self.exposed:
            self.exposed[name] = self._voided(name)  # while the other end's word was on its way
        self.copies[name] = found
        self.touched(name)

    def _nowhere(self, name: str, *, twice: bool) -> None:
        """Taken in alone, without a session, under a pairing whose owner has gone since with its disk: for a person."""
        if twice or not any(name in host.disk.rows for host in self.hosts.values()):
            raise Violation(f"I1: {name} answered, kept twice {twice}, is on no disk\n{self.story(name)}")
        self.lost[name] = "unprotected"
        self.count["stranded_unprotected"] += 1

    def check_rows(self) -> None:
        dirty, self.dirty = self.dirty, set()
        cause, self.cause = self.cause, ""
        for name in sorted(dirty):
            if not self.finished(name):
                self._check_row(name, self.reach(name), cause)

    def _check_row(self, name: str, found: int, cause: str) -> None:
        before, self.copies[name] = self.copies.get(name, 0), found
        if name not in self.answered:
            if found == 1 and before >= 2 and cause:
                self.exposed[name] = cause
            return
        if found >= 2:
            self.exposed.pop(name, None)
            return
        if found == 1:
            if before >= 2:
                self.exposed[name] = cause or self._voided(name)
            return
        self._check_keys(name)
        promised = self.answered[name] and name not in self.exposed
        somewhere = any(name in host.disk.rows for host in self.hosts.values())
        late = somewhere and self.exposed.get(name) in {"destroyed", "reverted"}
        if promised or not (cause or late):  # a late transaction may make void what a disk lost a moment ago
            raise Violation(f"I1: {name} is gone ({cause or 'nothing was destroyed'})\n{self.story(name)}")
        what = "stranded" if any(name in host.disk.rows for host in self.hosts.values()) else "lost"
        self.lost[name] = "unprotected" if not self.answered[name] else self.exposed[name]
        self.count[f"{what}_{self.lost[name]}"] += 1
        self.note(f"lost {name}: {self.lost[name]}")

    def _check_keys(self, name: str) -> None:
        """Nothing excuses that the key of a row went which a host keeps that was let in with its disk."""
        for host in self.hosts.values():
            row, let_in = host.disk.rows.get(name), host.judged and host.me.spool == host.disk.spool
            if row is not None and row.attached and let_in and self.pairing(row.attached.key) is None:
                raise Violation(f"I1: {name} is at {host.name}, and its pairing's key is gone\n{self.story(name)}")

    def _voided(self, name: str) -> str:
        """A copy stopped to count without anything destroyed: only because its owner said so."""
        others = [h for h in self.hosts.values() if name in h.disk.rows and not self.standing(h, name)[1]]
        for host in others:
            row = host.disk.rows[name]
            found = self.pairing(row.attached.key) if row.attached else None
            if found is not None and (found.void or found.epoch > row.attached.epoch):
                return "void"
        raise Violation(f"I1: a copy of {name} went without a reason\n{self.story(name)}")

    def story(self, name: str) -> str:
        lines = [f"{h.name}: {h.disk.rows.get(name)} {h.disk.settled.get(name)}" for h in self.hosts.values()]
        mine = [line for line in self.log if name in line]
        return "\n".join([*lines, *mine[-40:], "--", self.tail(25)])

    def judge_end(self) -> None:
        """After the calm everything that was answered has come to its end, or waits for a person."""
        for name in self.answered:
            if self.finished(name):
                continue
            if any(host.held(name) for host in self.hosts.values()):
                self.count["held"] += 1
            else:
                raise Violation(f"I1: {name} never came to an end\n{self.story(name)}")

    def judge_waiting(self) -> None:
        """Nothing could be delivered since long: what waits is on two disks again, all hosts being there."""
        for name in self.answered:
            if not self.finished(name) and self.reach(name) < 2:
                raise Violation(f"I1: {name} is not kept twice again\n{self.story(name)}")
            self.count["waiting_twice"] += not self.finished(name)

    # I3 and I5 --------------------------------------------------------------------------------------------------------

    def looked(self, host, name: str) -> None:
        """The last look said yes. A stall of less than a second may follow; the adoption delay is there for it."""
        member = self.etcd.model.items.get(KEYS.member(Role.NODE, host.name))
        there = member is not None and member.create_revision == host.session.inc
        if not there and self.now >= host.excused_until:
            raise Violation(f"I3: {host.name} attempts {name} without a session\n{self.story(name)}")
        if (host.disk.spool, name) in self.excused:
            self.count["repeated_excused"] += name in self.attempts
        elif (host.disk.spool, name) in self.knows:
            raise Violation(f"I5: {host.name} attempts {name}, whose outcome it had\n{self.story(name)}")
        elif name in self.attempts and self.policies[name] is not OnUnknown.REPEAT:
            raise Violation(f"I5: {name} is {self.policies[name]} and done again\n{self.story(name)}")

    def attempted(self, host, name: str) -> None:
        """The last step of an attempt leaves the host: nothing can take it back."""
        owners = [each.name for each in self.hosts.values() if self.standing(each, name)[0]]
        if owners == [host.name] or (name not in host.disk.rows and (host.disk.spool, name) in self.knows):
            return  # or it heard of the outcome after its last look
        if self.now < host.excused_until:
            self.count["by_a_paused_machine"] += 1  # its clock stood still: it believes in what is left of its lease
            self.excused |= {(each.disk.spool, name) for each in self.hosts.values()}
        elif (host.disk.spool, name) not in self.excused:
            raise Violation(f"I3: {host.name} attempts {name} of {owners} at {self.now:.3f}\n{self.story(name)}")

    def upstream(self, host, name: str) -> str:
        """What becomes of a row: ``done``, ``later``, ``never``, or no word of it, done or not."""
        self.note(f"{host.name} sends {name}")
        draw = self.random.uniform(0.02, 0.97 if self.now > self.kind_from else 1.0)
        if self.now < self.kind_from and self.random.random() < 0.02:
            return "nothing"
        if self.now < self.closed_until:
            return "later"
        if draw < 0.10:
            return "later"
        if draw < 0.13:
            return "never"
        self.count["delivered"] += 1
        if name in self.attempts:
            self.count["twice" if self.attempts[name][-1][0] == host.disk.spool else "twice_elsewhere"] += 1
        self.attempts.setdefault(name, []).append((host.disk.spool, host.name))
        self.touched(name)
        return "silent" if draw > 0.97 else "done"
