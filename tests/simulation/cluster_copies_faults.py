"""What can go wrong with disks and hosts of the world `copies`; a fault is a method named by its kind."""

from coordinator.keys import Keys
from tests.simulation.cluster_copies_disk import Disk
from tests.simulation.cluster_world import World

SNAPSHOT_S = 7.0
RECALL_S = 20.0
"""An operator finds a quarantined spool, sets it aside and lets the host begin anew."""
KEYS = Keys(cluster="c", prefix="/r")


class CopyFaults(World):
    """The part of the world that breaks things."""

    def _snapshot(self, name: str) -> None:
        host = self.hosts[name]
        self.kept.setdefault(name, []).append((self.now, host.disk.snapshot()))
        del self.kept[name][:-6]
        self.after(SNAPSHOT_S, lambda: self._snapshot(name))

    def _power(self, name, host, length) -> None:
        host.power_off()
        self.after(length, host.start)

    def replace_disk(self, host, disk: Disk, cause: str) -> None:
        """Whatever was on the old one is gone."""
        self.touched_all(disk)
        self.kept[host.name] = []
        host.disk, self.cause = disk, cause
        self.check_rows()

    def _destroy(self, name, host, length) -> None:
        """The machine is gone with its disk; another one gets its name, later."""
        self.count["destroyed"] += 1
        host.power_off()
        self.replace_disk(host, self.new_disk(host), "destroyed")
        if self.random.random() < 0.3:
            self.dead.add(name)
        self.after(min(60.0, length * self.random.choice((0.3, 1, 3))), lambda: self._replaced(host))

    def new_disk(self, host) -> Disk:
        return Disk(self)

    def _replaced(self, host) -> None:
        self.dead.discard(host.name)
        host.start()

    def _reverted(self, name, host, length) -> None:
        """The machine comes back with its disk as it was some time before."""
        kept = [each for each in self.kept.get(name, []) if self.now - each[0] > 2]
        if not kept or host.disk.quarantined:
            return
        self.count["reverted"] += 1
        _, snapshot = self.random.choice(kept)
        host.power_off()
        old, disk = host.disk, Disk.restored(self, snapshot)
        item = self.etcd.model.items.get(KEYS.spool(disk.spool))
        disk.old = item is not None and host.guard_tells(item, disk.told_sequence)
        if not disk.old:
            self.count["young_copies"] += 1  # younger than the last telling: nobody can know
            rows = {*disk.rows, *old.rows, *old.settled} - set(disk.settled)
            changed = {row for row in rows if disk.rows.get(row) != old.rows.get(row)} | set(old.settled) & rows
            self.excused |= {(each.disk.spool, row) for row in changed for each in self.hosts.values()}
        self.replace_disk(host, disk, "reverted")
        self.after(length, host.start)

    def quarantine(self, host) -> None:
        self.count["quarantined"] += 1
        self.note(f"{host.name} quarantined")
        host.disk.old = host.disk.quarantined = True
        self.touched_all(host.disk)
        self.cause = "reverted"
        self.check_rows()
        self.after(RECALL_S, lambda h=host, d=host.disk: self._set_aside(h, d))

    def _set_aside(self, host, disk) -> None:
        if host.disk is disk:
            host.power_off()
            self.replace_disk(host, Disk(self), "reverted")
            self.after(1.0, host.start)

    def _swap(self, name, host, length) -> None:
        """The machine goes on with another disk; after a while the old one is put back, perhaps given up since."""
        if host.disk.quarantined or not host.alive:
            return
        self.count["swapped"] += 1
        old, wait_s = host.disk, self.random.choice((6.0, 20.0, 35.0, 1e6))
        host.power_off()
        self.replace_disk(host, self.new_disk(host), "destroyed")
        self.after(length, host.start)
        self.after(length + wait_s, lambda: self._put_back(host, old))

    def _put_back(self, host, old: Disk) -> None:
        if host.disk.quarantined or not host.alive or self.now > self.calm_from:
            return
        self.count["put_back"] += 1
        host.power_off()
        self.replace_disk(host, old, "destroyed")
        self.after(1.0, host.start)

    def _slow_disk(self, name, host, length) -> None:
        host.disk.slow_until = self.now + length

    def _drain(self, name, host, length) -> None:
        host.drain_until = self.now + max(8.0, length)

    def _hesitate(self, name, host, length) -> None:
        """Begins to give its rows away and changes its mind."""
        host.drain_until = self.now + length

    def _race(self, name, host, length) -> None:
        """A host comes back at the moment others mean to adopt, and these are held up between decision and call."""
        host.power_off()
        draw = self.random.uniform
        self.after(draw(9.5, 11.5), host.start)
        for other in self.hosts.values():
            if other is not host:
                self.after(draw(9.7, 11.2), lambda o=other: o.pause(self.now + draw(0.5, 3.0)))

    def _upstream_down(self, name, host, length) -> None:
        self.closed_until = self.now + length

    def _operator_pause(self, name, host, length) -> None:
        self.pause_until = self.now + length
