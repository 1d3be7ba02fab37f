"""Moves of hosts of the world `copies`: what they do about pairings, and whom they copy to."""

from coordinator.ownership import moves, peers, rows, views, writes
from coordinator.ownership.moves import Here, Move, Scene
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Kind
from coordinator.ownership.views import State, View
from tests.simulation.cluster_copies_member import Member, made
from tests.simulation.cluster_copies_world import KEYS


class Mover(Member):
    """A member that claims, adopts, voids, gives and pairs."""

    # Moves ------------------------------------------------------------------------------------------------------------

    def scene(self, key: PairKey | None = None) -> Scene:
        elsewhere = any(
            view.state is State.HELD and view.key.spool == self.me.spool and view.key != key
            and self.seats.with_spool(view.pairing.copy) for view in self.views.values()
        )  # fmt: skip
        return Scene(
            me=self.me, session=self.session, now_ms=self.now_ms(), seats=self.seats, opened=self.opened,
            paused=self.world.now < self.world.pause_until, dead=frozenset(self.world.dead), leaving=self.draining,
            elsewhere=elsewhere, retired=key is not None and self.retired(key.spool),
            reprotect_delay_ms=8_000, alone_delay_ms=15_000,
        )  # fmt: skip

    def candidates(self) -> list[Candidate]:
        hosts = self.world.hosts
        return [
            Candidate(
                node=seat.node, spool=seat.spool, site=hosts[seat.node].site, load=len(hosts[seat.node].disk.rows),
                healthy=not hosts[seat.node].draining,
            )
            for seat in self.seats.live
        ]  # fmt: skip

    def by_pairing(self) -> dict[PairKey, list]:
        """The rows of this disk, sorted once for all questions about pairings asked at one moment."""
        found: dict[PairKey, list] = {}
        for each in self.disk.rows.items():
            if each[1].attached is not None:
                found.setdefault(each[1].attached.key, []).append(each)
        return found

    def here(self, key: PairKey, sorted_rows: dict[PairKey, list] | None = None) -> Here:
        own = spare = unconfirmed = moving = asking = 0
        view = self.views[key]
        for name, row in self.disk.rows.items() if sorted_rows is None else sorted_rows.get(key, ()):
            if not rows.belongs(row, view):
                continue
            own += row.kind is Kind.OWN
            spare += row.kind is not Kind.OWN
            unconfirmed += row.kind is Kind.OWN and not row.confirmed
            moving += self.moving(name)
            asking += row.kind is Kind.OWN and rows.asks_first(row, view)
        return Here(own=own, spare=spare, unconfirmed=unconfirmed, moving=moving, asking=asking,
                    wanted=(key, view.revision) in self.wanted)  # fmt: skip

    def sorted_views(self) -> list[tuple[PairKey, View]]:
        return sorted(self.views.items(), key=lambda each: (each[0].spool, each[0].shadow))

    def moving(self, name: str) -> bool:
        return False

    def moves(self) -> None:
        if not self.live or self.disk.pending:
            return
        self.target()
        sorted_rows = self.by_pairing()
        for key, view in self.sorted_views():
            if view.state not in {State.UNPAIRED, State.STRANGE} and key not in self.busy:
                move = moves.decide(view, self.here(key, sorted_rows), self.scene(key))
                if move is not Move.NOTHING:
                    self._move(view, move)

    def _move(self, view: View, move: Move) -> None:
        if move is Move.REMOVE:
            self._remove(view)
            return
        self.world.count[move] += 1
        transaction = self._transaction(view, move)
        leaves = move in {Move.VOID, Move.GIVE}
        if leaves:
            self.know(views.leaving(view))
        put = transaction[1][0]

        def answered(outcome) -> None:
            if outcome.succeeded:
                self.know(views.written(self.views[view.key], put.value, self.me, key=put.key,
                                        revision=outcome.revision, inc=self.inc))  # fmt: skip
                return
            found = {item.key: item for item in outcome.found}.get(put.key)
            if leaves:
                self.know(views.not_left(self.views[view.key], self.me, inc=self.inc))
            if found is not None:
                self.learn(view.key, found)

        self.world.note(f"{self.name} {move} {view.key.spool[:4]}/{view.key.shadow}")
        self.transact(view.key, transaction, answered)

    def _remove(self, view: View) -> None:
        """What became of it the watch tells, which knows when."""
        record = self.items[KEYS.spool(view.key.spool)]
        self.world.note(f"{self.name} removes {view.key.spool[:4]}/{view.key.shadow}")

        def answered(outcome) -> None:
            self.world.count["removed"] += outcome.succeeded
            self.next_poll_ms = 0

        self.transact(view.key, writes.to_remove(KEYS, view, record), answered)

    def _transaction(self, view: View, move: Move):
        if move is Move.CLAIM:
            return writes.to_claim(KEYS, view)
        if move is Move.ADOPT:
            return writes.to_adopt(KEYS, view, self.me, self.seats.get(view.pairing.owner))
        if move is Move.VOID:
            return writes.to_void(KEYS, view)
        return writes.to_give(KEYS, view, moves.other_end(view, self.scene()))

    # Whom to copy to --------------------------------------------------------------------------------------------------

    def target(self) -> View | None:
        """The pairing that new copies go under; makes one where there is none."""
        chosen = peers.choose(self.candidates(), node=self.name, spool=self.me.spool, site=self.site, current=self.peer)
        if chosen is None:
            return None
        self.peer = chosen.node
        key = PairKey(spool=self.me.spool, shadow=chosen.node)
        view = self.views.get(key) or View(key=key)
        if views.may_copy(view) and view.pairing.copy == chosen.spool:
            return view
        seat = self.seats.get(chosen.node)
        here = self.here(key) if key in self.views else Here()
        if key not in self.busy and not self.disk.pending and moves.may_pair(view, here, seat, self.scene(key)):
            self._pair(view, seat)
        return None

    def _pair(self, view: View, seat) -> None:
        transaction = writes.to_pair(KEYS, view, self.me, seat, revision=self.newest)
        put = transaction[1][0]
        self.world.note(f"{self.name} pairs with {seat.node}")

        def answered(outcome) -> None:
            if outcome.succeeded:
                self.learn(view.key, made(put, outcome.revision))
            else:
                self.next_poll_ms = 0

        self.transact(view.key, transaction, answered)
