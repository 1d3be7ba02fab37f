"""Nodes with keepers of ownership over one store: each has a disk of rows in memory that the pure rules bring in line.

Times are the loop's, virtual or real. Rows are ``coordinator.ownership.rows.Row``; copies are put where they belong by
the test, for the way they take is another's.
"""

import asyncio
from dataclasses import replace

from coordinator.feed import Feed
from coordinator.keeping.keeper import Hooks, Keeper
from coordinator.keys import Keys, Role
from coordinator.members import MemberRecord
from coordinator.ownership import rows
from coordinator.ownership.moves import Here
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Kind, Row
from coordinator.ownership.views import Me
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.store.contract import Indefinite, NoSpace
from coordinator.store.memory import MemoryStore
from coordinator.timing import FAST

KEYS = Keys(cluster="test")


class LossyStore(MemoryStore):
    """Loses the next answers to chosen transactions, before or after doing them; may fall silent for all."""

    def __init__(self, loop):
        super().__init__(loop.time)
        self.lose = []
        """``(key, done)``: the answer to the next transaction that writes the key is lost; whether it is done."""
        self.silent, self.full = False, ""
        """``full``: a key that nothing can be written to."""
        self.writes: list[str] = []

    async def _bound(self, call, timeout_s):
        if self.silent:
            call.close()
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")
        return await call

    async def txn(self, compares, writes, *, timeout_s):
        name = writes[0].key if writes else ""
        call = super().txn(compares, writes, timeout_s=timeout_s)
        for lost in self.lose:
            if lost[0] == name:
                self.lose.remove(lost)
                if lost[1]:
                    await call
                call.close()
                await asyncio.sleep(timeout_s)
                raise Indefinite("deadline exceeded")
        if name == self.full:
            call.close()
            raise NoSpace("the database is full")
        self.writes.append(name)
        return await self._bound(call, timeout_s)

    async def get(self, key, *, timeout_s):
        return await self._bound(super().get(key, timeout_s=timeout_s), timeout_s)

    async def list(self, prefix, *, timeout_s):
        return await self._bound(super().list(prefix, timeout_s=timeout_s), timeout_s)

    async def grant(self, ttl_s, *, timeout_s):
        return await self._bound(super().grant(ttl_s, timeout_s=timeout_s), timeout_s)

    async def renew(self, lease, *, timeout_s):
        return await self._bound(super().renew(lease, timeout_s=timeout_s), timeout_s)

    async def revoke(self, lease, *, timeout_s):
        return await self._bound(super().revoke(lease, timeout_s=timeout_s), timeout_s)


class _Deaf:
    """A store that answers nobody."""

    def __init__(self, store, nothing):
        self.newest = store.newest
        self.get = self.list = self.txn = self.grant = self.renew = self.revoke = nothing


class Disk:
    """``Rows`` in memory; ``fail``: how many calls of ``align`` fail; ``gate``: they wait for it."""

    def __init__(self, spool):
        self.spool, self.rows, self.moving = spool, {}, set()
        self.told_sequence, self.number, self.fail = 0, 0, 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.aligned, self.on_here = [], None
        self.me = None

    def put(self, name, row):
        self.rows[name] = row
        self.number += 1

    async def told(self):
        return self.told_sequence

    async def sequence(self):
        return self.number

    async def tell(self, sequence):
        await asyncio.sleep(0.002)
        self.told_sequence = max(self.told_sequence, sequence)

    async def here(self, key, epoch):
        await asyncio.sleep(0.001)
        if self.on_here is not None:
            self.on_here(key)
        found = {n: row for n, row in self.rows.items() if row.attached == Attached(key=key, epoch=epoch)}
        own = {name: row for name, row in found.items() if row.kind is Kind.OWN}
        return Here(
            own=len(own),
            spare=len(found) - len(own),
            moving=len(self.moving & set(own)),
            unconfirmed=sum(not row.confirmed for row in own.values()),
            asking=sum(row.on_unknown is not rows.OnUnknown.REPEAT for row in own.values()),
        )

    async def align(self, view):
        await asyncio.sleep(0.002)
        await self.gate.wait()
        if self.fail:
            self.fail -= 1
            raise OSError("the disk is full")
        self.aligned.append((view.state, view.epoch))
        for name, row in list(self.rows.items()):
            after = rows.aligned(row, view, self.me)
            if after != row:
                self.put(name, after)

    def kinds(self):
        return {name: row.kind for name, row in self.rows.items()}


class Node:
    """One machine; ``start`` and ``kill`` are its process's."""

    def __init__(self, name, store, home, now_ms, disk, house, *, site):
        self.name, self.store, self.home, self.now_ms, self.disk = name, store, home / name, now_ms, disk
        self.house, self.site = house, site
        self.tasks, self.refused, self.quarantined, self.changes, self.life = [], [], [], 0, 0
        self.healthy = True

    def start(self):
        self.life += 1
        self.home.mkdir(parents=True, exist_ok=True)
        self.held = HeldLease(self.home / f"lease{self.life}", f"boot{self.life}")
        record = MemberRecord(
            node=self.name, boot_id=f"boot{self.life}", process_id=f"p{self.life}", spool=self.disk.spool
        )
        key = KEYS.member(Role.NODE, self.name)
        who = Self(key=key, record=record, held=self.held, progress_ms=self.now_ms)
        self.session = SessionRunner(self.store, FAST, who, now_ms=self.now_ms)
        self.feed = Feed(self.store, KEYS)
        self.me = self.disk.me = Me(node=self.name, spool=self.disk.spool)
        hooks = Hooks(
            candidates=self.candidates,
            paused=lambda: self.house.paused,
            dead=lambda: self.house.dead,
            listed=lambda: frozenset(self.house.nodes) - self.house.unlisted,
            changed=self._changed,
            quarantined=self.quarantined.append,
            refuse=self.refused.append,
        )
        self.keeper = Keeper(
            self.me, self.disk, hooks, session=self.session, feed=self.feed, store=self.store, keys=KEYS,
            site=self.site, now_ms=self.now_ms,
        )  # fmt: skip
        works = (self.session.run(), self.feed.run(), self.keeper.run())
        self.tasks = [asyncio.ensure_future(work) for work in works]

    def _changed(self):
        self.changes += 1

    def candidates(self):
        nodes = self.house.nodes.values()
        return [Candidate(node=n.name, spool=n.disk.spool, site=n.site, healthy=n.healthy) for n in nodes]

    async def kill(self):
        """The process is gone; its lease runs out."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.held.close()

    async def cut(self, loop):
        """Cut it from the store, which hears and tells it nothing any more; its session ends."""
        self.feed.feed = lambda _seen: None

        async def nothing(*_, timeout_s, **__):
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")

        self.session._store = self.keeper._sending._store = _Deaf(self.store, nothing)
        await until(loop, lambda: not self.session.session.live(self.now_ms()), 10)

    def key(self, shadow):
        return PairKey(spool=self.disk.spool, shadow=shadow)

    def state(self, key):
        view = self.keeper.view(key)
        return view.state if view is not None else None

    def take_in(self, name, *, confirmed=True, **row):
        """Take a row in as the door does, with its copy at the target's node."""
        view = self.keeper.target
        attached = Attached(key=view.key, epoch=view.epoch)
        self.disk.put(name, Row(attached=attached, confirmed=confirmed, **row))
        other = self.house.nodes[view.key.shadow]
        if confirmed:
            other.disk.put(name, Row(kind=Kind.SHADOW, attached=attached, **row))
        return attached

    def confirm_all(self):
        for name, row in list(self.disk.rows.items()):
            if row.kind is Kind.OWN and not row.confirmed:
                self.disk.put(name, replace(row, confirmed=True))


class House:
    """All of them, and what an operator says. ``store``: the one of all, or what gives each node its own."""

    def __init__(self, store, home, now_ms, names, *, sites=None):
        self.paused, self.dead, self.unlisted = False, frozenset(), frozenset()
        self.nodes = {}
        for name in names:
            site = (sites or {}).get(name, name)
            mine = store(name) if callable(store) else store
            self.nodes[name] = Node(name, mine, home, now_ms, Disk(f"disk-{name}"), self, site=site)

    def start(self):
        for node in self.nodes.values():
            node.start()

    async def close(self):
        for node in self.nodes.values():
            if node.tasks:
                await node.kill()


async def until(loop, condition, within_s, what=""):
    end = loop.time() + within_s
    while not condition():
        assert loop.time() < end, what or "not in time"
        await asyncio.sleep(0.01)
    return loop.time()
