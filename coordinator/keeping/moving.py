"""Makes the moves of pairings: each has one job at a time, which counts rows, decides, and sends with no wait between.

What to do is ``moves.py``'s to say. Bounded by the pairings of this node.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from coordinator.keeping.aligning import Aligning
from coordinator.keeping.contract import Hooks, Rows
from coordinator.keeping.known import Known
from coordinator.keeping.sending import Sending
from coordinator.ownership import moves, writes
from coordinator.ownership.moves import Here, Move, Scene
from coordinator.ownership.records import PairKey
from coordinator.ownership.views import State, View
from coordinator.ownership.writes import Transaction
from coordinator.session import Session
from coordinator.store.contract import Item

_log = logging.getLogger("coordinator")
CONFIRM_MS: Final = 10_000
"""So long after the begin of leaving, rows that the other end has not said it has may still become ones to give."""
ONLY_CLAIMED: Final = frozenset({State.UNCLAIMED, State.LEAVING})
"""States of which nothing is known to be mine before the key is written again."""


class Moving:
    """What is known of rows beside what is known of pairings, and the moves that follow from both."""

    def __init__(
        self,
        known: Known,
        rows: Rows,
        hooks: Hooks,
        sending: Sending,
        aligning: Aligning,
        *,
        session: Callable[[], Session],
        now_ms: Callable[[], int],
        found: Callable[[str], Item | None],
    ) -> None:
        """Move nothing yet. ``found`` gives any key as last seen."""
        self.made: Counter[str] = Counter()
        """Moves that the store took, by name; ``pair`` for new pairings."""
        self.wanted: dict[PairKey, int] = {}
        """Keys asked back by their spool's own node, with the revision they were asked at."""
        self.lost: dict[PairKey, int] = {}
        """Pairings whose shadow has lost what it had, with their epoch."""
        self.voiding: set[PairKey] = set()
        """Being made void: whatever the store answers, their rows stay mine while my session lives."""
        self.leaving_ms: int | None = None
        """Since when what is mine is to be given away; None: it is not."""
        self._known, self._rows, self._hooks, self._sending, self._aligning = known, rows, hooks, sending, aligning
        self._session, self._now_ms, self._found = session, now_ms, found
        self._here: dict[PairKey, tuple[State, int, Here]] = {}
        self._counted_ms: dict[PairKey, int] = {}

    # -- looking

    def scene(self, key: PairKey) -> Scene:
        """Give what a decision on this pairing looks at."""
        known = self._known
        return Scene(
            me=known.me,
            session=self._session(),
            now_ms=self._now_ms(),
            seats=known.seats,
            opened=known.live,
            paused=self._hooks.paused(),
            dead=self._hooks.dead(),
            leaving=self.leaving_ms is not None,
            elsewhere=known.elsewhere(key),
            retired=key.spool in known.retired,
        )

    async def count(self, view: View) -> Here:
        """Count the rows of a view's epoch; raises what ``Rows`` raises."""
        begun_ms = self._now_ms()
        here = await self._rows.here(view.key, view.epoch)
        here = replace(here, wanted=self.wanted.get(view.key) == view.revision)
        self._here[view.key], self._counted_ms[view.key] = (view.state, view.epoch, here), begun_ms
        return here

    def counted(self, view: View) -> Here | None:
        """Give rows as last counted, if in this state and epoch, and in line with it."""
        found = self._here.get(view.key)
        same = found is not None and found[:2] == (view.state, view.epoch) and self._aligning.done(view.key)
        return found[2] if found is not None and same else None

    def may_have_own(self, key: PairKey) -> bool:
        """Whether there may be own rows of a pairing that is not understood: what was counted last is all we know."""
        found = self._here.get(key)
        return found is None or found[2].own > 0

    def could_be_given(self, view: View) -> bool:
        """Whether there are, or may be, rows of a pairing that can be handed over now or in a moment."""
        if view.state in ONLY_CLAIMED:
            return True
        if view.state is not State.HELD or moves.other_end(view, self.scene(view.key)) is None:
            return False
        here, since_ms = self.counted(view), self.leaving_ms or 0
        if here is None or self._counted_ms[view.key] <= since_ms:
            return True
        return here.own > 0 and (not here.unconfirmed or self._now_ms() - since_ms < CONFIRM_MS)

    def to_ask_back(self) -> list[tuple[str, PairKey, int]]:
        """Say whom to ask for which key, at which revision of it."""
        found = []
        for key, view in self._known.views.items():
            here = self.counted(view)
            if here is not None and view.pairing is not None and moves.may_ask_back(view, here, self.scene(key)):
                found.append((view.pairing.owner, key, view.revision))
        return found

    # -- moving

    async def consider(self, key: PairKey) -> None:
        """Look at one pairing and make the move that is due."""
        view, here = self._known.view(key), Here()
        if view.state not in ONLY_CLAIMED:
            if not self._aligning.done(key):
                return
            here = await self.count(view)
            if self._known.view(key) != view or not self._aligning.done(key):
                return
        move = self._decide(view, here)
        if move is not Move.NOTHING and await self._make(view, move):
            self.made[move] += 1

    def _decide(self, view: View, here: Here) -> Move:
        scene = self.scene(view.key)
        if scene.live and view.state is State.HELD and self.lost.get(view.key) == view.epoch:
            return Move.VOID
        return moves.decide(view, here, scene)

    async def _make(self, view: View, move: Move) -> bool:
        _log.info("pairing %s/%s: %s", view.key.spool[:8], view.key.shadow, move)
        if move is Move.REMOVE:
            return await self._remove(view)
        transaction = self._transaction(view, move)
        if move is Move.CLAIM:
            return await self._sending.claim(view, transaction)
        if move is Move.ADOPT:
            return await self._sending.take(view, transaction)
        (self.voiding.add if move is Move.VOID else self.voiding.discard)(view.key)
        self._sending.leave(view)
        if move is Move.GIVE and not await self._still_given(view):
            return False
        return await self._sending.left(view, transaction)

    async def _remove(self, view: View) -> bool:
        """Remove the key of a lost disk's pairing; that it is gone the watch tells."""
        record = self._found(self._known.keys.spool(view.key.spool))
        if record is None:
            return False
        return await self._sending.anything(writes.to_remove(self._known.keys, view, record))

    async def _still_given(self, view: View) -> bool:
        """Count again now that no attempt begins any more: one may have begun since."""
        still = False
        try:
            here = await self.count(view)
            still = self._known.view(view.key).left == view.revision and self._decide(view, here) is Move.GIVE
        finally:
            if not still:
                self._sending.unsent(view.key)
        return still

    def _transaction(self, view: View, move: Move) -> Transaction:
        keys, known = self._known.keys, self._known
        if move is Move.CLAIM:
            return writes.to_claim(keys, view)
        if move is Move.VOID:
            return writes.to_void(keys, view)
        if move is Move.ADOPT and view.pairing is not None:
            return writes.to_adopt(keys, view, self._known.me, known.seats.get(view.pairing.owner))
        heir = moves.other_end(view, self.scene(view.key))
        if heir is None:
            raise LookupError(f"nobody is there to {move}")
        return writes.to_give(keys, view, heir)

    async def pair(self, key: PairKey, *, revision: int) -> None:
        """Make a pairing of my spool if that may be; ``revision``: the newest of the store that is known."""
        known = self._known
        if not self._aligning.done(key):
            return
        view = known.view(key)
        here = await self.count(view) if view.pairing is not None else Here()
        seat, scene = known.seats.get(key.shadow), self.scene(key)
        if seat is None or known.view(key) != view or not moves.may_pair(view, here, seat, scene):
            return
        _log.info("pairing %s/%s: pair", key.spool[:8], key.shadow)
        if await self._sending.take(view, writes.to_pair(known.keys, view, known.me, seat, revision=revision)):
            self.made["pair"] += 1
