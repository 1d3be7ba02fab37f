"""A simulated machine: a clock of its own, a kernel that keeps an address for a lifetime, a process with a session.

The process is the product's pure code; this file is what the asynchronous runners are in the product.
"""

from dataclasses import dataclass

from coordinator import session as sessions
from coordinator.runtime import ForeignCluster, KnownCluster
from coordinator.session import Event, Phase, Renewal, Session
from coordinator.store.contract import Health, LeaseLost, Listing, Outcome, Put, absent
from coordinator.store.following import Follower
from coordinator.timing import Timing
from tests.simulation.cluster_world import Violation


class Remembered(KnownCluster):
    """What a host knows of the store over restarts; the file is left out."""

    def __init__(self) -> None:
        self._known = None

    def _keep(self, known) -> None:
        self._known = known


BEAT_S = (0.06, 0.12)
"""The product looks again every 100 ms."""
MEMBER = "coordinators/"


@dataclass
class Kernel:
    """The address in the kernel: bound until a moment of true time."""

    until: float = 0.0


class Machine:
    """Clock, kernel and process; what the process does is added by ``Host``."""

    def __init__(self, world, name: str, timing: Timing, nodes: tuple[str, ...]) -> None:
        self.world, self.name, self.timing, self.nodes = world, name, timing, nodes
        self.key = MEMBER + name
        self.offset = world.random.uniform(0, 10_000)
        self.rate = 1 + world.random.uniform(-500e-6, 500e-6)
        self.kernel = Kernel()
        self.alive = False
        self.life = 0
        self.paused_until = 0.0
        self.waiting: list = []
        self.machine_paused_until = 0.0
        self.excused_until = 0.0
        self.kernel_stood_still = False
        self.unready_until = 0.0
        self.known, self.known_revision, self.refused = Remembered(), 0, False
        self.held_lease = 0  # the file in the runtime directory
        self.follower = Follower("")
        self.start()

    # Clock and process ------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        return int((self.offset + self.world.now * self.rate) * 1_000)

    def true_time(self, ms: int) -> float:
        """When this host's clock shows ``ms``."""
        return (ms / 1_000 - self.offset) / self.rate

    def deliver(self, do) -> None:
        """Run in the process: at once, or when it runs again; lost if it died meanwhile."""
        if not self.alive:
            return
        if self.world.now < self.paused_until:
            self.waiting.append(do)
            return
        do()
        if self.alive:
            self.plan()

    def pause(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
        self.world.at(self.paused_until, self._wake)

    def _wake(self) -> None:
        if self.world.now < self.paused_until:
            return
        self.world.changed = True
        waiting, self.waiting = self.waiting, []
        self.world.random.shuffle(waiting)
        for do in waiting:
            self.deliver(do)

    def machine_pause(self, length: float) -> None:
        """The kernel stands still too, and its clocks with it; overlap for the rest of the lease is allowed (I4)."""
        if self.world.now < self.machine_paused_until:
            return
        self.machine_paused_until = self.world.now + length
        self.pause(self.machine_paused_until)
        # The clock must not be seen running meanwhile: nobody looks, the process is paused until then.
        self.offset -= length * self.rate
        if self.kernel.until > self.world.now:
            self.set_kernel(self.kernel.until + length)
            self.kernel_stood_still = True
        self.excused_until = self.world.now + length + self.timing.ttl_ms / 1_000
        self.world.at(self.excused_until, self._excused_no_more)

    def _excused_no_more(self) -> None:
        self.world.changed = True

    def set_kernel(self, until: float) -> None:
        self.kernel_stood_still = False
        self.kernel.until = until
        self.world.changed = True

    def crash(self) -> None:
        """SIGKILL: the kernel keeps the address for its lifetime."""
        self.alive = False
        self.life += 1
        self.waiting.clear()
        self.world.changed = True

    def start(self) -> None:
        if self.alive:
            return
        self.alive = True
        self.life += 1
        self.session = Session(timing=self.timing)
        self.follower = Follower("")
        self.started_ms = self.now_ms()
        self.due_ms = self.next_join_ms = 0
        self.renewing = False
        self.wake_at = 0.0
        self.set_kernel(0.0)  # a starting coordinator removes what its predecessor left, before anything else
        self.begin()
        self.poke()

    def begin(self) -> None:
        """What a new process knows; extended by others."""

    # Waking up --------------------------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Have the process look now."""
        life = self.life
        self.world.after(0.0, lambda: self._look(life))

    def _look(self, life: int) -> None:
        if life == self.life:
            self.deliver(self.work)

    def _tick(self, life: int, at: float) -> None:
        """A planned look; another one planned meanwhile makes it void."""
        if life == self.life and at == self.wake_at:
            self.wake_at = 0.0
            self.deliver(self.work)

    def plan(self) -> None:
        """Sleep until something is due; a look planned earlier stands."""
        if self.renewing and self.calm_until(self.now_ms() + self.timing.timeout_ms):
            return  # the answer, or the end of waiting for it, comes before anything else
        at = self.next_look()
        if self.world.now < self.wake_at <= at:
            return
        self.wake_at = at
        life = self.life
        self.world.at(at, lambda: self._tick(life, at))

    def next_look(self) -> float:
        """When to look again (true time): every beat, unless calm."""
        now = self.world.now
        sleep_ms = self.sleep_ms(self.now_ms())
        if sleep_ms <= 0:
            return now + self.world.random.uniform(*BEAT_S)
        return now + (sleep_ms + 1) / 1_000 / self.rate

    def calm_until(self, at_ms: int) -> bool:
        return False

    def sleep_ms(self, now_ms: int) -> int:
        """How long nothing can be due; 0: look at every beat."""
        if self.session.phase is not Phase.LIVE or self.renewing:
            return 0
        return min(self.due_ms, self.session.deadline_ms) - now_ms

    def work(self) -> None:
        """What the loops do when they look."""
        self._session_beat()

    def _etcd(self, what, answer) -> None:
        self.world.ask_etcd(self.name, what, answer, self.timing.timeout_ms / 1_000)

    def went_back(self, known: int, revision: int) -> bool:
        """Whether an answer is of an older store than was known when it was asked for: then the session is over."""
        if revision >= known:
            self.known_revision = max(self.known_revision, revision)
            return False
        self.refused = True
        if self.session.phase is Phase.LIVE:
            self.session = sessions.step(self.session, Event.LOST, self.now_ms(), lease=self.session.lease)
        return True

    def _heard(self) -> None:
        self.session = sessions.step(self.session, Event.HEARD, self.now_ms())

    # Session ----------------------------------------------------------------------------------------------------------

    def check_fence(self) -> None:
        """Whoever believes in its session is right, now and until its deadline: the store keeps its key longer."""
        world = self.world
        running = self.alive and world.now >= max(self.paused_until, self.excused_until)
        if not running or not self.session.live(self.now_ms()) or world.etcd.went_back:
            return
        item = world.etcd.model.items.get(self.key)
        if item is None or item.create_revision != self.session.inc:
            raise Violation(f"I3: {self.name} believes in a session that is gone at {world.now:.3f}\n{world.tail()}")
        ends = world.etcd.model.leases[self.session.lease].ends_s
        if self.true_time(self.session.deadline_ms) > ends:
            raise Violation(f"I3: {self.name} will believe in its session beyond its end at {ends:.3f}\n{world.tail()}")

    def _session_beat(self) -> None:
        now_ms = self.now_ms()
        if self.session.phase is Phase.OUT and now_ms >= self.next_join_ms:
            self.session = sessions.step(self.session, Event.BEGIN, now_ms)
            self._join()
        elif self.session.phase is Phase.LIVE:
            what = sessions.next_renewal(self.session, now_ms, due_ms=self.due_ms, progress_ms=now_ms)
            if what is Renewal.SEND and not self.renewing:
                self._renew()
            self.session = sessions.step(self.session, Event.DEADLINE, now_ms)

    def _renew(self) -> None:
        sent_ms, lease, self.renewing = self.now_ms(), self.session.lease, True
        self.due_ms = sent_ms + self.timing.renew_ms

        def answer(result) -> None:
            self.renewing = False
            now_ms = self.now_ms()
            if self.session.phase is Phase.JOINING:
                return
            if result is None:
                self.session = sessions.step(self.session, Event.UNSURE, now_ms)
                self.due_ms = now_ms + 200
            elif isinstance(result, LeaseLost):
                self.session = sessions.step(self.session, Event.LOST, now_ms, lease=lease)
            else:
                self.session = sessions.step(self.session, Event.RENEWED, now_ms, sent_ms=sent_ms, lease=lease)
                self.check_fence()
            self.looked()

        self._etcd(lambda model, now: model.renew(lease, now), answer)

    def member_value(self) -> bytes:
        """What it shows of itself; extended by others."""
        return self.name.encode()

    def joined(self) -> None:
        """A session has begun."""

    def looked(self) -> None:
        """Something came in: decide again."""

    def _join(self) -> None:  # noqa: C901 - one chain of answers
        """The runner's ``_try_join`` as a chain of answers."""
        self.next_join_ms = self.now_ms() + self.timing.renew_ms
        me = self.key

        def failed() -> None:
            self.session = sessions.step(self.session, Event.FAILED, self.now_ms())

        def revoked(result) -> None:
            if result is None:
                return failed()
            self._heard()
            self.held_lease = 0
            sent_ms = self.now_ms()
            return self._etcd(lambda m, now: m.grant(self.timing.ttl_s, now), lambda lease: granted(lease, sent_ms))

        def granted(lease, sent_ms) -> None:
            if not isinstance(lease, int):
                return failed()
            self._heard()
            self.held_lease = lease
            put = Put(key=me, value=self.member_value(), lease=lease)
            return self._etcd(lambda m, _: m.txn([absent(me)], [put]), lambda out: joined(out, lease, sent_ms))

        def joined(outcome, lease, sent_ms) -> None:
            if outcome is None:
                return self._etcd(lambda m, _: Listing(items=tuple(filter(None, [m.items.get(me)])), revision=0),
                                  lambda found: read_back(found, lease, sent_ms))  # fmt: skip
            if not isinstance(outcome, Outcome) or not outcome.succeeded:
                return failed()
            return live(lease, outcome.revision, sent_ms)

        def read_back(found, lease, sent_ms) -> None:
            if not isinstance(found, Listing) or not found.items or found.items[0].lease != lease:
                return failed()
            return live(lease, found.items[0].create_revision, sent_ms)

        def live(lease, inc, sent_ms) -> None:
            self.due_ms = sent_ms + self.timing.renew_ms
            self.session = sessions.step(
                self.session, Event.JOINED, self.now_ms(), sent_ms=sent_ms, lease=lease, inc=inc
            )
            self.check_fence()
            self.joined()

        def begin() -> None:
            former = self.held_lease
            self._etcd(lambda m, _: (m.revoke(former), True)[1], revoked)

        self._check_store(begin, failed)

    def _check_store(self, good, bad) -> None:
        """No session begins at a store older than one that was seen."""

        def answer(revision) -> None:
            try:
                if not isinstance(revision, int) or self.refused:  # until an operator decides, over restarts too
                    return bad()
                self.known.check((self._health(revision),))
            except ForeignCluster:
                self.refused = True
                return bad()
            return good()

        self._etcd(lambda m, _: m.revision, answer)

    def _health(self, revision: int) -> Health:
        return Health(endpoint="", cluster_id=1, member_id=1, leader_id=1, revision=revision, version="", db_bytes=0)
