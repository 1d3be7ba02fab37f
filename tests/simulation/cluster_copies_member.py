"""Hosts of the world `copies`: sessions, pairings and moves on the product's own `coordinator/ownership`.

What a host does about pairings is in ``cluster_copies.py``, with its rows in ``cluster_copies_rows.py``. A process
trusts its disk and what the store told it; everything else it forgets when it dies.
"""

from coordinator import session as sessions
from coordinator.keys import Role, encode
from coordinator.ownership import rows, spools, views
from coordinator.ownership.records import PairKey, key_of, read_spool
from coordinator.ownership.seats import Seats
from coordinator.ownership.spools import Verdict
from coordinator.ownership.views import Me, View
from coordinator.session import Event, Phase
from coordinator.store.contract import Item, Listing, Outcome, created_at
from tests.simulation.cluster_copies_world import KEYS
from tests.simulation.cluster_process import Machine

POLL_MS, MOVES_MS = 5_000, 200
MEMBERS = KEYS.member(Role.NODE, "")


class Member(Machine):
    """A host as a member: its session, its spool's record, what it knows of pairings, its transactions on them."""

    def __init__(self, world, name, timing, nodes, disk, *, site: str) -> None:
        self.disk, self.site, self.drain_until = disk, site, 0.0
        super().__init__(world, name, timing, nodes)

    def begin(self) -> None:
        self.key = KEYS.member(Role.NODE, self.name)
        self.me = Me(node=self.name, spool=self.disk.spool)
        self.seats = Seats(MEMBERS, now_ms=self.now_ms())
        self.views: dict[PairKey, View] = {}
        self.spool_item = None
        self.items: dict[str, Item] = {}
        self.busy: set = set()
        self.wanted: set = set()
        """Keys, with their revision, that the spool's own node asks back."""
        self.peer = ""
        self.ready = self.was_live = self.stopped = self.fresh = self.judged = False
        self.next_poll_ms = self.next_moves_ms = self.noted_ms = self.newest = 0
        self.disk.commit(self, self.restarted, self.is_ready)

    def restarted(self, disk) -> None:
        """What a dead process left half done."""
        for name, row in list(disk.rows.items()):
            after = rows.restarted(row)
            if after != row:
                disk.put(name, after)

    def is_ready(self) -> None:
        self.ready = True

    def member_value(self) -> bytes:
        return encode({"node": self.name, "spool": self.me.spool})

    def power_off(self) -> None:
        if self.alive:
            super().crash()
        self.disk.lose(power=True)

    def crash(self) -> None:
        if self.alive:
            super().crash()
            self.disk.lose(power=False)

    def start(self) -> None:
        if not self.disk.quarantined:
            super().start()

    # Looking ----------------------------------------------------------------------------------------------------------

    @property
    def inc(self) -> int:
        return self.session.inc if self.session.live(self.now_ms()) else 0

    @property
    def opened(self) -> bool:
        return spools.opened(self.spool_item, self.me, inc=self.inc)

    @property
    def live(self) -> bool:
        """Whether anything may be attempted."""
        return self.inc > 0 and self.opened

    @property
    def draining(self) -> bool:
        return self.world.now < self.drain_until

    def sleep_ms(self, now_ms: int) -> int:
        """Half a second at most in a long run, while there is nothing to do for any row."""
        calm = self.live and self.judged and not self.busy and not self.disk.pending and not self.renewing
        if self.world.weather.episodes is None or not calm or self.draining or self.disk.rows:
            return 0
        return min(500, self.due_ms - now_ms, self.session.deadline_ms - now_ms)

    def work(self) -> None:
        if not self.stopped:
            super().work()
        now_ms = self.now_ms()
        if now_ms >= self.next_poll_ms:
            self.next_poll_ms = now_ms + POLL_MS
            self._etcd(lambda model, _: model.list(""), self._polled)
        if self.was_live and not self.inc:
            self.was_live = False
            self.views = {key: views.ended(view) for key, view in self.views.items()}
        if self.inc and self.ready and self.fresh:
            self._spool(now_ms)
        if self.ready and now_ms >= self.next_moves_ms:
            self.next_moves_ms = now_ms + MOVES_MS
            self.moves()

    def joined(self) -> None:
        if self.inc:
            self.was_live, self.fresh = True, False
            self.views = {key: views.began(view, self.me, inc=self.inc) for key, view in self.views.items()}
            self.next_poll_ms = 0

    # News -------------------------------------------------------------------------------------------------------------

    def watched(self, changes, revision: int) -> None:
        seen = self.follower.streamed(changes, revision)
        if seen is not None:
            self._seen(seen)

    def _polled(self, listing) -> None:
        if isinstance(listing, Listing):
            self._heard()
            self.newest = max(self.newest, listing.revision)
            seen = self.follower.polled(listing)
            if seen is not None:
                self._seen(seen)
            self.fresh = self.fresh or listing.revision >= self.session.inc

    def _seen(self, seen) -> None:
        self.newest = max(self.newest, seen.revision)
        self.seats.feed(seen, self.now_ms())
        if seen.resync:
            self.items = {}
        for change in seen.changes:
            self._kept(change.key, change.item)
            key = key_of(KEYS, change.key)
            if key is not None and (change.item is not None or change.revision > self._revision(key)):
                self.learn(key, change.item)
            elif change.key == KEYS.spool(self.me.spool) and change.item is not None:
                self.learn_spool(change.item)
        if seen.resync:
            self._missing({change.key for change in seen.changes}, seen.revision)

    def _kept(self, name: str, item) -> None:
        """What the store has, as last seen: the feed of a product's process."""
        if item is None:
            self.items.pop(name, None)
        else:
            self.items[name] = item

    def _revision(self, key: PairKey) -> int:
        return self.views[key].revision if key in self.views else 0

    def _missing(self, present, revision: int) -> None:
        """What a whole state does not name is gone, unless it was written after that state."""
        for key in [each for each in self.views if KEYS.ownership(each.spool, each.shadow) not in present]:
            if revision > self._revision(key) > 0:
                self.learn(key, None)

    def retired(self, spool: str) -> bool:
        """Whether a spool's record says that its disk is lost."""
        item = self.items.get(KEYS.spool(spool))
        return item is not None and read_spool(item.value).lost

    def learn(self, key: PairKey, item) -> None:
        view = self.views.get(key) or View(key=key)
        self.know(views.learned(view, item, self.me, inc=self.inc, retired=self.retired(key.spool)))

    def learn_spool(self, item) -> None:
        if self.spool_item is None or item.mod_revision > self.spool_item.mod_revision:
            self.spool_item = item

    def know(self, view: View) -> None:
        before = self.views.get(view.key)
        self.views[view.key] = view
        if before is None or before.state is not view.state or before.epoch != view.epoch:
            self.world.note(f"{self.name} sees {view.key.spool[:4]}/{view.key.shadow} {view.state} {view.epoch}")
            self.align(view.key)

    def align(self, key: PairKey) -> None:
        """The local half of whatever happened to a pairing."""

        def all_of_it(disk) -> None:
            view = self.views[key]
            for name, row in list(disk.rows.items()):
                after = rows.aligned(row, view, self.me)
                if after != row:
                    self.world.count[f"{row.kind}_to_{after.kind}"] += row.kind is not after.kind
                    disk.put(name, after)

        if any(row.attached and row.attached.key == key for row in self.disk.rows.values()) or self.disk.pending:
            self.disk.commit(self, all_of_it)

    # Transactions -----------------------------------------------------------------------------------------------------

    def transact(self, what, transaction, answered) -> None:
        """One at a time of a kind, guarded by the session, never sent again: unanswered is read back."""
        if what in self.busy:
            return
        self.busy.add(what)
        compares, puts = transaction
        inc = self.session.inc

        def answer(outcome) -> None:
            self.busy.discard(what)
            if not isinstance(outcome, Outcome):
                self.next_poll_ms = 0
                return self.unanswered(what, transaction)
            self._heard()
            self.newest = max(self.newest, outcome.revision)
            member = {item.key: item for item in outcome.found}.get(self.key)
            if not outcome.succeeded and (member is None or member.create_revision != inc):
                if self.session.phase is Phase.LIVE and self.session.inc == inc:
                    self.session = sessions.step(self.session, Event.LOST, self.now_ms(), lease=self.session.lease)
                return None
            return answered(outcome) if self.inc == inc else None

        guard = created_at(self.key, inc)
        self.world.after(
            self.world.hiccup(),
            lambda life=self.life: life == self.life and self.deliver(
                lambda: self._etcd(lambda m, _: m.txn([guard, *compares], puts), answer)
            ),
        )  # fmt: skip

    def unanswered(self, what, transaction) -> None:
        """Nothing is known; reading and rewriting will tell."""

    def _spool(self, now_ms: int) -> None:
        """Open the spool in a new session; later tell how far it came."""
        item = self.spool_item
        sequence = self.disk.sequence
        if self.opened:
            self.judged = True
            if spools.due(item, sequence=sequence, noted_ms=self.noted_ms, now_ms=now_ms):
                self.noted_ms = now_ms
                self._tell_spool(spools.to_note(KEYS, self.me, item, sequence=sequence, inc=self.inc), sequence)
            return
        judged = spools.judge(item, self.me, self.seats, told=self.disk.told_sequence)
        if judged.verdict is not Verdict.GOOD:
            self._stay_out(judged)
            return
        opening = spools.to_open(KEYS, self.me, item, judged.known, self.seats, sequence=sequence, inc=self.inc)
        self.noted_ms = now_ms
        self._tell_spool(opening, sequence)

    def _tell_spool(self, transaction, sequence: int) -> None:
        """Into the spool first, then into the store."""
        if "spool" not in self.busy and not self.disk.pending:
            self.disk.commit(self, lambda disk: disk.telling(sequence), lambda: self._write_spool(transaction))

    def _write_spool(self, transaction) -> None:
        put = transaction[1][0]

        def answered(outcome) -> None:
            if outcome.succeeded:
                self.learn_spool(made(put, outcome.revision))
            else:
                self.next_poll_ms = 0

        self.transact("spool", transaction, answered)

    def _stay_out(self, judged) -> None:
        self.world.note(f"{self.name} {judged.verdict}: {judged.text}")
        lease = self.session.lease
        self.session = sessions.step(self.session, Event.RESIGN, self.now_ms())
        self._etcd(lambda m, _: m.revoke(lease), lambda _: None)
        if judged.verdict is Verdict.BEHIND:
            self.stopped = True
            self.world.quarantine(self)

    def guard_tells(self, item, told: int) -> bool:
        """Whether a copy that remembers telling so much is recognised."""
        return spools.judge(item, self.me, Seats(MEMBERS, now_ms=0), told=told).verdict is Verdict.BEHIND


def made(put, revision: int):
    """The item a transaction of ours wrote."""
    return Item(key=put.key, value=put.value, create_revision=revision, mod_revision=revision)
