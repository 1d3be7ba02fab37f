"""Keys of lost disks in the world `copies`: every host is eager to clean up, all at the same time.

In the product one node does it, and each once a minute; here whoever lives looks each second, so that the
transactions, and not who looks, must keep two from being wrong together.
"""

from coordinator.ownership import retiring
from coordinator.ownership.retiring import Around
from tests.simulation.cluster_copies import Mover
from tests.simulation.cluster_copies_world import KEYS
from tests.simulation.cluster_world import Violation

LOST_MS, LOOK_MS, ENOUGH_MS = 12_000, 1_000, 10_000


class Retirer(Mover):
    """A host that marks lost disks and removes keys that nobody's rows belong to."""

    def begin(self) -> None:
        super().begin()
        self.next_retire_ms = 0

    def work(self) -> None:
        super().work()
        now_ms = self.now_ms()
        if self.ready and self.live and now_ms >= self.next_retire_ms:
            self.next_retire_ms = now_ms + LOOK_MS
            self._chore()

    def around(self) -> Around:
        world = self.world
        return Around(
            seats=self.seats, listed=frozenset(self.nodes), began_ms=self.session.began_ms, now_ms=self.now_ms(),
            paused=world.now < world.pause_until, dead=frozenset(world.dead), delay_ms=LOST_MS,
        )  # fmt: skip

    def _chore(self) -> None:
        transaction = retiring.next_chore(KEYS, retiring.books(KEYS, self.items), self.around())
        if transaction is None:
            return
        name = transaction[1][0].key.removeprefix(KEYS.root)
        self.world.note(f"{self.name} retires {name}")

        def answered(outcome) -> None:
            what = "marked" if name.startswith("spool") else "removed_behind"
            self.world.count[what] += outcome.succeeded
            self.next_poll_ms = 0

        self.transact("retire", transaction, answered)


def judge_keys(world) -> None:
    """After the calm no key of a lost disk is left, but for those under which its shadow keeps what became void."""
    if not all(_long_there(host) for host in world.hosts.values()):
        return
    found = retiring.books(KEYS, world.etcd.model.items)
    for spool, (_, record) in found.spools.items():
        if not record.lost and world.hosts[record.node].disk.spool != spool:
            raise Violation(f"keys: the lost disk {spool} of {record.node} is not marked\n{world.tail(40)}")
    for key in found.pairings:
        if found.retired(key.spool):
            rows = world.hosts[key.shadow].disk.rows.values()
            if not any(row.attached is not None and row.attached.key == key for row in rows):
                raise Violation(f"keys: {key.spool}/{key.shadow} of a lost disk is left\n{world.tail(40)}")
            world.count["left_to_a_person"] += 1
    world.count["keys_judged"] += 1


def _long_there(host) -> bool:
    """Whether it has had time enough to see that a disk is lost, and to do what follows."""
    return host.alive and host.live and host.now_ms() - host.session.began_ms > LOST_MS + ENOUGH_MS
