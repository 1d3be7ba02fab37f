"""Hosts that use a shared limit and connection slots, against an upstream that counts at any moment it likes."""

import json
from functools import partial

from coordinator import fallback as fallbacks
from coordinator import session as sessions
from coordinator.budget import leased_slots, shares
from coordinator.budget.leased_slots import Ended, Slots
from coordinator.budget.permits import Permits
from coordinator.fallback import Fallback
from coordinator.store.contract import Compare, Field, Outcome, Put, absent
from tests.simulation.cluster_host import Host

LIMIT, WINDOW_S, SETTLE_S, LINGER_S = 12, 10.0, 6.0, 15.0
WINDOW_MS = int(WINDOW_S * 1_001)  # the host's clock may run 500 ppm fast, and so may the upstream's
SETTLE_MS, LINGER_MS = int(SETTLE_S * 1_001), int(LINGER_S * 1_001)
PERMITS, SLOTS = "budget/x/permits", "budget/x/slots"
SESSIONS = 3


class Upstream:
    """Counts units at a moment of its choice, and connections until it believes they are gone."""

    def __init__(self, world) -> None:
        self.world = world
        self.counted: list[float] = []
        self.connections: dict[str, float] = {}

    def unit(self, begun: float, seconds: float) -> None:
        self.counted.append(begun + self.world.random.choice((0.0, seconds, self.world.random.uniform(0, seconds))))

    def worst_window(self) -> int:
        times = sorted(self.counted)
        worst, first = 0, 0
        for last, time in enumerate(times):
            while time - times[first] >= WINDOW_S:
                first += 1
            worst = max(worst, last - first + 1)
        return worst

    def open_connections(self) -> int:
        return sum(1 for until in self.connections.values() if until > self.world.now)


class Worker(Host):
    """A host with more work than the limit allows; uses its share, asks for more, gives to who waits."""

    upstream: Upstream

    def start(self) -> None:
        if self.alive:
            return
        super().start()
        self.permits = Permits(limit=0, window_ms=WINDOW_MS, settle_ms=SETTLE_MS)
        self.fresh_life = True  # nothing is known of the life before: the whole share was just used
        self.known_inc = 0
        self.moving = self.moving_slot = False
        self.record: dict | None = None
        self.record_revision = 0
        self.unsure_revision = -1
        self.fallback = Fallback(nodes=frozenset(self.nodes) - {self.name})
        self.units: dict[int, object] = {}
        self.gone_ms: dict[str, int] = {}
        self.slot_gone_ms: dict[int, int] = {}
        self.linger_since_ms: dict[str, int] = {}
        self.slot: int | None = None
        self.slot_inc = 0
        self.slot_right = (0, False)
        self.next_fallback_ms = 0
        self.busy_until_ms = 0

    def crash(self) -> None:
        self._drop(host_vanished=self.world.random.random() < 0.5)
        super().crash()

    def may_work(self) -> bool:
        now_ms = self.now_ms()
        return self.session.live(now_ms) or fallbacks.active(self.fallback, self.session, now_ms)

    def knows_its_share(self) -> bool:
        """A new session reads its share before it uses any; without a session what was held counts."""
        return not self.session.live(self.now_ms()) or self.known_inc == self.session.inc

    def work(self) -> None:
        super().work()
        now_ms = self.now_ms()
        if not self.session.live(now_ms) and now_ms >= self.next_fallback_ms and self.unanimity:
            self.next_fallback_ms = now_ms + 300
            self._ask_fallback(now_ms)
        if not self.may_work():
            self._drop(host_vanished=False)
        self._read_record()
        if self.record is not None and self.knows_its_share() and self.session.live(now_ms):
            self._move(now_ms)
            self._slots(now_ms)
        self._use(now_ms)

    # Use --------------------------------------------------------------------------------------------------------------

    def _use(self, now_ms: int) -> None:
        in_fallback = fallbacks.active(self.fallback, self.session, now_ms)
        if in_fallback and self.slot is None and self.slot_right == (self.session.inc, True):
            self.slot = 0  # goes on with the slot it held
            self.upstream.connections[f"{self.name}/{self.slot_inc}"] = float("inf")
        wanted = 2 if now_ms >= self.busy_until_ms else 0
        if self.world.random.random() < 0.02:  # idle for a while, so shares move
            self.busy_until_ms = now_ms + 4_000
        while (
            wanted
            and self.may_work()
            and self.knows_its_share()
            and self.slot is not None
            and self.permits.take(now_ms)
        ):
            wanted -= 1
            seconds = min(5.0, self.world.random.expovariate(1 / 0.6))
            token = self.world._count = self.world._count + 1
            self.units[token] = (self.world.now, now_ms)
            self.upstream.unit(self.world.now, seconds)
            self.world.after(seconds, lambda t=token, life=self.life: self.deliver(partial(self._finished, t, life)))

    def _finished(self, token: int, life: int) -> None:
        if life == self.life and token in self.units:
            _, begun_ms = self.units.pop(token)
            self.finish_unit(begun_ms)

    def finish_unit(self, begun_ms: int) -> None:
        self.permits.finish(self.now_ms())

    def _drop(self, *, host_vanished: bool) -> None:
        """Abandon what is under way and close the connection; a vanished host's lingers at the upstream."""
        for _ in self.units:
            self.permits.vanish(self.now_ms())
        self.units.clear()
        if self.slot is not None:
            key = f"{self.name}/{self.slot_inc}"
            self.upstream.connections[key] = self.world.now + (LINGER_S if host_vanished else 0.0)
            self.slot = None

    # Shares -----------------------------------------------------------------------------------------------------------

    def _one_revision(self, changes, revision: int) -> None:
        super()._one_revision(changes, revision)
        now_ms = self.now_ms()
        for node in self.nodes:
            if node in self.members:
                self.gone_ms.pop(node, None)
            else:
                self.gone_ms.setdefault(node, now_ms)

    def _read_record(self) -> None:
        """Adopt what the store says of our share, once per session by a read of our own."""
        if self.moving or (self.session.live(self.now_ms()) and self.known_inc == self.session.inc):
            return
        if not self.session.live(self.now_ms()):
            return
        self.moving, inc = True, self.session.inc

        def answer(item) -> None:
            self.moving = False
            if item is not None and item != "none" and self.session.inc == inc:
                self._adopt(json.loads(item.value), item.mod_revision)
                self.known_inc = inc
            elif item == "none" and self.session.inc == inc:
                self.record, self.record_revision, self.known_inc = dict(shares.fresh(LIMIT)), 0, inc

        self._etcd(lambda m, _: m.items.get(PERMITS, "none"), answer)

    def _adopt(self, record: dict, revision: int) -> None:
        if revision <= self.unsure_revision:
            return  # a move of ours may still happen on this very revision
        shares.checked(record, LIMIT)
        self.record, self.record_revision, self.unsure_revision = record, revision, -1
        mine = shares.share_of(record, self.name)
        if self.fresh_life and mine:
            now_ms = self.now_ms()
            for _ in range(mine):
                self.permits.restore_vanished(now_ms)
        self.fresh_life = False
        self.permits.limit = mine

    def free(self, now_ms: int) -> int:
        return max(0, self.permits.free(now_ms))

    def movable(self, now_ms: int) -> int:
        return self.free(now_ms)

    def _move(self, now_ms: int) -> None:
        if self.moving:
            return
        moved = self._next_move(now_ms)
        if moved.record == self.record:
            return
        before, self.moving = self.record_revision, True
        self.unsure_revision = before
        # What is given away is gone from here before it is sent; what is gained comes with the answer.
        self.permits.limit += min(0, moved.gained)
        guard = Compare(key=PERMITS, field=Field.MOD, equals=before)
        put = Put(key=PERMITS, value=json.dumps(moved.record).encode())
        compares, inc = [self._guard(), guard], self.session.inc

        def answer(outcome) -> None:
            self.moving = False
            if self.session.inc != inc:
                return
            if isinstance(outcome, Outcome) and outcome.succeeded:
                self._adopt(dict(moved.record), outcome.revision)
            elif isinstance(outcome, Outcome):
                found = [item for item in outcome.found if item.key == PERMITS]
                self.unsure_revision = -1
                if found:
                    self._adopt(json.loads(found[0].value), found[0].mod_revision)
            else:
                self.after_lost_answer(moved)

        self._etcd(lambda m, _: m.txn(compares, [put]), answer)

    def after_lost_answer(self, moved) -> None:
        """Read again; the same revision means it may still happen, so the share stays at its lower reading."""
        self.known_inc = 0
        self.record = None if self.record_revision == 0 else self.record
        self.unsure_revision = -1
        self.permits.limit = min(self.permits.limit, shares.share_of(moved.record, self.name))

    def _next_move(self, now_ms: int):
        record, free, movable = self.record, self.free(now_ms), self.movable(now_ms)
        for node in sorted(self.gone_ms):
            over = sessions.delay_over(
                self.gone_ms[node], self.session.began_ms, shares.reclaim_delay_ms(SETTLE_MS, WINDOW_MS), now_ms
            )
            if node != self.name and over and shares.share_of(record, node):
                return shares.reclaim(record, node)
        if (now_ms < self.busy_until_ms or self.slot is None) and movable:
            return shares.give_back(record, self.name, movable)
        if shares.waiting(record) and movable:
            return shares.give(record, self.name, movable)
        if now_ms >= self.busy_until_ms and not free and self.slot is not None:
            return shares.take(record, self.name, LIMIT)
        return shares.Moved(record=record)

    # Slots ------------------------------------------------------------------------------------------------------------

    def _slots(self, now_ms: int) -> None:
        if self.slot is not None or self.moving_slot:
            return
        self.moving_slot, inc = True, self.session.inc
        self._etcd(lambda m, _: (m.items.get(SLOTS), m.list("slot/").items), partial(self._choose_slot, inc))

    def _choose_slot(self, inc: int, found) -> None:
        self.moving_slot = False
        now_ms = self.now_ms()
        if found is None or not isinstance(found, tuple) or self.session.inc != inc or not self.session.live(now_ms):
            return None
        item, keys = found
        record = json.loads(item.value) if item else {}
        held = {int(each.key[-1]): each.value.decode() for each in keys}
        named = {int(name[-1]): who for name, who in record.items() if name.startswith("held/")}
        unclean = {index: Ended.HOST for index in named if index not in held}
        self.slot_gone_ms = {index: self.slot_gone_ms.get(index, now_ms) for index in unclean}
        noted = [name for name in record if name.startswith("linger/")]
        self.linger_since_ms = {name: self.linger_since_ms.get(name, now_ms) for name in noted}
        slots = Slots(held=held, unclean=unclean, gone_ms=self.slot_gone_ms, lingering_since_ms=self.linger_since_ms)
        for index in (0, 1):
            about = {"began_ms": self.session.began_ms, "now_ms": now_ms, "linger_ms": LINGER_MS, "sessions": SESSIONS}
            if leased_slots.may_take(slots, index, **about):
                return self._take_slot(index, record, item.mod_revision if item else 0, named.get(index))
        return None

    def _take_slot(self, index: int, record: dict, revision: int, before: str | None) -> None:
        self.moving_slot, inc, lease = True, self.session.inc, self.session.lease
        ends = {name for name in self.linger_since_ms if not leased_slots.still(
            self.linger_since_ms[name], self.session.began_ms, self.now_ms(), LINGER_MS)}  # fmt: skip
        record = {name: value for name, value in record.items() if name not in ends}
        if before is not None:
            record[f"linger/{before}"] = 1
        record[f"held/{index}"] = f"{self.name}/{inc}"
        compares = [self._guard(), absent(f"slot/{index}"), Compare(key=SLOTS, field=Field.MOD, equals=revision)]
        writes = [Put(key=f"slot/{index}", value=f"{self.name}/{inc}".encode(), lease=lease),
                  Put(key=SLOTS, value=json.dumps(record).encode())]  # fmt: skip

        def answer(outcome) -> None:
            self.moving_slot = False
            won = isinstance(outcome, Outcome) and outcome.succeeded
            if won and self.session.inc == inc and self.session.live(self.now_ms()):
                self.slot, self.slot_inc, self.slot_right = index, inc, (inc, True)
                self.upstream.connections[f"{self.name}/{inc}"] = float("inf")

        self._etcd(lambda m, _: m.txn(compares, writes), answer)

    # Fallback ---------------------------------------------------------------------------------------------------------

    def _ask_fallback(self, now_ms: int) -> None:
        self.fallback = fallbacks.on_round(self.fallback, now_ms)
        for other in self.fallback.nodes:
            target = self.world.hosts[other]
            self.world.send(self.name, other, partial(target.asked_if_lost, self.name, now_ms))

    def asked_if_lost(self, asker: str, sent_ms: int) -> None:
        holder, answer = self.world.hosts[asker], fallbacks.lost(self.session, self.now_ms())
        self.world.send(self.name, asker, partial(holder.told_lost, self.name, sent_ms, answer, holder.life))

    def told_lost(self, giver: str, sent_ms: int, answer: bool, life: int) -> None:
        if life == self.life:
            self.fallback = fallbacks.on_answer(self.fallback, giver, sent_ms, self.now_ms(), is_lost=answer)
