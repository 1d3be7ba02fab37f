"""Carries out what ``address.py`` decides for one address: calls the store and the driver, one thing at a time.

Decides nothing; every answer goes back into the value and the next decision looks again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from coordinator import address as addresses
from coordinator import promises
from coordinator.address_facts import Address, Facts, Key, Next, Todo
from coordinator.address_writes import key_of, names_of, to_delete, to_list, to_take
from coordinator.asking import ask_in_silence
from coordinator.candidates import RESIGNED_MS
from coordinator.drivers.contract import Driver, DriverError
from coordinator.early_facts import Act, Step
from coordinator.errors import NotAMember
from coordinator.feed import Feed
from coordinator.keys import Keys, Role, encode
from coordinator.members import Membership
from coordinator.parting import Parting
from coordinator.place import Place
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.store.contract import Compare, Item, Listing, Outcome, Seen, Store, StoreError, Write

BEAT_S = 0.1


class AddressKeeper:
    """One address on this host. ``address`` is the value last decided on."""

    def __init__(
        self,
        place: Place,
        driver: Driver,
        store: Store,
        session: SessionRunner,
        feed: Feed,
        keys: Keys,
        *,
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """Do nothing yet. ``driver.clean`` must have run before ``session`` begins."""
        self.address = Address(promised_to=place.promised[0], promised_until_ms=place.promised[1])
        self.place, self.doing, self.moves = place, Todo.NOTHING.value, 0
        self._parting = Parting(place, self._start)
        self.progress_ms = now_ms()
        """When the loop last moved; a loop that hangs must not go on being renewed."""
        self._driver, self._store, self._session, self._feed, self._keys = driver, store, session, feed, keys
        self._now_ms, self._started_ms = now_ms, now_ms() if place.started_ms is None else place.started_ms
        self._members = Membership(keys.member(Role.COORDINATOR, ""), known=(), now_ms=now_ms())
        self._list: Item | None = None
        self._resigned, self._resigned_ms, self._unfit_until_ms, self._leaving = "", 0, 0, False
        self._news, self._left = asyncio.Event(), asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    async def run(self) -> None:
        """Keep the address until cancelled; then it is removed here, and its key is left to the session's end."""
        unsubscribe = self._feed.subscribe(self.feed)
        if self.place.ask is not None:
            self._start(ask_in_silence(self, self.place.name, self.place.ask))
        try:
            while True:
                await self._beat()
        finally:
            unsubscribe()
            for task in self._beside:
                task.cancel()
            await asyncio.gather(*self._beside, return_exceptions=True)
            await self._driver.remove()

    def wake(self) -> None:
        """Look again now: something the place tells has changed."""
        self._news.set()

    async def leave(self, timeout_s: float) -> bool:
        """Give the address up for good, cleanly; whether that was done in time (``run`` must be running)."""
        self._leaving = True
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._left.wait()
        return self._left.is_set()

    def facts(self) -> Facts:
        """Gather what a decision looks at, now."""
        place, now_ms = self.place, self._now_ms()
        known, timing = self._session.session, place.timing
        session = known if timing is None else known.with_timing(timing)
        fit = not self._leaving and now_ms >= self._unfit_until_ms
        part = place.standing(self.address, self._resigned if now_ms - self._resigned_ms < RESIGNED_MS else "")
        return Facts(
            me=place.node,
            session=session,
            now_ms=now_ms,
            started_ms=self._started_ms,
            ready=place.ready(),
            fresh=place.fresh(),
            eligible=part.eligible and fit,
            paused=place.paused(),
            rank=part.rank,
            yields=part.yields,
            moved=part.moved,
            wanted=part.wanted,
            replaces=part.replaces,
            unanimity=place.ask is not None,
            allowance_ms=place.allowance_ms,
        )

    def asked(self, asker: str) -> bool:
        """Answer another host's holder (peer channel): True is a promise, already remembered."""
        self.address, given = promises.on_asked(self.address, self.facts(), asker)
        return given and self.place.remember(asker, self.address.promised_until_ms)

    def feed(self, seen: Seen) -> None:
        """Take what the watch told, all changes of one revision together: a lease's end takes several keys at once."""
        vip, now_ms = self._keys.address(self.place.name), self._now_ms()
        if seen.resync and vip not in {change.key for change in seen.changes}:
            self.address = addresses.on_key(self.address, None, seen.revision, now_ms)
        if seen.resync:
            self._members.feed(seen, now_ms)
        for revision in sorted({change.revision for change in seen.changes}):
            changes = tuple(change for change in seen.changes if change.revision == revision)
            self._members.feed(Seen(changes=changes, revision=revision), now_ms)
            for change in changes:
                if change.key == vip:
                    self._on_key(change.item, revision, clean=change.item is None and self._holder_is_there())
                elif change.key == self._keys.address_nodes(self.place.name):
                    self._on_list(change.item)
        self._news.set()

    def _on_key(self, item: Item | None, revision: int, *, clean: bool = False) -> None:
        holder = self.address.key.holder if self.address.key is not None else ""
        if item is None and clean:
            self._resigned, self._resigned_ms = holder, self._now_ms()
        self.address = addresses.on_key(self.address, key_of(item), revision, self._now_ms(), clean=clean)

    def _on_list(self, item: Item | None) -> None:
        if item is not None and (self._list is None or item.mod_revision >= self._list.mod_revision):
            self._list = item
            self.address = replace(self.address, nodes=names_of(item))

    def _holder_is_there(self) -> bool:
        """A key deleted while its holder's session lives was resigned, after the address had been removed."""
        key = self.address.key
        member = self._members.get(key.holder) if key is not None else None
        return key is not None and member is not None and member.lease == key.lease

    async def _beat(self) -> None:
        self.progress_ms = self._now_ms()
        if self._fault is not None:
            raise self._fault
        if self.address.taking:  # the answer was lost, and the reading after it too
            await self._settle()
        facts = self.facts()
        step = self._parting.delayed(self._decide(facts), facts, self._decide)
        self.doing = step.todo.todo.value if step.act is Act.ADDRESS else step.act.value
        if self._leaving and not self.address.bound and not addresses.mine(self.address, facts):
            self._left.set()
        if step == Step():
            await self._wait()
            return
        try:
            await self._carry_out(step)
        except (DriverError, StoreError, NotAMember) as error:
            self.place.alarm(f"{self.place.name}: {self.doing}: {error}")
            if isinstance(error, DriverError):  # another host may fare better
                self._unfit_until_ms = self._now_ms() + facts.timing.ttl_ms
            await asyncio.sleep(BEAT_S)

    def _decide(self, facts: Facts) -> Step:
        return Step(todo=addresses.decide(self.address, facts))

    async def _carry_out(self, step: Step) -> None:
        await self._do(step.todo)

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._news.wait()
        self._news.clear()

    async def _do(self, todo: Next) -> None:
        if todo.todo is Todo.TAKE:
            await self._take()
        elif todo.todo is Todo.DELETE:
            await self._delete()
        elif todo.todo is Todo.LIST:
            await self._change_list()
        elif todo.todo is Todo.PROBE:
            answered = await self._anybody()
            self.address = addresses.on_probe(
                self.address, self._now_ms(), answered=answered, timing=self._session.session.timing
            )
        elif todo.todo is Todo.BIND:
            await self._bind(todo.lifetime_s)
        else:
            await self._driver.remove()
            self.address = addresses.on_removed(self.address)
            self.place.event("removed")

    async def _bind(self, lifetime_s: int) -> None:
        fresh = not self.address.bound
        await self._driver.bind(lifetime_s)
        self.address = addresses.on_bound(self.address, lifetime_s, self._now_ms())
        if fresh:
            self.place.event("bound")
            self._start(self._look_beside())

    async def _anybody(self) -> bool:
        answered = await self._driver.probe()
        if answered:
            self.place.alarm(f"{self.place.name}: somebody else answers for the address")
        return answered

    async def _look_beside(self) -> None:
        """Ask once more when it is bound: after a clean end nobody was asked before, and a stranger may be there."""
        try:
            await self._anybody()
        except DriverError as error:
            self.place.alarm(f"{self.place.name}: probe: {error}")

    async def _take(self) -> None:
        facts, name, node = self.facts(), self.place.name, self.place.node
        lease = facts.session.lease
        self.address = addresses.on_take_sent(self.address)
        change = to_take(self._keys, name, node, lease=lease, stored=self._list, wanted=facts.wanted)
        outcome = await self._guarded(*change)
        if outcome is not None and outcome.succeeded:
            key = Key(holder=node, lease=lease, revision=outcome.revision)
            self.address = addresses.on_taken(self.address, key, self._now_ms())
            self.moves += 1
            self.place.event("taken")

    async def _delete(self) -> None:
        if self.address.key is None:
            return
        change = to_delete(self._keys, self.place.name, self.address.key)
        self.address = addresses.on_delete_sent(self.address)
        outcome = await self._guarded(*change)
        if outcome is not None and outcome.succeeded:
            self._on_key(None, outcome.revision, clean=True)
            self.place.event("resigned")

    async def _change_list(self) -> None:
        wanted, stored = self.facts().wanted, self._list
        if self.address.key is None or stored is None:
            return
        change = to_list(self._keys, self.place.name, self.address.key, stored=stored, wanted=wanted)
        self.address = addresses.on_list_sent(self.address, wanted)
        outcome = await self._guarded(*change)
        if outcome is None:
            return
        if outcome.succeeded:
            self._on_list(replace(stored, value=encode(list(wanted)), mod_revision=outcome.revision))
            self.place.event(f"list {', '.join(wanted)}")
        self.address = addresses.on_list(self.address, names_of(self._list))

    async def _guarded(self, compares: Sequence[Compare], writes: Sequence[Write], most_s: float = 0) -> Outcome | None:
        """Make one transaction, never repeat it; without an answer (None) or success the keys are read back."""
        timeout_s = most_s or self._session.session.timing.timeout_ms / 1_000
        outcome = None
        with suppress(StoreError):
            outcome = await self._session.guarded(compares, writes, timeout_s=timeout_s)
        self.progress_ms = self._now_ms()
        if outcome is None or not outcome.succeeded:
            await self._read_back(timeout_s)
        return outcome

    async def _settle(self) -> None:
        try:
            await self._read_back(self._session.session.timing.timeout_ms / 1_000)
        except StoreError:
            await asyncio.sleep(BEAT_S)

    async def _read_back(self, timeout_s: float) -> None:
        """Read all that concerns addresses as it is now; a key found absent counts as an unclean end."""
        self._take_reading(await self._store.list(f"{self._keys.root}vip", timeout_s=timeout_s))

    def _take_reading(self, listing: Listing) -> None:
        found = {item.key: item for item in listing.items}
        self._on_list(found.get(self._keys.address_nodes(self.place.name)))
        self._on_key(found.get(self._keys.address(self.place.name)), listing.revision)
        self.address = replace(self.address, taking=False)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let a fault in work beside the loop end the loop too."""
        self._beside.discard(task)
        self._fault = self._fault or (None if task.cancelled() else task.exception())
        self._news.set()
