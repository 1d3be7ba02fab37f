"""What can go wrong in a simulated cluster, and how often. A fault is a method of ``Faults`` named by its kind."""

from copy import deepcopy
from dataclasses import dataclass


@dataclass
class Weather:
    """How bad it gets; ``kinds`` may name a fault several times."""

    faults_per_s: float = 0.11
    loss: float = 0.01
    slow: float = 0.02
    slow_s: tuple[float, float] = (0.2, 2.5)
    probe: float = 0.0
    hiccup: float = 0.03
    """Share of calls of a process that are held up (collector, scheduler) between decision and deed."""
    kernel_late_s: tuple[float, float] = (0.0, 0.35)
    lengths_s: tuple[tuple[float, float], ...] = ((0.1, 2), (2, 12), (8, 25))
    aim: float = 0.0
    """Share of faults that strike the present holder of the address."""
    twice: float = 0.0
    """Share of faults that come in pairs."""
    episodes: tuple[int, int] | None = None
    """So many times in a run something goes wrong, and calm between; None: all the time."""
    episode_s: float = 15.0
    kinds: tuple[str, ...] = (
        "crash", "pause", "cut", "cut_one_way", "etcd_leader", "etcd_down", "compact", "machine_pause", "unready",
        "split", "slow_fsync",
    )  # fmt: skip


class Faults:
    """The part of a world that breaks things."""

    def plan(self, until: float) -> None:
        """Draw the moments of all faults of a run."""
        weather, draw = self.weather, self.random
        if weather.episodes is None:
            time = 8.0
            while (time := time + draw.expovariate(weather.faults_per_s)) < until:
                self.at(time, self.fault)
            return
        for _ in range(draw.randint(*weather.episodes)):
            time = draw.uniform(20.0, until - 2 * weather.episode_s)
            for _ in range(draw.choice((1, 1, 2, 3))):
                self.at(time, self.fault)
                time += draw.uniform(0, weather.episode_s)

    def _victim(self) -> str:
        bound = [name for name, host in self.hosts.items() if host.kernel.until > self.now]
        aimed = bound and self.random.random() < self.weather.aim
        return self.random.choice(bound if aimed else sorted(self.hosts))

    def fault(self) -> None:
        kind, name = self.random.choice(self.weather.kinds), self._victim()
        if self.random.random() < self.weather.twice:
            self.after(self.random.uniform(0, 2), self.fault)
        host = self.hosts[name]
        length = self.random.uniform(*self.random.choice(self.weather.lengths_s))
        self.note(f"fault {kind} {name} {length:.2f}")
        getattr(self, f"_{kind}")(name, host, length)

    # Hosts ------------------------------------------------------------------------------------------------------------

    def _crash(self, name, host, length) -> None:
        host.crash()
        self.after(min(length, 6.0), host.start)

    def _gone(self, name, host, length) -> None:
        """The machine dies, its kernel with it, and comes back much later."""
        host.crash()
        host.set_kernel(0.0)
        self.after(length, host.start)

    def _pause(self, name, host, length) -> None:
        host.pause(self.now + length)

    def _machine_pause(self, name, host, length) -> None:
        host.machine_pause(length)

    def _unready(self, name, host, length) -> None:
        host.unready_until = max(host.unready_until, self.now + length)
        host.poke()
        self.at(host.unready_until, host.poke)

    # Links ------------------------------------------------------------------------------------------------------------

    def _others(self, name):
        return [other for other in [*self.hosts, "etcd"] if other != name]

    def _cut(self, name, host, length) -> None:
        for other in self._others(name):
            if self.random.random() < 0.7:
                self.cut[name, other] = self.cut[other, name] = self.now + length

    def _cut_one_way(self, name, host, length) -> None:
        other = self.random.choice([*sorted(self.hosts), "etcd", "etcd"])
        pair = (name, other) if self.random.random() < 0.5 else (other, name)
        self.cut[pair] = self.now + length

    def _cut_etcd(self, name, host, length) -> None:
        self.cut[name, "etcd"] = self.cut["etcd", name] = self.now + length

    def _isolate(self, name, host, length) -> None:
        """The host's link goes: nothing reaches it and it reaches nothing."""
        for other in self._others(name):
            self.cut[name, other] = self.cut[other, name] = self.now + length

    def _deaf(self, name, host, length) -> None:
        """What most others send does not arrive; what it sends does."""
        for other in self._others(name):
            if self.random.random() < 0.8:
                self.cut[other, name] = self.now + length

    def _mute(self, name, host, length) -> None:
        for other in self._others(name):
            if self.random.random() < 0.8:
                self.cut[name, other] = self.now + length

    def _peers_gone(self, name, host, length) -> None:
        """The host loses the others and keeps the store."""
        for other in self.hosts:
            if other != name:
                self.cut[name, other] = self.cut[other, name] = self.now + length

    def _split(self, name, host, length) -> None:
        """Some or all hosts lose the store, each for its own time, and keep one another."""
        for each in sorted(self.hosts):
            if self.random.random() < 0.75:
                end = self.now + length * self.random.uniform(0.5, 1)
                self.cut[each, "etcd"] = self.cut["etcd", each] = end

    def _sever(self, name, host, length) -> None:
        """One host keeps the store; the others keep one another and reach neither."""
        for each in self.hosts:
            if each != name:
                for other in (name, "etcd"):
                    self.cut[each, other] = self.cut[other, each] = self.now + length

    # Store ------------------------------------------------------------------------------------------------------------

    def _etcd_leader(self, name, host, length) -> None:
        gap = self.random.uniform(0.3, 2.0)
        self.etcd.down_until = max(self.etcd.down_until, self.now + gap)
        self.at(self.etcd.down_until, lambda: self.etcd.model.renew_all(self.now, self.random.uniform(0, 1.0)))

    def _etcd_down(self, name, host, length) -> None:
        self.etcd.down_until = max(self.etcd.down_until, self.now + length)
        # After a real loss of quorum the new leader renews every lease; be harsher in half of the cases.
        if self.random.random() < 0.5:
            self.at(self.etcd.down_until, lambda: self.etcd.model.renew_all(self.now, 0.0))

    def _slow_fsync(self, name, host, length) -> None:
        self.etcd.slow_until = self.now + length

    def _compact(self, name, host, length) -> None:
        self.etcd.model.compact(self.etcd.model.revision)

    def _restored(self, name, host, length) -> None:
        """The store comes back as it was some time before: an operator's mistake, and hosts must not follow it."""
        kept = deepcopy(self.etcd.model)
        self.after(length, lambda: self._go_back(kept))

    def _go_back(self, kept) -> None:
        if self.etcd.model.revision == kept.revision:
            return
        self.note(f"store back from revision {self.etcd.model.revision} to {kept.revision}")
        self.etcd.model, self.etcd.went_back = kept, True
        kept.renew_all(self.now, 0.0)
        self.leases_change()
        self.changed = True
