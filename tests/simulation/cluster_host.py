"""A simulated host: a clock of its own, a kernel that keeps addresses for a lifetime, and a coordinator's process.

The process is the product's pure code; this file is what the asynchronous runners are in the product.
"""

from dataclasses import dataclass, replace
from functools import partial

from coordinator import address as addresses
from coordinator import promises
from coordinator import session as sessions
from coordinator.address_facts import Address, Facts, Key, Todo
from coordinator.address_writes import key_of, names_of
from coordinator.keys import encode
from coordinator.session import Event, Phase, Renewal, Session
from coordinator.store.contract import (
    Compare,
    Delete,
    Field,
    Item,
    LeaseLost,
    Listing,
    Outcome,
    Put,
    absent,
    created_at,
)
from coordinator.store.following import Follower
from coordinator.timing import Timing

VIP = "vip/x"
LIST = "vip-nodes/x"
POLL_MS = 2_000
ASK_MS = 200


@dataclass
class Kernel:
    """The address in the kernel: bound until a moment of true time."""

    until: float = 0.0
    label: str = ""


class Host:
    """One machine with one coordinator."""

    def __init__(self, world, name: str, timing: Timing, nodes: tuple[str, ...], *, unanimity: bool = True) -> None:
        self.world, self.name, self.timing, self.nodes, self.unanimity = world, name, timing, nodes, unanimity
        self.offset = world.random.uniform(0, 10_000)
        self.rate = 1 + world.random.uniform(-500e-6, 500e-6)
        self.kernel = Kernel()
        self.alive = False
        self.life = 0
        self.paused_until = 0.0
        self.waiting: list = []
        self.machine_paused_until = 0.0
        self.excused_until = 0.0
        self.unready_until = 0.0
        self.held_lease = 0  # the file in the runtime directory
        self.wish_away = False
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

    def pause(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)
        self.world.at(self.paused_until, self._wake)

    def _wake(self) -> None:
        if self.world.now < self.paused_until:
            return
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
            self.kernel.until += length
        self.excused_until = self.world.now + length + self.timing.ttl_ms / 1_000

    def crash(self) -> None:
        """SIGKILL: the kernel keeps the address for its lifetime."""
        self.alive = False
        self.life += 1
        self.waiting.clear()

    def start(self) -> None:
        if self.alive:
            return
        self.alive = True
        self.life += 1
        self.session = Session(timing=self.timing)
        self.address = Address()
        self.follower = Follower("")
        self.members: dict[str, tuple[int, int]] = {}
        self.started_ms = self.now_ms()
        self.list_item: Item | None = None
        self.due_ms = self.next_poll_ms = self.next_ask_ms = self.next_join_ms = 0
        self.busy = self.polling = self.joining = self.renewing = False
        self.kernel.until = 0.0  # a starting coordinator removes what its predecessor left, before anything else
        life = self.life
        self.world.after(0.0, lambda: self._tick(life))

    def _tick(self, life: int) -> None:
        if life != self.life:
            return
        self.deliver(self.work)
        self.world.after(self.world.random.uniform(0.06, 0.12), lambda: self._tick(life))

    def facts(self) -> Facts:
        rivals = sorted(self.members)
        rank = rivals.index(self.name) if self.name in rivals else 0
        return Facts(
            me=self.name, session=self.session, now_ms=self.now_ms(), started_ms=self.started_ms,
            ready=self.world.now >= self.unready_until, rank=rank, yields=self.wish_away, unanimity=self.unanimity,
        )  # fmt: skip

    def work(self) -> None:
        """What the coordinator's loops do at every beat."""
        self._session_beat()
        now_ms = self.now_ms()
        if now_ms >= self.next_poll_ms and not self.polling:
            self.polling = True
            self.next_poll_ms = now_ms + POLL_MS
            self._etcd(lambda model, _: model.list(""), self._polled)
        if now_ms >= self.next_ask_ms and promises.wants_promises(self.address, self.facts()):
            self.next_ask_ms = now_ms + ASK_MS
            self._ask_promises()
        self._address_beat()

    def _etcd(self, what, answer) -> None:
        self.world.ask_etcd(self.name, what, answer, self.timing.timeout_ms / 1_000)

    def _heard(self) -> None:
        self.session = sessions.step(self.session, Event.HEARD, self.now_ms())

    # Session ----------------------------------------------------------------------------------------------------------

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
            self._address_beat()

        self._etcd(lambda model, now: model.renew(lease, now), answer)

    def _join(self) -> None:
        """The runner's ``_try_join`` as a chain of answers."""
        self.next_join_ms = self.now_ms() + self.timing.renew_ms
        me = f"coordinators/{self.name}"

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
            put = Put(key=me, value=self.name.encode(), lease=lease)
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

        former = self.held_lease
        self._etcd(lambda m, _: (m.revoke(former), True)[1], revoked)

    # Watch ------------------------------------------------------------------------------------------------------------

    def watched(self, changes, revision: int) -> None:
        if changes and changes[0].revision > self.follower.next_revision and changes[0].revision > revision:
            return
        seen = self.follower.streamed(changes, revision)
        if seen is not None:
            self._seen(seen)

    def _polled(self, listing) -> None:
        self.polling = False
        if not isinstance(listing, Listing):
            return
        self._heard()
        seen = self.follower.polled(listing) or None
        if seen is not None:
            self._seen(seen)
        elif VIP not in {item.key for item in listing.items}:
            self.address = addresses.on_key(
                self.address, None, listing.revision, self.address.gone_ms or self.now_ms(), clean=self.address.clean
            ) if self.address.key is None else self.address  # fmt: skip
        if self.address.taking and listing.revision >= self.address.revision:
            self.address = replace(self.address, taking=False)

    def _seen(self, seen) -> None:
        if seen.resync:
            keys = {change.key for change in seen.changes}
            self.members = {name: ids for name, ids in self.members.items() if f"coordinators/{name}" in keys}
            if VIP not in keys and (self.address.key is not None or self.address.gone_ms == 0):
                self._vip(None, seen.revision, clean=False)
        by_revision: dict[int, list] = {}
        for change in seen.changes:
            by_revision.setdefault(change.revision, []).append(change)
        for revision in sorted(by_revision):
            self._one_revision(by_revision[revision], revision)
        self._address_beat()

    def _one_revision(self, changes, revision: int) -> None:
        """All changes of one revision together: a lease's end takes member and address away in one."""
        for change in changes:
            if change.key.startswith("coordinators/"):
                node = change.key.removeprefix("coordinators/")
                self.members.pop(node, None)
                if change.item is not None:
                    self.members[node] = (change.item.create_revision, change.item.lease)
            elif change.key == LIST and change.item is not None:
                self.list_item = change.item
                self.address = replace(self.address, nodes=names_of(change.item))
        for change in changes:
            if change.key == VIP:
                key = self.address.key
                clean = key is not None and self.members.get(key.holder, (0, 0))[1] == key.lease
                self._vip(change.item, revision, clean=change.item is None and clean)

    def _vip(self, item, revision: int, *, clean: bool) -> None:
        self.address = addresses.on_key(self.address, key_of(item), revision, self.now_ms(), clean=clean)

    # Address ----------------------------------------------------------------------------------------------------------

    def next_todo(self):
        return addresses.decide(self.address, self.facts())

    def _address_beat(self) -> None:
        if self.busy:
            return
        todo = self.next_todo()
        if todo.todo is Todo.NOTHING:
            return
        self.busy = True
        # The call takes its time, and the process may be paused between the decision and the call.
        delay = self.world.hiccup()
        life = self.life
        self.world.after(delay, lambda: self.deliver(lambda: self._do(todo, life)))

    def _do(self, todo, life: int) -> None:
        if life != self.life:
            return
        self.busy = False
        getattr(self, f"_do_{todo.todo.value}")(todo)

    def _do_bind(self, todo) -> None:
        late = self.world.random.uniform(*self.world.weather.kernel_late_s)
        self.kernel.until = self.world.now + todo.lifetime_s / self.rate + late
        self.address = addresses.on_bound(self.address, todo.lifetime_s, self.now_ms())
        self.look_again()

    def look_again(self) -> None:
        """After every call to the kernel: has the time run out meanwhile?"""
        todo = self.next_todo()
        if todo.todo is Todo.REMOVE:
            self._do_remove(todo)
        elif todo.todo is Todo.BIND:
            self.kernel.until = self.world.now + todo.lifetime_s / self.rate + self.world.weather.kernel_late_s[1]
            self.address = addresses.on_bound(self.address, todo.lifetime_s, self.now_ms())

    def _do_remove(self, todo) -> None:
        self.kernel.until = 0.0
        self.address = addresses.on_removed(self.address)
        self._address_beat()

    def _do_probe(self, todo) -> None:
        # The network's probe is a net below, and often blind: the rules must hold without it.
        there = any(h is not self and h.kernel.until > self.world.now for h in self.world.hosts.values())
        answered = there and self.world.random.random() < self.world.weather.probe
        self.address = addresses.on_probe(self.address, self.now_ms(), answered=answered, timing=self.timing)
        self._address_beat()

    def _guard(self) -> Compare:
        return created_at(f"coordinators/{self.name}", self.session.inc)

    def _do_take(self, todo) -> None:
        if addresses.decide(self.address, self.facts()).todo is not Todo.TAKE:
            return
        lease, writes = self.session.lease, [Put(key=VIP, value=encode(self.name), lease=self.session.lease)]
        if self.list_item is None:
            of_list = absent(LIST)
            writes.append(Put(key=LIST, value=encode(list(self.nodes))))
        else:
            of_list = Compare(key=LIST, field=Field.MOD, equals=self.list_item.mod_revision)
        compares = [self._guard(), absent(VIP), of_list]
        self.address = addresses.on_take_sent(self.address)

        def answer(outcome) -> None:
            if outcome is None:
                return  # read back by the next poll, never repeated
            self._heard()
            if isinstance(outcome, Outcome) and outcome.succeeded:
                key = Key(holder=self.name, lease=lease, revision=outcome.revision)
                self.address = addresses.on_taken(self.address, key, self.now_ms())
                if not self.address.nodes:
                    self.address = replace(self.address, nodes=self.nodes)
            else:
                self.address = replace(self.address, taking=False)
            self._address_beat()

        self._etcd(lambda m, _: m.txn(compares, writes), answer)

    def may_delete(self) -> bool:
        return not self.address.bound

    def _do_delete(self, todo) -> None:
        if self.address.key is None or not self.may_delete():
            return
        self.wish_away = False
        self.address = addresses.on_delete_sent(self.address)
        compares = [self._guard(), Compare(key=VIP, field=Field.MOD, equals=self.address.key.revision)]
        self.busy = True

        def answer(outcome) -> None:
            self.busy = False
            if isinstance(outcome, Outcome) and outcome.succeeded:
                self.address = addresses.on_key(self.address, None, outcome.revision, self.now_ms(), clean=True)

        self._etcd(lambda m, _: m.txn(compares, [Delete(key=VIP)]), answer)

    # Promises ---------------------------------------------------------------------------------------------------------

    def _ask_promises(self) -> None:
        facts = self.facts()
        self.address = promises.on_round(self.address, facts)
        for other in promises.asked_nodes(self.address, facts):
            if other in self.world.hosts:
                target = self.world.hosts[other]
                self.world.send(self.name, other, partial(target.asked, self.name, facts.now_ms))

    def asked(self, asker: str, sent_ms: int) -> None:
        self.address, given = promises.on_asked(self.address, self.facts(), asker)
        if given:
            holder, life = self.world.hosts[asker], self.world.hosts[asker].life
            self.world.send(self.name, asker, lambda: holder.promised(sent_ms, self.name, life))

    def promised(self, sent_ms: int, giver: str, life: int) -> None:
        if life == self.life:
            self.address = promises.on_promise(self.address, self.facts(), sent_ms, giver)
            self._address_beat()
