"""Carries out what ``address.py`` decides for one address: calls the store and the driver, one thing at a time.

Decides nothing; every answer goes back into the value and the next decision looks again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from coordinator import address as addresses
from coordinator import promises
from coordinator.address import Address, Facts, Key, Next, Todo
from coordinator.drivers.contract import Driver, DriverError
from coordinator.errors import NotAMember
from coordinator.keys import Keys, Role, decode, encode
from coordinator.members import Membership
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.store.contract import Change, Compare, Delete, Field, Item, Put, Seen, Store, StoreError, Write, absent
from coordinator.timing import KERNEL_ALLOWANCE_MS

BEAT_S = 0.1
ASK_S = 0.2
ANSWER_S = 1.0
POLL_S = 5.0


@dataclass(slots=True, kw_only=True)
class Place:
    """What the keeper is told from outside; the functions are asked at every decision."""

    name: str
    node: str
    nodes: Sequence[str]
    """Configured nodes: the list written when none is stored with the address yet."""
    ready: Callable[[], bool]
    eligible: Callable[[], bool] = lambda: True
    rank: Callable[[], int] = lambda: 0
    yields: Callable[[], bool] = lambda: False
    paused: Callable[[], bool] = lambda: False
    ask: Callable[[str, str], Awaitable[bool]] | None = None
    """Ask a node over the authenticated channel to promise an address; None: no promises, no keeping in silence."""
    allowance_ms: int = KERNEL_ALLOWANCE_MS
    alarm: Callable[[str], None] = field(default=lambda _: None)


class AddressKeeper:
    """One address on this host. ``address`` is the value last decided on."""

    def __init__(
        self,
        place: Place,
        driver: Driver,
        store: Store,
        session: SessionRunner,
        keys: Keys,
        *,
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """Do nothing yet. ``driver.clean`` must have run before ``session`` begins."""
        self.address = Address()
        self._place, self._driver, self._store, self._session, self._keys = place, driver, store, session, keys
        self._now_ms, self._started_ms = now_ms, now_ms()
        self._members = Membership(keys.member(Role.COORDINATOR, ""), known=(), now_ms=now_ms())
        self._list: Item | None = None
        self._news = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep the address until cancelled; then it is removed here, and its key is left to the session's end."""
        beside = [asyncio.create_task(self._watch()), asyncio.create_task(self._ask_in_silence())]
        try:
            while True:
                if self.address.taking:  # the answer was lost, and the reading after it too
                    await self._settle()
                todo = addresses.decide(self.address, self.facts())
                if todo.todo is Todo.NOTHING:
                    await self._wait()
                    continue
                try:
                    await self._do(todo)
                except (DriverError, StoreError, NotAMember) as error:
                    self._place.alarm(f"{self._place.name}: {todo.todo.value}: {error}")
                    await asyncio.sleep(BEAT_S)
        finally:
            for task in (*beside, *self._asking):
                task.cancel()
            await asyncio.gather(*beside, *self._asking, return_exceptions=True)
            await self._driver.remove()

    def facts(self) -> Facts:
        """Gather what a decision looks at, now."""
        place = self._place
        return Facts(
            me=place.node,
            session=self._session.session,
            now_ms=self._now_ms(),
            started_ms=self._started_ms,
            ready=place.ready(),
            eligible=place.eligible(),
            paused=place.paused(),
            rank=place.rank(),
            yields=place.yields(),
            unanimity=place.ask is not None,
            allowance_ms=place.allowance_ms,
        )

    def asked(self, asker: str) -> bool:
        """Answer another host's holder (peer channel): True is a promise, already remembered."""
        self.address, given = promises.on_asked(self.address, self.facts(), asker)
        return given

    def feed(self, seen: Seen) -> None:
        """Take what the watch told, all changes of one revision together: a lease's end takes several keys at once."""
        vip, now_ms = self._keys.address(self._place.name), self._now_ms()
        if seen.resync and vip not in {change.key for change in seen.changes}:
            self.address = addresses.on_key(self.address, None, seen.revision, now_ms)
        if seen.resync:
            self._members.feed(seen, now_ms)
        for revision in sorted({change.revision for change in seen.changes}):
            changes = tuple(change for change in seen.changes if change.revision == revision)
            self._members.feed(Seen(changes=changes, revision=revision), now_ms)
            for change in changes:
                if change.key == vip:
                    clean = change.item is None and self._holder_is_there()
                    key = self._key_of(change.item)
                    self.address = addresses.on_key(self.address, key, revision, now_ms, clean=clean)
                elif change.key == self._keys.address_nodes(self._place.name) and change.item is not None:
                    self._list = change.item
                    self.address = replace(self.address, nodes=tuple(decode(change.item.value, list) or ()))
        self._news.set()

    def _holder_is_there(self) -> bool:
        """A key deleted while its holder's session lives was resigned, after the address had been removed."""
        key = self.address.key
        member = self._members.get(key.holder) if key is not None else None
        return key is not None and member is not None and member.lease == key.lease

    def _key_of(self, item: Item | None) -> Key | None:
        """A value that cannot be read is a holder nobody knows: taken all the same."""
        if item is None:
            return None
        holder = decode(item.value, str)
        return Key(holder=holder or "?", lease=item.lease, revision=item.mod_revision)

    async def _watch(self) -> None:
        async for seen in self._store.watch(self._keys.root, poll_s=POLL_S):
            self.feed(seen)

    async def _wait(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._news.wait()

    async def _do(self, todo: Next) -> None:
        if todo.todo is Todo.TAKE:
            await self._take()
        elif todo.todo is Todo.DELETE:
            await self._delete()
        elif todo.todo is Todo.PROBE:
            answered = await self._driver.probe()
            if answered:
                self._place.alarm(f"{self._place.name}: somebody else answers for the address")
            facts = self.facts()
            self.address = addresses.on_probe(self.address, facts.now_ms, answered=answered, timing=facts.timing)
        elif todo.todo is Todo.BIND:
            await self._driver.bind(todo.lifetime_s)
            self.address = addresses.on_bound(self.address, todo.lifetime_s, self._now_ms())
        else:
            await self._driver.remove()
            self.address = addresses.on_removed(self.address)

    async def _take(self) -> None:
        vip, nodes = self._keys.address(self._place.name), self._keys.address_nodes(self._place.name)
        lease = self._session.session.lease
        writes: list[Write] = [Put(key=vip, value=encode(self._place.node), lease=lease)]
        if self._list is None:
            stored = absent(nodes)
            writes.append(Put(key=nodes, value=encode(list(self._place.nodes))))
        else:
            stored = Compare(key=nodes, field=Field.MOD, equals=self._list.mod_revision)
        self.address = addresses.on_take_sent(self.address)
        outcome = await self._guarded([absent(vip), stored], writes)
        if outcome:
            key = Key(holder=self._place.node, lease=lease, revision=outcome)
            self.address = addresses.on_taken(self.address, key, self._now_ms())

    async def _delete(self) -> None:
        vip, key = self._keys.address(self._place.name), self.address.key
        if key is None:
            return
        self.address = addresses.on_delete_sent(self.address)
        outcome = await self._guarded([Compare(key=vip, field=Field.MOD, equals=key.revision)], [Delete(key=vip)])
        if outcome:
            self.address = addresses.on_key(self.address, None, outcome, self._now_ms(), clean=True)

    async def _guarded(self, compares: Sequence[Compare], writes: Sequence[Write]) -> int:
        """Make one transaction, never repeat it: whatever came of it, the key is read back unless it succeeded."""
        timeout_s = self._session.session.timing.timeout_ms / 1_000
        with suppress(StoreError):
            outcome = await self._session.guarded(compares, writes, timeout_s=timeout_s)
            if outcome.succeeded:
                return outcome.revision
        self.feed(await self._read_back(timeout_s))
        self.address = replace(self.address, taking=False)
        return 0

    async def _settle(self) -> None:
        try:
            self.feed(await self._read_back(self._session.session.timing.timeout_ms / 1_000))
            self.address = replace(self.address, taking=False)
        except StoreError:
            await asyncio.sleep(BEAT_S)

    async def _ask_in_silence(self) -> None:
        """Begin a round of questions every 200 ms while the store is silent and the address is bound here."""
        while self._place.ask is not None:
            facts = self.facts()
            if promises.wants_promises(self.address, facts):
                self.address = promises.on_round(self.address, facts)
                for node in promises.asked_nodes(self.address, facts):
                    task = asyncio.create_task(self._ask_one(node, facts.now_ms))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)
            await asyncio.sleep(ASK_S)

    async def _ask_one(self, node: str, sent_ms: int) -> None:
        if self._place.ask is None:
            return
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_S):
                if await self._place.ask(node, self._place.name):
                    self.address = promises.on_promise(self.address, self.facts(), sent_ms, node)
                    self._news.set()

    async def _read_back(self, timeout_s: float) -> Seen:
        listing = await self._store.list(self._keys.root, timeout_s=timeout_s)
        changes = tuple(Change(key=item.key, item=item, revision=item.mod_revision) for item in listing.items)
        return Seen(changes=changes, revision=listing.revision, resync=True)
