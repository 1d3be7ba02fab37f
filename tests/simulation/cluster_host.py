"""A simulated host of the address world: a machine whose process follows the store and keeps one address.

Address, promises and what the watch tells are the product's pure code.
"""

from dataclasses import replace
from functools import partial

from coordinator import address as addresses
from coordinator import promises
from coordinator.address_facts import Address, Facts, Key, Todo
from coordinator.address_writes import key_of, names_of
from coordinator.keys import encode
from coordinator.session import Phase
from coordinator.store.contract import Compare, Delete, Field, Item, Listing, Outcome, Put, absent, created_at
from tests.simulation.cluster_process import MEMBER, Machine

VIP = "vip/x"
LIST = "vip-nodes/x"
POLL_MS = 5_000
ASK_MS = 200
BEAT_MS = 100


class Host(Machine):
    """One machine with one coordinator."""

    def __init__(self, world, name: str, timing, nodes: tuple[str, ...], *, unanimity: bool = True) -> None:
        self.unanimity, self.wish_away = unanimity, False
        super().__init__(world, name, timing, nodes)

    def begin(self) -> None:
        self.address = Address()
        self.last_facts: Facts | None = None
        self.members: dict[str, tuple[int, int]] = {}
        self.rank = 0
        self.list_item: Item | None = None
        self.calm_address: Address | None = None
        self.calm_lease = self.calm_ms = 0
        self.next_poll_ms = self.next_ask_ms = 0
        self.busy = self.polling = False

    def facts(self, now_ms: int | None = None) -> Facts:
        """What a decision looks at; the same value again while nothing of it has changed."""
        now_ms = self.now_ms() if now_ms is None else now_ms
        ready, last = self.world.now >= self.unready_until, self.last_facts
        if last is not None and last.session is self.session and last.now_ms == now_ms and (
            (last.ready, last.rank, last.yields) == (ready, self.rank, self.wish_away)
        ):  # fmt: skip
            return last
        self.last_facts = Facts(
            me=self.name, session=self.session, now_ms=now_ms, started_ms=self.started_ms, ready=ready, rank=self.rank,
            yields=self.wish_away, unanimity=self.unanimity,
        )  # fmt: skip
        return self.last_facts

    def work(self) -> None:
        """What the coordinator's loops do when they look."""
        self._session_beat()
        now_ms = self.now_ms()
        if now_ms >= self.next_poll_ms and not self.polling:
            self.polling = True
            self.next_poll_ms = now_ms + POLL_MS
            self._etcd(lambda model, _: model.list(""), self._polled)
        if self.address.bound and now_ms >= self.next_ask_ms and promises.wants_promises(self.address, self.facts()):
            self.next_ask_ms = now_ms + ASK_MS
            self._ask_promises()
        if not self.calm_until(now_ms):
            self._address_beat()

    def poke(self) -> None:
        self.calm_address = None
        super().poke()

    def sleep_ms(self, now_ms: int) -> int:
        """Until the session or the poll is due, if the product's own decision says nothing is due then either."""
        if self.session.phase is not Phase.LIVE or self.busy or self.address.taking:
            return 0
        until_ms = min(self.session.deadline_ms if self.renewing else self.due_ms, self.next_poll_ms)
        if self.address.bound:
            until_ms = min(until_ms, (self.session.heard_ms or 0) + self.timing.silent_ms)
        sleep_ms = until_ms - now_ms
        if sleep_ms <= BEAT_MS or self.calm_until(until_ms):
            return sleep_ms if sleep_ms > BEAT_MS else 0
        if not self.calm(now_ms):
            return 0
        far_ms = self.session.deadline_ms if not self.address.bound else self.address.bound_until_ms - 1
        return sleep_ms if self.calm(max(until_ms, far_ms)) or self.calm(until_ms) else 0

    def calm_until(self, at_ms: int) -> bool:
        """Whether the decision was asked already about that time or a later one, and nothing has changed since."""
        return self.address is self.calm_address and self.session.lease == self.calm_lease and at_ms <= self.calm_ms

    def calm(self, at_ms: int) -> bool:
        """Whether there is nothing to do at that time. Between now and then there is nothing either: what time alone
        makes due stays due, until the session ends or the answers to a heartbeat grow old."""
        settled = self.address.bound or (self.address.key is not None and self.address.key.holder != self.name)
        if not settled or self.decided(self.facts(at_ms)).todo is not Todo.NOTHING:
            return False
        if not self.calm_until(at_ms):
            self.calm_address, self.calm_lease, self.calm_ms = self.address, self.session.lease, at_ms
        return True

    def decided(self, facts: Facts):
        return addresses.decide(self.address, facts)

    def looked(self) -> None:
        self._address_beat()

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
            self.members = {name: ids for name, ids in self.members.items() if MEMBER + name in keys}
            self._order()
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
            if change.key.startswith(MEMBER):
                node = change.key.removeprefix(MEMBER)
                self.members.pop(node, None)
                if change.item is not None:
                    self.members[node] = (change.item.create_revision, change.item.lease)
                self._order()
            elif change.key == LIST and change.item is not None:
                self.list_item = change.item
                self.address = replace(self.address, nodes=names_of(change.item))
        for change in changes:
            if change.key == VIP:
                key = self.address.key
                clean = key is not None and self.members.get(key.holder, (0, 0))[1] == key.lease
                self._vip(change.item, revision, clean=change.item is None and clean)

    def _order(self) -> None:
        self.calm_address = None
        rivals = sorted(self.members)
        self.rank = rivals.index(self.name) if self.name in rivals else 0

    def _vip(self, item, revision: int, *, clean: bool) -> None:
        self.address = addresses.on_key(self.address, key_of(item), revision, self.now_ms(), clean=clean)

    # Address ----------------------------------------------------------------------------------------------------------

    def next_todo(self):
        return self.decided(self.facts())

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
        self.set_kernel(self.world.now + todo.lifetime_s / self.rate + late)
        self.address = addresses.on_bound(self.address, todo.lifetime_s, self.now_ms())
        self.look_again()

    def look_again(self) -> None:
        """After every call to the kernel: has the time run out meanwhile?"""
        todo = self.next_todo()
        if todo.todo is Todo.REMOVE:
            self._do_remove(todo)
        elif todo.todo is Todo.BIND:
            self.set_kernel(self.world.now + todo.lifetime_s / self.rate + self.world.weather.kernel_late_s[1])
            self.address = addresses.on_bound(self.address, todo.lifetime_s, self.now_ms())

    def _do_remove(self, todo) -> None:
        self.set_kernel(0.0)
        self.address = addresses.on_removed(self.address)
        self._address_beat()

    def _do_probe(self, todo) -> None:
        # The network's probe is a net below, and often blind: the rules must hold without it.
        there = any(h is not self and h.kernel.until > self.world.now for h in self.world.hosts.values())
        answered = there and self.world.random.random() < self.world.weather.probe
        self.address = addresses.on_probe(self.address, self.now_ms(), answered=answered, timing=self.timing)
        self._address_beat()

    def _guard(self) -> Compare:
        return created_at(self.key, self.session.inc)

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
                self.next_poll_ms = 0  # read back, never repeated
                return
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
        for other in sorted(promises.asked_nodes(self.address, facts)):
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
