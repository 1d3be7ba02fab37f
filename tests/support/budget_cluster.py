"""Nodes that share budgets over one store, each with a delivery that is nothing but its use of the budgets.

The upstream counts each message at a moment of its choice between MAIL and the reply, and connections while it believes
in them. Times are the loop's, virtual or real.
"""

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.feed import Feed
from coordinator.keys import Keys, Role
from coordinator.members import MemberRecord
from coordinator.peers.contract import PeerUnreachable
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.session import Phase
from coordinator.store.contract import Indefinite, NoSpace
from coordinator.timing import FAST
from node.cluster.contract import Grant, Limits, Need, Refusal
from node.cluster.limits import BudgetLimits
from node.cluster.place import Place
from node.cluster.together import ClusterBudgets
from node.policy.envelope import Priority

KEYS = Keys(cluster="test")
NAMES = ("a", "b", "c")
EPOCH_MS = 1_800_000_000_000
BOX = Limits(messages=30, window_s=60, recipients_24h=10_000, sessions=3)


def limits(accounts=1, box=BOX, **more):
    more.setdefault("urgent_percent", 0)
    more.setdefault("urgent_day_percent", 0)
    return BudgetLimits(accounts={f"t/{number}": box for number in range(accounts)}, **more)


@dataclass
class Upstream:
    """What the other side sees of each account."""

    random: random.Random
    counted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    units: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    open: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_open: int = 0

    def message(self, account, begun, ended, recipients=1):
        self.counted[account].append(self.random.choice((begun, ended, self.random.uniform(begun, ended))))
        self.units[account] += recipients

    def connected(self, account, change):
        self.open[account] += change
        self.most_open = max(self.most_open, self.open[account])

    def worst(self, account, window_s=60.0):
        times, first, worst = sorted(self.counted[account]), 0, 0
        for last, time in enumerate(times):
            while time - times[first] >= window_s:
                first += 1
            worst = max(worst, last - first + 1)
        return worst

    def used(self, account, limit, begin, end, window_s=60.0):
        """Share of what the limit allowed between two times, in whole rounds of the limit."""
        times = sorted(at for at in self.counted[account] if begin <= at < end)
        rounds = (len(times) - 1) // limit
        return rounds * window_s / (times[rounds * limit] - times[0]) if rounds > 0 else 0.0


class Wire:
    """The peer channel between nodes: who answers, and whose way is cut."""

    def __init__(self):
        self.routes: dict[str, dict] = {}
        self.cut: set[str] = set()


@dataclass
class Peers:
    """One node's end of it."""

    wire: Wire | None
    name: str

    async def ask(self, node, route, body, *, timeout_s):
        if self.wire is None or {node, self.name} & self.wire.cut or node not in self.wire.routes:
            await asyncio.sleep(timeout_s)
            raise PeerUnreachable(node)
        await asyncio.sleep(0.002)
        return await self.wire.routes[node][route](self.name, body)

    async def close(self):
        pass


class Node:
    """One node; ``start`` and ``kill`` are its process's."""

    def __init__(
        self, name, store, home: Path, now_ms, wanted: BudgetLimits, *, names=NAMES, boot="boot", wire=None, **place
    ):
        self.name, self.store, self.home, self.now_ms, self.names = name, store, home / name, now_ms, names
        self.wanted, self.boot, self.place = wanted, boot, place
        self.wire, self.fenced, self.parted = wire, [], asyncio.Event()
        self.freed = asyncio.Event()
        self.slot_wanted: set[str] = set()
        self.holding = False
        self.tasks: list[asyncio.Task] = []
        self.held = None
        self.life = 0

    def clock(self):
        return EPOCH_MS + self.now_ms()

    def start(self, *, run=True):
        self.life += 1
        self.home.mkdir(parents=True, exist_ok=True)
        self.held = HeldLease(self.home / "lease", self.boot)
        me = Self(
            key=KEYS.member(Role.NODE, self.name),
            record=MemberRecord(node=self.name, boot_id=self.boot, process_id=f"p{self.life}"),
            held=self.held,
            progress_ms=self.now_ms,
        )
        self.session = SessionRunner(self.store, FAST, me, now_ms=self.now_ms)
        self.feed = Feed(self.store, KEYS)
        self.together = ClusterBudgets(
            self.wanted,
            Place(
                node=self.name, nodes=self.names, session=self.session, keys=KEYS, feed=self.feed, boot=self.boot,
                clock=self.clock, boot_ms=self.now_ms, on_free=self._freed, on_slot_wanted=self._wanted,
                **self.place,
            ),
            self.home / "kept",
            started_ms=self.clock(),
        )  # fmt: skip
        self.budgets = self.together.budgets
        self.together.holds.load()
        if self.wire is not None:
            self.wire.routes[self.name] = self.together.routes()
        self.together.fence.on_lost = lambda: self.fenced.append("lost")
        self.together.fence.on_part = self._part
        self.together.fence.on_live = self._live
        if run:
            works = (self.session.run(), self.feed.run(), self.together.run(Peers(self.wire, self.name)))
            self.tasks = [asyncio.create_task(work) for work in works]
        return self

    def _part(self):
        self.fenced.append("part")
        self.parted.set()
        self.freed.set()

    def _live(self):
        self.fenced.append("live")
        self.parted = asyncio.Event()
        self.freed.set()

    def _freed(self, _account):
        if not self.holding:
            self.freed.set()

    def cancelled(self, grant):
        """Give back what did not suffice: no news for anybody here."""
        self.holding = True
        self.budgets.cancelled(grant, self.clock())
        self.holding = False

    def _wanted(self, account, wanted):
        (self.slot_wanted.add if wanted else self.slot_wanted.discard)(account)

    async def live(self, within_s=30.0):
        async with asyncio.timeout(within_s):
            while self.session.session.phase is not Phase.LIVE or self.feed.revision < self.session.session.inc:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self

    async def kill(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        if self.wire is not None:
            self.wire.routes.pop(self.name, None)
        self.held.close()

    async def until(self, check, within_s=30.0):
        async with asyncio.timeout(within_s):
            while not check():  # noqa: ASYNC110 - virtual time and sockets alike
                await asyncio.sleep(0.01)

    async def grant(self, within_s=10.0, **about) -> Grant:
        """Ask until granted."""
        about.setdefault("account", "t/0")
        about.setdefault("recipients", 1)
        async with asyncio.timeout(within_s):
            while isinstance(answer := self.budgets.try_grant(Need(**about), self.clock()), Refusal):
                await self._pause(answer.retry_ms)
        return answer

    async def slot(self, account="t/0", within_s=20.0):
        async with asyncio.timeout(within_s):
            while (lease := self.budgets.try_slot(account, self.clock())) is None:
                await self._pause(self.clock() + 1_000)
        return lease

    async def _pause(self, until_ms):
        self.freed.clear()
        try:
            async with asyncio.timeout(max(0.005, min(1.0, (until_ms - self.clock()) / 1_000))):
                await self.freed.wait()
        except TimeoutError:
            pass


class Sender:
    """A full queue for one account on one node, one connection wide, with delivery's order: permit, connection, mail.

    Yields as a pool does: idle while somebody waits, or after five messages or fifteen seconds of it.
    """

    def __init__(self, node: Node, upstream: Upstream, account: str, dice: random.Random, *, recipients=1):
        self.node, self.upstream, self.account, self.dice, self.recipients = node, upstream, account, dice, recipients
        self.sent = 0
        self.sent_at: list[float] = []
        self.turns: list[tuple[float, float]] = []
        self.urgent = False
        self.stopped = False
        self._lease = None
        self._opened_s = self._used_s = 0.0
        self._used = 0

    def seconds(self):
        return min(20.0, self.dice.lognormvariate(-0.51, 0.8))

    async def run(self):
        node, loop = self.node, asyncio.get_running_loop()
        try:
            while not self.stopped:
                if self._lease is not None and self._yields(loop.time()):
                    self._close(loop.time())
                grant = None if node.parted.is_set() else self._held(loop.time())
                if grant is None:
                    await node._pause(node.clock() + 500)
                else:
                    await self._one(grant, loop)
        finally:
            if self._lease is not None:
                self._close(loop.time())

    def _held(self, now_s) -> Grant | None:
        node = self.node
        priority = Priority.URGENT if self.urgent else Priority.NORMAL
        need = Need(account=self.account, recipients=self.recipients, priority=priority)
        answer = node.budgets.try_grant(need, node.clock())
        if isinstance(answer, Refusal):
            return None
        if self._lease is None:
            self._lease = node.budgets.try_slot(self.account, node.clock())
            if self._lease is None:
                node.cancelled(answer)
                return None
            self.upstream.connected(self.account, +1)
            self._opened_s, self._used_s, self._used = now_s, now_s, 0
        return answer

    def _yields(self, now_s):
        node = self.node
        tired = self._used >= 5 or now_s - self._opened_s >= 15 or now_s - self._used_s >= 0.5
        wanted = self.account in node.slot_wanted and tired
        return wanted or node.parted.is_set() or not node.budgets.may_send() or now_s - self._opened_s > 600

    def _close(self, now_s):
        lease, self._lease = self._lease, None
        self.upstream.connected(self.account, -1)
        self.turns.append((self._opened_s, now_s))
        self.node.budgets.give_back(lease, self.node.clock())

    async def _one(self, grant, loop):
        node = self.node
        begun, parted, seconds = loop.time(), node.parted, self.seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await parted.wait()
        # A conversation cut by the fence is counted all the same, when the upstream comes to it.
        node.budgets.settled(grant, node.clock(), vanished=parted.is_set())
        self.upstream.message(self.account, begun, begun + seconds, self.recipients)
        self.sent += 1
        self._used += 1
        self._used_s = loop.time()
        self.sent_at.append(self._used_s)


class Faulty:
    """One node's way to a store in memory: silent, losing answers after or before the deed, late, or full, at will."""

    def __init__(self, store):
        self._store = store
        self.silent = self.lose = self.full = False
        self.delay_s = 0.0
        self.late: list = []

    async def txn(self, compares, writes, *, timeout_s):
        if self.full:
            raise NoSpace("database space exceeded")
        if self.silent or self.delay_s > timeout_s:
            if self.delay_s > timeout_s:
                self.late.append((compares, writes))
            await asyncio.sleep(timeout_s)
            raise Indefinite("deadline exceeded")
        await asyncio.sleep(self.delay_s)
        outcome = await self._store.txn(compares, writes, timeout_s=timeout_s)
        if self.lose:
            await asyncio.sleep(timeout_s)
            raise Indefinite("deadline exceeded")
        return outcome

    async def serve_late(self):
        """Requests whose senders gave up reach the store now."""
        for compares, writes in self.late:
            await self._store.txn(compares, writes, timeout_s=1)
        self.late.clear()

    async def watch(self, prefix, *, poll_s):
        async for seen in self._store.watch(prefix, poll_s=poll_s):
            while self.silent:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)
            yield seen

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if name not in {"get", "list", "grant", "renew", "revoke", "health"}:
            return found

        async def call(*about, timeout_s, **more):
            if self.silent:
                await asyncio.sleep(timeout_s)
                raise Indefinite("unavailable")
            return await found(*about, timeout_s=timeout_s, **more)

        return call


class Counted:
    """A store that counts what it is asked, by kind; everything else is the store's own."""

    def __init__(self, store):
        self._store = store
        self.calls: dict[str, int] = defaultdict(int)

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if name in ("get", "list", "txn", "grant", "renew", "revoke"):
            self.calls[name] += 1
        return found
