"""One seeded scheduler with virtual time: hosts with their own clocks, kernels and processes, a lossy network, an etcd.

Hosts run the product's own pure code (session, address, promises, following, members) over the memory model of the
store. Everything that happens is an entry of one heap, drawn from one random source: a seed replays exactly. Nothing
ticks: who has nothing to do sleeps until the next thing due, so calm time costs little.
"""

import heapq
import random
from dataclasses import dataclass, field

from coordinator.store.contract import Compacted, StoreError
from coordinator.store.model import Model
from tests.simulation.cluster_faults import Faults, Weather

__all__ = ["Etcd", "Violation", "Weather", "World"]


class Violation(AssertionError):  # noqa: N818 - a state of affairs
    """An invariant did not hold."""


@dataclass
class Etcd:
    """The store behind the network: one history, up or without quorum."""

    model: Model = field(default_factory=lambda: Model(ttl_min_s=2))
    down_until: float = 0.0
    slow_until: float = 0.0
    went_back: bool = False
    """It was restored from an old copy: sessions older than that may be gone without anybody's knowing (I3 says
    nothing of it); limits hold all the same, for nobody begins a session there."""


class World(Faults):
    """Time, network and the store; hosts register themselves."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now = 0.0
        self.etcd = Etcd()
        self.hosts: dict[str, object] = {}
        self.cut: dict[tuple[str, str], float] = {}
        self.checks: list = []
        """Made whenever an address was bound or released, a session ended or a process woke up."""
        self.changed = True
        self.log: list[str] = []
        self._heap: list = []
        self._count = 0
        self._leases_until = 0.0

    def note(self, text: str) -> None:
        self.log.append(f"{self.now:9.3f} {text}")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log[-lines:])

    def at(self, time: float, do) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(time, self.now), self._count, do))

    def after(self, delay: float, do) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, do))

    def run(self, until: float) -> None:
        self.plan(until)
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, do = pop(heap)
            do()
            if self.changed:
                self.changed = False
                for check in self.checks:
                    check()

    # Network ----------------------------------------------------------------------------------------------------------

    def delay(self) -> float:
        if self.random.random() < self.weather.slow:
            return self.random.uniform(*self.weather.slow_s)
        return 0.0005 + 0.0195 * self.random.random()

    def hiccup(self) -> float:
        """How long a process takes from a decision to the call."""
        if self.random.random() < self.weather.hiccup:
            return self.random.uniform(0.1, 0.9)
        return 0.001 + 0.029 * self.random.random()

    def reaches(self, source: str, target: str) -> bool:
        if self.cut and self.cut.get((source, target), 0.0) > self.now:
            return False
        return self.random.random() >= self.weather.loss

    def send(self, source: str, target: str, do) -> None:
        """Deliver ``do`` to a host (in its process, so a paused one gets it late) or lose it."""
        if self.reaches(source, target):
            self.after(self.delay(), lambda: self.hosts[target].deliver(do))

    def ask_etcd(self, host: str, what, answer, timeout: float) -> None:
        """``what(model, now)`` happens at the store some time, if it arrives; ``answer`` gets its result, or None."""
        asked = Question(self, self.hosts[host], what, answer, self.now + timeout)
        if self.reaches(host, "etcd"):
            slow = self.random.uniform(0.3, 3.0) if self.etcd.slow_until > self.now else 0.0
            self.after(self.delay() + slow, asked.serve)
        else:
            asked.nothing()

    def leases_change(self) -> None:
        """Look at the leases again when the first of them may end, or when the store is there to end it."""
        ends = self.etcd.model.next_end_s()
        if ends is not None and not self.now < self._leases_until <= ends:
            self._leases_until = ends
            self.at(max(ends, self.etcd.down_until), self._expire)

    def _expire(self) -> None:
        if self.now < self.etcd.down_until:
            self.at(self.etcd.down_until, self._expire)
            return
        self._leases_until = 0.0
        if self.etcd.model.expire(self.now):
            self.tell()
        self.leases_change()

    def tell(self) -> None:
        """Watches: each host gets the changes since what it knows, later, or not at all."""
        self.changed = True
        for name, host in self.hosts.items():
            if not self.reaches("etcd", name):
                continue
            try:
                changes = self.etcd.model.changes("", host.follower.next_revision)
            except Compacted:
                continue
            revision = self.etcd.model.revision
            self.after(self.delay(), lambda h=host, c=changes, r=revision: h.deliver(lambda: h.watched(c, r)))


class Question:
    """One call to the store on its way there and back."""

    __slots__ = ("answer", "done", "host", "known", "late", "life", "result", "revision", "until", "what", "world")

    def __init__(self, world: World, host, what, answer, until: float) -> None:
        self.world, self.host, self.what, self.answer, self.until = world, host, what, answer, until
        self.life, self.done, self.late, self.result = host.life, False, False, None
        self.known, self.revision = host.known_revision, 0

    def serve(self) -> None:
        world = self.world
        etcd, before = world.etcd, world.etcd.model.revision
        if world.now < etcd.down_until:
            # Without quorum a request fails, or waits and is served late, long after its client gave up.
            if not self.late and world.random.random() < 0.3:
                self.late = True
                world.at(etcd.down_until + 0.01, self.serve)
            return self.nothing()
        try:
            self.result = self.what(etcd.model, world.now)
        except StoreError as error:
            self.result = error
        if etcd.model.revision != before:
            world.tell()
        self.revision = etcd.model.revision
        world.leases_change()
        if not world.reaches("etcd", self.host.name):
            return self.nothing()
        delay = world.delay()
        if world.now + delay >= self.until:
            self.nothing()
        return world.after(delay, self.back)

    def back(self) -> None:
        # When a process wakes up, both the answer and the end of its patience may be there; either may win.
        both = max(self.world.now, self.until) < self.host.paused_until
        if both and self.world.random.random() < 0.5:
            self.result = None
        self.host.deliver(self.tell)

    def nothing(self) -> None:
        """No answer will be there in time."""
        self.world.at(self.until, lambda: self.host.deliver(self.tell_nothing))

    def tell(self) -> None:
        if not self.done and self.host.life == self.life:
            self.done = True
            if self.result is not None and self.host.went_back(self.known, self.revision):
                self.result = None
            self.answer(self.result)

    def tell_nothing(self) -> None:
        if not self.done and self.host.life == self.life:
            self.done = True
            self.answer(None)
