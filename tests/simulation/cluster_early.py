"""A host that may be taken over early: heartbeats, leash, words and the takeover, on the product's own rules."""

from functools import partial
from types import SimpleNamespace

from coordinator import early, early_bids, early_facts
from coordinator.address_facts import Key
from coordinator.early_facts import Act, Around, leash_of
from coordinator.keys import Keys
from coordinator.store.contract import Outcome
from tests.simulation.cluster_host import Host

LEASH = "vip-leash/x"


class ShortKeys(Keys):
    """The key space without a root, as the simulated store has it."""

    root = ""


KEYS = ShortKeys(cluster="")


class EarlyHost(Host):
    """One machine whose coordinator takes part in early takeovers. ``taken_early`` counts those it won."""

    taken_early = 0

    def begin(self) -> None:
        super().begin()
        self.early = early_facts.begin(self.now_ms())
        self.gone_ms: dict[str, int] = {}
        self.last_around: Around | None = None
        self.next_heartbeat_ms = 0

    def around(self) -> Around:
        """What is known of the others; the same value again while nothing of it has changed."""
        seen = self.follower.next_revision - 1
        if self.last_around is not None and self.last_around.seen == seen:
            return self.last_around
        late_ms = early_facts.LATE_V6_MS if self.world.weather.kernel_late_s[1] > 0.35 else early_facts.LATE_V4_MS
        members = {node: inc for node, (inc, _) in self.members.items()}
        self.last_around = Around(members=members, gone_ms=self.gone_ms, seen=seen, late_ms=late_ms)
        return self.last_around

    def _order(self) -> None:
        self.last_around = None
        super()._order()

    def step(self):
        return early.decide(self.early, self.address, self.facts(), self.around())

    def decided(self, facts):
        step = early.decide(self.early, self.address, facts, self.around())
        return step.todo if step.act is Act.ADDRESS else SimpleNamespace(todo=step.act)

    def sleep_ms(self, now_ms: int) -> int:
        sleep_ms = super().sleep_ms(now_ms)
        if sleep_ms <= 0 or not early.beats(self.address, self.facts()):
            return sleep_ms
        return min(sleep_ms, self.next_heartbeat_ms - now_ms)

    def work(self) -> None:
        now_ms = self.now_ms()
        if now_ms >= self.next_heartbeat_ms and early.beats(self.address, self.facts()):
            self.next_heartbeat_ms = now_ms + early_facts.HEARTBEAT_MS
            self._heartbeat(now_ms)
        super().work()

    # Watch ------------------------------------------------------------------------------------------------------------

    def _seen(self, seen) -> None:
        if seen.resync and LEASH not in {change.key for change in seen.changes}:
            self.early = early_bids.on_leash_key(self.early, None, seen.revision, self.now_ms())
        super()._seen(seen)

    def _one_revision(self, changes, revision: int) -> None:
        now_ms = self.now_ms()
        for change in changes:
            if change.key == LEASH:
                self.early = early_bids.on_leash_key(self.early, leash_of(change.item), revision, now_ms)
        before = set(self.members)
        super()._one_revision(changes, revision)
        for node in before - set(self.members):
            self.gone_ms[node] = now_ms

    def _vip(self, item, revision: int, *, clean: bool) -> None:
        before = self.address.key
        super()._vip(item, revision, clean=clean)
        key = self.address.key
        if key is not None and (before is None or before.holder != key.holder):
            self.early = early_bids.on_holder(self.early, key.holder, self.name, self.now_ms())

    def _do_bind(self, todo) -> None:
        super()._do_bind(todo)
        self.early = early_bids.on_bound(self.early)

    # Heartbeats -------------------------------------------------------------------------------------------------------

    def _heartbeat(self, now_ms: int) -> None:
        number, key = early.mark(self.early, self.address), self.address.key.revision
        for other in self.address.nodes:
            if other != self.name:
                target = self.world.hosts[other]
                self.world.send(self.name, other, partial(target.beaten, self.name, key, number, now_ms, self.life))

    def beaten(self, holder: str, key: int, number: int, sent_ms: int, life: int) -> None:
        self.early, answers = early_bids.on_heartbeat(
            self.early, self.address, self.facts(), self.around(), holder=holder, key=key, number=number
        )
        if answers:
            back = partial(self.world.hosts[holder].acknowledged, self.name, sent_ms, life)
            self.world.send(self.name, holder, back)

    def acknowledged(self, node: str, sent_ms: int, life: int) -> None:
        if life == self.life:
            self.early = self.on_ack(node, sent_ms)
            self._address_beat()

    def on_ack(self, node: str, sent_ms: int):
        return early.on_ack(self.early, self.address, node, sent_ms)

    # Leash ------------------------------------------------------------------------------------------------------------

    def _do_leash(self, todo, *, on: bool = True) -> None:
        if self.step().act is not (Act.LEASH if on else Act.LOOSEN):
            return
        nodes, key = tuple(self.address.nodes), self.address.key
        guards, writes = early_facts.to_leash(KEYS, "x", self.early, key, nodes=nodes, on=on)
        if on:
            self.early = early.on_leash_sent(self.early, nodes)
        self.address = early.addresses.on_take_sent(self.address)

        def answer(outcome) -> None:
            if not isinstance(outcome, Outcome):
                self.next_poll_ms = 0
                return
            self._heard()
            self.address = early.replace(self.address, taking=False)
            if outcome.succeeded:
                item = SimpleNamespace(value=writes[0].value, lease=key.lease, mod_revision=outcome.revision)
                self.early = early.on_leash_written(self.early, leash_of(item), self.now_ms())
            elif on:
                self.early = early.on_leash_refused(self.early)
            self._address_beat()

        self._etcd(lambda m, _: m.txn([self._guard(), *guards], writes), answer)

    def _do_loosen(self, todo) -> None:
        self._do_leash(todo, on=False)

    # Takeover ---------------------------------------------------------------------------------------------------------

    def _do_ask(self, todo) -> None:
        if self.step().act is not Act.ASK:
            return
        self.early = early_bids.on_ask_sent(self.early, self.facts(), self.around())
        revision = self.early.bid.leash.revision
        for node in self.early.bid.asked:
            self.world.send(
                self.name, node, partial(self.world.hosts[node].asked_for_word, self.name, revision, self.life)
            )
        self._address_beat()

    def asked_for_word(self, candidate: str, revision: int, life: int) -> None:
        self.early, ago_ms = early_bids.on_asked(
            self.early, self.address, self.facts(), self.around(), candidate=candidate, revision=revision
        )
        if ago_ms is not None:
            asker, inc = self.world.hosts[candidate], self.session.inc
            self.world.send(self.name, candidate, lambda: asker.given_word(self.name, inc, revision, ago_ms, life))

    def given_word(self, node: str, inc: int, revision: int, ago_ms: int, life: int) -> None:
        if life == self.life:
            self.early = early_bids.on_word(
                self.early, node, inc=inc, revision=revision, ago_ms=ago_ms, now_ms=self.now_ms()
            )
            self._address_beat()

    def _do_seize(self, todo) -> None:
        if self.step().act is not Act.SEIZE:
            return
        key, lease = self.address.key, self.session.lease
        guards, writes = early_facts.to_seize(KEYS, "x", self.early, key, me=self.name, lease=lease)
        self.early = early_bids.on_seize_sent(self.early, self.around())
        self.address = early.addresses.on_take_sent(self.address)

        def answer(outcome) -> None:
            if not isinstance(outcome, Outcome):
                self.next_poll_ms = 0
                return
            self._heard()
            if outcome.succeeded:
                key = Key(holder=self.name, lease=lease, revision=outcome.revision)
                self.early, self.address = early_bids.on_seized(self.early, self.address, key, self.now_ms())
                self.world.note(f"{self.name} took the address early")
                self.taken_early += 1
            else:
                self.address = early.replace(self.address, taking=False)
            self._address_beat()

        self._etcd(lambda m, _: m.txn([self._guard(), *guards], writes), answer)
