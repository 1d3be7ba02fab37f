"""One seeded scheduler with virtual time: hosts with their own clocks, kernels and processes, a lossy network, an etcd.

Hosts run the product's own pure code (session, address, promises, following, members) over the memory model of the
store. Everything that happens is an entry of one heap, drawn from one random source: a seed replays exactly.
"""

import heapq
import random
from dataclasses import dataclass, field

from coordinator.store.contract import Compacted, StoreError
from coordinator.store.model import Model

TICK_MS = 100


@dataclass
class Weather:
    """How bad it gets; shares of faults are relative weights."""

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
    kinds: tuple[str, ...] = (
        "crash", "pause", "cut", "cut_one_way", "etcd_leader", "etcd_down", "compact", "machine_pause", "unready",
        "split", "slow_fsync",
    )  # fmt: skip


class Violation(AssertionError):  # noqa: N818 - a state of affairs
    """An invariant did not hold."""


@dataclass
class Etcd:
    """The store behind the network: one history, up or without quorum."""

    model: Model = field(default_factory=lambda: Model(ttl_min_s=2))
    down_until: float = 0.0
    slow_until: float = 0.0


class World:
    """Time, network and the store; hosts register themselves."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now = 0.0
        self.etcd = Etcd()
        self.hosts: dict[str, object] = {}
        self.cut: dict[tuple[str, str], float] = {}
        self.checks: list = []
        self.log: list[str] = []
        self._heap: list = []
        self._count = 0

    def note(self, text: str) -> None:
        self.log.append(f"{self.now:9.3f} {text}")

    def at(self, time: float, do) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(time, self.now), self._count, do))

    def after(self, delay: float, do) -> None:
        self.at(self.now + delay, do)

    def run(self, until: float) -> None:
        self._plan_faults(until)
        while self._heap and self._heap[0][0] <= until:
            self.now, _, do = heapq.heappop(self._heap)
            if self.now >= self.etcd.down_until and self.etcd.model.expire(self.now):
                self.tell()
            do()
            for check in self.checks:
                check()

    # Network ----------------------------------------------------------------------------------------------------------

    def delay(self) -> float:
        if self.random.random() < self.weather.slow:
            return self.random.uniform(*self.weather.slow_s)
        return self.random.uniform(0.0005, 0.02)

    def hiccup(self) -> float:
        """How long a process takes from a decision to the call."""
        if self.random.random() < self.weather.hiccup:
            return self.random.uniform(0.1, 0.9)
        return self.random.uniform(0.001, 0.03)

    def reaches(self, source: str, target: str) -> bool:
        if self.cut.get((source, target), 0.0) > self.now:
            return False
        return self.random.random() >= self.weather.loss

    def send(self, source: str, target: str, do) -> None:
        """Deliver ``do`` to a host (in its process, so a paused one gets it late) or lose it."""
        if not self.reaches(source, target):
            return
        self.after(self.delay(), lambda: self.hosts[target].deliver(do))

    def ask_etcd(self, host: str, what, answer, timeout: float) -> None:
        """``what(model, now)`` happens at the store some time, if it arrives; ``answer`` gets its result, or None."""
        life = self.hosts[host].life
        done = [False]

        def finish(result) -> None:
            def tell() -> None:
                if not done[0] and self.hosts[host].life == life:
                    done[0] = True
                    answer(result)

            self.hosts[host].deliver(tell)

        self.after(timeout, lambda: finish(None))
        if self.reaches(host, "etcd"):
            slow = self.random.uniform(0.3, 3.0) if self.etcd.slow_until > self.now else 0.0
            self.after(self.delay() + slow, lambda: self._serve(host, what, finish, retry=True))

    def _serve(self, host: str, what, finish, *, retry: bool) -> None:
        if self.now < self.etcd.down_until:
            # Without quorum a request fails, or waits and is served late, long after its client gave up.
            if retry and self.random.random() < 0.3:
                self.at(self.etcd.down_until + 0.01, lambda: self._serve(host, what, finish, retry=False))
            return
        self.etcd.model.expire(self.now)
        before = self.etcd.model.revision
        try:
            result = what(self.etcd.model, self.now)
        except StoreError as error:
            result = error
        if self.etcd.model.revision != before:
            self.tell()
        if self.reaches("etcd", host):
            self.after(self.delay(), lambda: finish(result))

    def tell(self) -> None:
        """Watches: each host gets the changes since what it knows, later, or not at all."""
        for name, host in self.hosts.items():
            if not self.reaches("etcd", name):
                continue
            try:
                changes = self.etcd.model.changes("", host.follower.next_revision)
            except Compacted:
                continue
            revision = self.etcd.model.revision
            self.after(self.delay(), lambda h=host, c=changes, r=revision: h.deliver(lambda: h.watched(c, r)))

    # Faults -----------------------------------------------------------------------------------------------------------

    def _plan_faults(self, until: float) -> None:
        time = 8.0
        while (time := time + self.random.expovariate(self.weather.faults_per_s)) < until:
            self.at(time, self._fault)

    def _victim(self) -> str:
        bound = [name for name, host in self.hosts.items() if host.kernel.until > self.now]
        aimed = bound and self.random.random() < self.weather.aim
        return self.random.choice(bound if aimed else sorted(self.hosts))

    def _fault(self) -> None:
        kind, name = self.random.choice(self.weather.kinds), self._victim()
        if self.random.random() < self.weather.twice:
            self.after(self.random.uniform(0, 2), self._fault)
        host = self.hosts[name]
        length = self.random.uniform(*self.random.choice(self.weather.lengths_s))
        self.note(f"fault {kind} {name} {length:.2f}")
        getattr(self, f"_{kind}")(name, host, length)

    def _crash(self, name, host, length) -> None:
        host.crash()
        self.after(min(length, 6.0), host.start)

    def _pause(self, name, host, length) -> None:
        host.pause(self.now + length)

    def _machine_pause(self, name, host, length) -> None:
        host.machine_pause(length)

    def _unready(self, name, host, length) -> None:
        host.unready_until = self.now + length

    def _cut(self, name, host, length) -> None:
        for other in [*self.hosts, "etcd"]:
            if other != name and self.random.random() < 0.7:
                self.cut[name, other] = self.cut[other, name] = self.now + length

    def _cut_one_way(self, name, host, length) -> None:
        other = self.random.choice([*sorted(self.hosts), "etcd", "etcd"])
        pair = (name, other) if self.random.random() < 0.5 else (other, name)
        self.cut[pair] = self.now + length

    def _cut_etcd(self, name, host, length) -> None:
        self.cut[name, "etcd"] = self.cut["etcd", name] = self.now + length

    def _isolate(self, name, host, length) -> None:
        """The host's link goes: nothing reaches it and it reaches nothing."""
        for other in [*self.hosts, "etcd"]:
            if other != name:
                self.cut[name, other] = self.cut[other, name] = self.now + length

    def _deaf(self, name, host, length) -> None:
        """What others send does not arrive; what it sends does."""
        for other in [*self.hosts, "etcd"]:
            if other != name and self.random.random() < 0.8:
                self.cut[other, name] = self.now + length

    def _mute(self, name, host, length) -> None:
        for other in [*self.hosts, "etcd"]:
            if other != name and self.random.random() < 0.8:
                self.cut[name, other] = self.now + length

    def _peers_gone(self, name, host, length) -> None:
        """Hosts lose one another and keep the store."""
        for each in self.hosts:
            if each != name:
                self.cut[name, each] = self.cut[each, name] = self.now + length

    def _gone(self, name, host, length) -> None:
        """The machine dies, its kernel with it, and comes back much later."""
        host.crash()
        host.kernel.until = 0.0
        self.after(length, host.start)

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
