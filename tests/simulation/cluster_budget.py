"""Hosts that use a shared limit, a day limit and connections, on the product's own holder, lots, turns and fallback."""

from functools import partial

from coordinator import fallback as fallbacks
from coordinator import session as sessions
from coordinator.budget import holding as holdings
from coordinator.budget import shares, turns
from coordinator.budget.day_part import DayPart
from coordinator.budget.holding import Holding, Situation
from coordinator.budget.permits import Permits
from coordinator.budget.turns import Me, Rules, Scene, ScopeKeys
from coordinator.fallback import Fallback
from coordinator.session import Phase
from coordinator.store.contract import Compare, Field, Listing, Outcome, Put, created_at
from tests.simulation.cluster_process import MEMBER
from tests.simulation.cluster_silence import Notes, Silent
from tests.simulation.cluster_upstream import LIMIT, LINGER_MS, SESSIONS, SETTLE_MS, WINDOW_MS, Upstream

PERMITS, DAY, SCOPE = "budget/x/permits", "budget/x/day", ScopeKeys(record="budget/x/slots", slots="slot/x/",
                                                                    waits="wait/x/")  # fmt: skip
POLL_MS, ROUND_MS, TURN_MS = 5_000, 300, 6_000
WALL_MS = 1_800_000_000_000


class Worker(Silent):
    """A host with more work than the limit allows; uses its share, asks for more, gives to who waits."""

    upstream: Upstream

    def __init__(self, world, name, timing, nodes) -> None:
        self.skew_ms = world.random.randint(-1_000, 1_000)
        self.wall_ms_at_0 = world.wall_ms
        self.notes, self.boot = Notes(), 0
        super().__init__(world, name, timing, nodes)

    def begin(self) -> None:
        now_ms = self.now_ms()
        self.holding = Holding(holder=self.name, limit=LIMIT)
        self.permits = Permits(limit=0, window_ms=WINDOW_MS, settle_ms=SETTLE_MS)
        self.day = DayPart(holder=self.name, limit=self.world.day_limit, settle_ms=SETTLE_MS)
        self.day.holders = len(self.nodes)
        self.scene = Scene(keys=SCOPE)
        self.fallback = Fallback(nodes=frozenset(self.nodes) - {self.name})
        self.fresh_life = True  # nothing is known of the life before: the whole share was just used
        self.members: dict[str, int] = {}
        self.gone_ms = dict.fromkeys(self.nodes, now_ms)
        self.units: dict[int, int] = {}
        self.connections: dict[int, tuple[str, int]] = {}
        self.held_at_the_end: dict[int, str] = {}
        self.given: set[tuple[int, int]] = set()
        self.moving: set[str] = set()
        self.next_poll_ms = self.next_round_ms = self.next_turn_ms = self.busy_until_ms = 0
        self.wanting_since_ms = now_ms
        self.remember(now_ms)

    def wall_ms(self) -> int:
        return self.wall_ms_at_0 + int(self.world.now * 1_000) + self.skew_ms

    def crash(self) -> None:
        if self.alive:
            vanished = self.world.random.random() < 0.5
            self.boot += vanished
            self._drop(vanished=vanished)
        super().crash()

    def may_work(self) -> bool:
        now_ms = self.now_ms()
        return self.session.live(now_ms) or fallbacks.active(self.fallback, self.session, now_ms)

    def adopted(self) -> bool:
        """A new session reads before it uses anything; without a session what was held counts."""
        return not self.session.live(self.now_ms()) or self.holding.inc == self.session.inc

    def sleep_ms(self, now_ms: int) -> int:
        if self.session.phase is not Phase.LIVE or self.world.weather.episodes is None:
            return 0
        due_ms = self.session.deadline_ms if self.renewing else self.due_ms
        return min(200 if self.moving or self.permits.free(now_ms) > 0 else 400, due_ms - now_ms)

    def work(self) -> None:
        super().work()
        now_ms, live = self.now_ms(), self.session.live(self.now_ms())
        if now_ms >= self.next_poll_ms:
            self.next_poll_ms = now_ms + POLL_MS
            self._etcd(lambda model, _: model.list(""), self._polled)
        if live and self.noted:
            self.noted, self.notes.share = False, None
        if not live and now_ms >= self.next_round_ms:
            self.next_round_ms = now_ms + ROUND_MS
            self.ask_all(now_ms)
        if not self.may_work():
            self._drop(vanished=False)
        elif live and self.holding.inc == self.session.inc:
            self._turns(now_ms)
            self._move_share(now_ms)
            self._move_day()
        elif not live:
            self._reopen()
        self._use(now_ms)

    # Use --------------------------------------------------------------------------------------------------------------

    def _use(self, now_ms: int) -> None:
        if self.world.random.random() < 0.02:  # idle for a while, so shares move
            self.busy_until_ms = now_ms + self.world.idle_ms
        busy = now_ms >= self.busy_until_ms and self.may_work() and self.adopted() and self.connections
        self.permits.limit = holdings.usable(self.holding, needs=bool(busy))
        for _ in range(2 if busy else 0):
            silent = not self.session.live(now_ms)
            if not self.day.room(self.wall_ms(), silent=silent):
                self.day.want(1, urgent=False)
                return
            if not self.permits.take(now_ms):
                return
            self.day.take(1)
            self._unit(now_ms)

    def _unit(self, now_ms: int) -> None:
        seconds = min(5.0, self.world.random.expovariate(1 / 0.6))
        token = self.world._count = self.world._count + 1
        self.units[token] = now_ms
        self.upstream.unit(self.world.now, seconds)
        self.world.after(seconds, lambda t=token, life=self.life: self.deliver(partial(self._finished, t, life)))

    def _finished(self, token: int, life: int) -> None:
        if life == self.life and token in self.units:
            begun_ms = self.units.pop(token)
            self.finish_unit(begun_ms)
            self.day.settle(1, 1, self.wall_ms())

    def finish_unit(self, begun_ms: int) -> None:
        self.permits.finish(self.now_ms())

    def _drop(self, *, vanished: bool) -> None:
        """Abandon what is under way and close the connections; a vanished host's linger at the upstream."""
        for _ in self.units:
            self.permits.vanish(self.now_ms())
            self.day.settle(1, 1, self.wall_ms())
        self.units.clear()
        for name, _ in self.connections.values():
            self.upstream.close(name, vanished=vanished)
        self.connections.clear()

    # Watch ------------------------------------------------------------------------------------------------------------

    def watched(self, changes, revision: int) -> None:
        seen = self.follower.streamed(changes, revision)
        if seen is not None:
            self._seen(seen)

    def _polled(self, listing) -> None:
        if isinstance(listing, Listing):
            self._heard()
            seen = self.follower.polled(listing)
            if seen is not None:
                self._seen(seen)
            if self.session.phase is Phase.LIVE and self.holding.inc != self.session.inc:
                self._adopt()

    def _seen(self, seen) -> None:
        now_ms = self.now_ms()
        if seen.resync:
            there = {change.key for change in seen.changes}
            for node in [node for node in self.members if MEMBER + node not in there]:
                self._member(node, None, now_ms)
            for index in [index for index in self.scene.slots if f"{SCOPE.slots}{index}" not in there]:
                self.scene.learned(f"{SCOPE.slots}{index}", None, now_ms)
            for node in [node for node in self.scene.waits if SCOPE.waits + node not in there]:
                self.scene.learned(SCOPE.waits + node, None, now_ms)
        for change in seen.changes:
            if change.key.startswith(MEMBER):
                self._member(change.key.removeprefix(MEMBER), change.item, now_ms)
            elif change.key == PERMITS:
                self._learn_share(change.item, change.revision)
            elif change.key == DAY:
                self.day.learned(change.item.value if change.item else None, change.revision)
            else:
                self.scene.learned(change.key, change.item, now_ms)

    def _member(self, node: str, item, now_ms: int) -> None:
        inc = item.create_revision if item is not None else 0
        if self.members.pop(node, inc) != inc or not inc:
            self.gone_ms[node] = now_ms
        if inc:
            self.members[node] = inc

    def _learn_share(self, item, revision: int) -> None:
        self.holding = holdings.learned(self.holding, item.value if item else None, revision)

    def _adopt(self) -> None:
        """Read everything once per session, by a read of our own."""
        if "read" in self.moving:
            return
        self.moving.add("read")
        inc = self.session.inc

        def answer(listing) -> None:
            self.moving.discard("read")
            if not isinstance(listing, Listing) or self.session.inc != inc:
                return
            found = {item.key: item for item in listing.items}
            permits, day = found.get(PERMITS), found.get(DAY)
            self.held_at_the_end.clear()
            self.holding = holdings.adopted(
                self.holding, inc, permits.value if permits else None, permits.mod_revision if permits else 0
            )
            self.day.adopted(inc, day.value if day else None, day.mod_revision if day else 0)
            if self.fresh_life:
                self.fresh_life = False
                for _ in range(self.holding.share):
                    self.permits.restore_vanished(self.now_ms())

        self._etcd(lambda m, _: m.list(""), answer)

    def joined(self) -> None:
        self._adopt()

    # Moves ------------------------------------------------------------------------------------------------------------

    def _transact(self, what: str, compares, writes, *, done, undone, refused, unanswered) -> None:
        """One transaction of a kind at a time, guarded by the session; what an earlier session sent is settled."""
        self.moving.add(what)
        inc = self.session.inc

        def answer(outcome) -> None:
            self.moving.discard(what)
            if self.holding.inc != inc or self.session.inc != inc:
                return
            if outcome is None:
                unanswered()
            elif not isinstance(outcome, Outcome):
                refused()
            elif outcome.succeeded:
                done(outcome.revision)
            else:
                undone({item.key: item for item in outcome.found})

        guard = created_at(self.key, inc)
        self._etcd(lambda m, _: m.txn([guard, *compares], writes), answer)

    def _situation(self, now_ms: int) -> Situation:
        delay_ms = shares.reclaim_delay_ms(SETTLE_MS, WINDOW_MS)
        gone = tuple(
            node for node, since in sorted(self.gone_ms.items())
            if node not in self.members and sessions.delay_over(since, self.session.began_ms, delay_ms, now_ms)
        )  # fmt: skip
        idle = now_ms < self.busy_until_ms or not self.connections
        out = self.permits.out(now_ms)
        return Situation(out=out, wants=not idle and out >= self.holding.share, idle=idle, gone=gone)

    def _move_share(self, now_ms: int) -> None:
        if "share" in self.moving:
            return
        record = holdings.next_move(self.holding, self._situation(now_ms))
        if record is None:
            return
        self.holding = holdings.sending(self.holding, record)
        compare = Compare(key=PERMITS, field=Field.MOD, equals=self.holding.revision)

        def undone(found) -> None:
            item = found.get(PERMITS)
            self.holding = holdings.undone(self.holding, item.value if item else None, item.mod_revision if item else 0)

        self._transact(
            "share", [compare], [Put(key=PERMITS, value=holdings.encode(record))], undone=undone,
            done=lambda revision: setattr(self, "holding", holdings.done(self.holding, revision)),
            refused=lambda: setattr(self, "holding", holdings.refused(self.holding)),
            unanswered=lambda: setattr(self, "holding", holdings.unanswered(self.holding)),
        )  # fmt: skip

    def _move_day(self) -> None:
        if "day" in self.moving:
            return
        write = self.day.next_write(self.wall_ms(), idle=self.now_ms() < self.busy_until_ms)
        if write is None:
            return
        self.day.sending(write)
        compare = Compare(key=DAY, field=Field.MOD, equals=self.day.revision)

        def undone(found) -> None:
            item = found.get(DAY)
            self.day.undone(item.value if item else None, item.mod_revision if item else 0)

        self._transact(
            "day", [compare], [Put(key=DAY, value=write.value)], done=self.day.done, undone=undone,
            refused=self.day.refused, unanswered=self.day.unanswered,
        )  # fmt: skip

    # Connections ------------------------------------------------------------------------------------------------------

    def _turns(self, now_ms: int) -> None:
        me = Me(node=self.name, inc=self.session.inc, lease=self.session.lease, boot=f"{self.name}{self.life}")
        rules = Rules(
            sessions=SESSIONS, linger_ms=LINGER_MS, began_ms=self.session.began_ms, now_ms=now_ms, closed=frozenset()
        )
        mine = {
            index for index in self.scene.mine(me) if (index, self.scene.slots[index].mod_revision) not in self.given
        }
        for index in mine - set(self.connections):
            self._open(index, now_ms)
        for index in set(self.connections) - mine:
            self.upstream.close(self.connections.pop(index)[0], vanished=False)
        self.held_at_the_end = {index: name for index, (name, _) in self.connections.items()}
        if "slot" not in self.moving and now_ms >= self.next_turn_ms:
            self._next_turn(me, rules, now_ms)

    def _open(self, index: int, now_ms: int) -> None:
        name = f"{self.name}/{self.life}/{self.session.inc}/{index}/{now_ms}"
        self.connections[index] = (name, now_ms)
        self.upstream.open(name)

    def _next_turn(self, me: Me, rules: Rules, now_ms: int) -> None:
        old = [index for index, (_, since) in self.connections.items() if now_ms - since >= TURN_MS]
        others = [node for node in self.scene.queue() if node != self.name]
        turn = None
        if old and others:
            index = old[0]
            turn = turns.give(self.scene, me, rules, index, linger=False)
            if turn is not None:
                self.given.add((index, self.scene.slots[index].mod_revision))
                self._drop(vanished=False)
        elif not self.connections and now_ms >= self.busy_until_ms:
            turn = turns.take(self.scene, me, rules, since_ms=self.wanting_since_ms) or turns.wait(self.scene, me)
        if turn is None:
            return
        self.next_turn_ms = now_ms + 300
        nothing = lambda *_: None  # noqa: E731 - the watch tells
        self._transact("slot", turn.compares, turn.writes, done=nothing, undone=nothing, refused=nothing,
                       unanswered=nothing)  # fmt: skip

    def _reopen(self) -> None:
        """In fallback a host goes on with the connections it held."""
        for index in self.held_at_the_end if self.now_ms() >= self.rests_until_ms else ():
            if index not in self.connections:
                self._open(index, self.now_ms())
