"""Hosts of the budget world while the store is silent for all: everybody's word, notes on disk, permits that move.

As the product's ``node/cluster/silence.py`` and ``holds.py`` do it, on the same pure code. What is held is noted before
it is used without the store, and a permit that moves is in both hosts' notes before either counts it. Notes outlive the
process.
"""

from dataclasses import dataclass, field
from functools import partial

from coordinator import fallback as fallbacks
from coordinator.budget import shares, silent_moves
from tests.simulation.cluster_process import Machine
from tests.simulation.cluster_upstream import LINGER_MS

TOKENS_MS = 2_000


@dataclass
class Notes:
    """A host's disk, as far as budgets go."""

    boot: int = 0
    share: int | None = None
    slots: tuple[int, ...] = ()
    moved: dict[str, int] = field(default_factory=dict)
    """``giver/taker`` → permits ever moved between them."""


class Silent(Machine):
    """A host that goes on by everybody's word."""

    notes: Notes

    def remember(self, now_ms: int) -> None:
        """At the begin of a process: what the one before noted; of a silence's share all was just used."""
        self.noted, self.next_tokens_ms, self.rests_until_ms = False, 0, 0
        for pair, total in self.notes.moved.items():
            self._count(*pair.split("/"), total)
        if self.notes.share is None:
            return
        self.holding = silent_moves.remembered(self.holding, min(self.notes.share, self.holding.limit))
        for _ in range(self.holding.share):
            self.permits.restore_vanished(now_ms)
        self.held_at_the_end = dict.fromkeys(self.notes.slots, "")
        if self.notes.boot != self.boot:  # the machine went down, and its connections were not closed
            self.rests_until_ms = now_ms + LINGER_MS

    def active(self) -> bool:
        return fallbacks.active(self.fallback, self.session, self.now_ms())

    # Everybody's word -------------------------------------------------------------------------------------------------

    def ask_all(self, now_ms: int) -> None:
        """One round; what is held is on disk before."""
        self._note()
        self.fallback = fallbacks.on_round(self.fallback, now_ms)
        for other in sorted(self.fallback.nodes):
            target = self.world.hosts[other]
            self.world.send(self.name, other, partial(target.asked_if_lost, self.name, now_ms))
        if self.active() and now_ms >= self.next_tokens_ms:
            self.next_tokens_ms = now_ms + TOKENS_MS
            self._ask_tokens(sorted(self.fallback.nodes))

    def _note(self) -> None:
        """A life that had no session keeps what it found."""
        if not self.noted and self.session.inc:
            self.notes.share, self.notes.slots = self.holding.share, tuple(self.held_at_the_end)
            self.notes.boot = self.boot
        self.noted = True

    def asked_if_lost(self, asker: str, sent_ms: int) -> None:
        holder, answer = self.world.hosts[asker], fallbacks.lost(self.session, self.now_ms())
        self.world.send(self.name, asker, partial(holder.told_lost, self.name, sent_ms, answer, holder.life))

    def told_lost(self, giver: str, sent_ms: int, answer: bool, life: int) -> None:
        if life == self.life:
            self.fallback = fallbacks.on_answer(self.fallback, giver, sent_ms, self.now_ms(), is_lost=answer)

    # Permits that move ------------------------------------------------------------------------------------------------

    def free(self, now_ms: int) -> int:
        """Permits of the share that are not out."""
        return max(0, self.holding.share - self.permits.out(now_ms))

    def _busy(self, now_ms: int) -> bool:
        return now_ms >= self.busy_until_ms and bool(self.connections)

    def _ask_tokens(self, nodes: list[str]) -> None:
        """Ask one after the other until somebody gives."""
        now_ms = self.now_ms()
        if not nodes or self.free(now_ms) or not self._busy(now_ms):
            return
        target, total = self.world.hosts[nodes[0]], silent_moves.moved_total(self.holding, nodes[0], self.name)
        count = shares.lot_of(self.holding.limit)
        self.world.send(
            self.name, nodes[0], partial(target.asked_tokens, self.name, count, total, nodes[1:], self.life)
        )

    def asked_tokens(self, asker: str, count: int, at_least: int, others: list[str], life: int) -> None:
        """Half of what lies free and is not needed, or all of it without a connection to use it with."""
        now_ms, total = self.now_ms(), silent_moves.moved_total(self.holding, self.name, asker)
        if self.active():
            total = max(total, at_least) + min(count, self._to_spare(now_ms))
            self._book(self.name, asker, total)
        holder = self.world.hosts[asker]
        self.world.send(self.name, asker, partial(holder.told_tokens, self.name, total, at_least, others, life))

    def _to_spare(self, now_ms: int) -> int:
        free = min(self.free(now_ms), max(0, silent_moves.givable(self.holding)))
        if not self.connections:
            return free
        return 0 if self._busy(now_ms) else -(-free // 2)

    def told_tokens(self, giver: str, total: int, before: int, others: list[str], life: int) -> None:
        if life != self.life or not self.active():
            return
        if total > before:
            self.world.count["moved_in_silence"] += total - before
            self._book(giver, self.name, total)
        else:
            self._ask_tokens(others)

    def _book(self, giver: str, taker: str, total: int) -> None:
        """Into the notes, then into the books."""
        self.notes.moved[f"{giver}/{taker}"] = total
        self._count(giver, taker, total)

    def _count(self, giver: str, taker: str, total: int) -> None:
        self.holding = silent_moves.moved_to(self.holding, giver, taker, total)
