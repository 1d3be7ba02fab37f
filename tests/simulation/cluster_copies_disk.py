"""A simulated disk: rows are durable once their commit was synced, in order; what was not is lost at a power cut."""

from dataclasses import dataclass, replace

from coordinator.ownership.rows import Attached, Row

FSYNC_S = (0.0005, 0.008)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a row, kept as history."""

    outcome: str
    attached: Attached | None
    told: bool = False


class Commit:
    """One transaction on its way to the disk."""

    __slots__ = ("gone", "host", "life", "then", "what")

    def __init__(self, what, then, host) -> None:
        self.what, self.then, self.host, self.life, self.gone = what, then, host, host.life, False


class Disk:
    """One spool."""

    def __init__(self, world, *, spool: str = "") -> None:
        self.world = world
        self.spool = spool or f"{world.random.getrandbits(64):016x}"
        self.rows: dict[str, Row] = {}
        self.settled: dict[str, Settled] = {}
        self.untold: dict[str, Settled] = {}
        """Those whose outcome the other end has not heard, in the order they were settled in."""
        self.sequence = self.told_sequence = 0
        self.quarantined = False
        self.old = False
        self.slow_until, self.syncing = 0.0, False
        self.pending: list[Commit] = []

    def commit(self, host, what, then=None) -> None:
        """``what(disk)`` happens at once and as a whole when it is synced; then ``then()`` in the process."""
        self.pending.append(Commit(what, then, host))
        if not self.syncing:
            self._sync()

    def _sync(self) -> None:
        """Sync all there is; what comes meanwhile waits for the next one."""
        draw = self.world.random.uniform
        took = draw(0.3, 3.0) if self.slow_until > self.world.now else draw(*FSYNC_S)
        self.syncing = True
        batch = tuple(self.pending)
        self.world.after(took, lambda: self._synced(batch))

    def _synced(self, batch) -> None:
        self.syncing = False
        for commit in batch:
            if not commit.gone:
                self.pending.remove(commit)
                self._apply(commit)
        for commit in batch:
            if not commit.gone and commit.then is not None and commit.host.life == commit.life:
                commit.host.deliver(commit.then)
        if self.pending and not self.syncing:
            self._sync()

    def _apply(self, commit: Commit) -> None:
        commit.what(self)

    def lose(self, *, power: bool) -> None:
        """The process is gone; with power, what had not been synced, but for some of it, oldest first."""
        pending, self.pending = self.pending, []
        kept = self.world.random.randint(0, len(pending)) if power else len(pending)
        for number, commit in enumerate(pending):
            commit.gone = True
            if number < kept:
                self._apply(commit)

    # Inside a commit --------------------------------------------------------------------------------------------------

    def put(self, name: str, row: Row) -> None:
        self.rows[name] = row
        self.settled.pop(name, None)
        self.untold.pop(name, None)
        self.sequence += 1
        self.world.touched(name)

    def settle(self, name: str, outcome: str, *, told: bool) -> None:
        self.sequence += 1
        row = self.rows.pop(name, None)
        before = self.settled.get(name)
        if before is None or before.outcome == "moved":
            self._keep(name, Settled(outcome, row.attached if row else None, told or row is None))
            if outcome != "moved":
                self.world.knows.add((self.spool, name))
        self.world.touched(name)

    def telling(self, sequence: int) -> None:
        self.told_sequence = max(self.told_sequence, sequence)

    def told(self, name: str) -> None:
        if name in self.settled:
            self._keep(name, replace(self.settled[name], told=True))

    def _keep(self, name: str, settled: Settled) -> None:
        self.settled[name] = settled
        if settled.told or settled.attached is None:
            self.untold.pop(name, None)
        else:
            self.untold[name] = settled

    # Copies of it -----------------------------------------------------------------------------------------------------

    def snapshot(self):
        return self.spool, dict(self.rows), dict(self.settled), self.sequence, self.told_sequence

    @classmethod
    def restored(cls, world, kept) -> "Disk":
        disk = cls(world, spool=kept[0])
        disk.rows, disk.sequence = dict(kept[1]), kept[3]
        for name, settled in kept[2].items():
            disk._keep(name, settled)
        disk.told_sequence = kept[4]
        return disk
