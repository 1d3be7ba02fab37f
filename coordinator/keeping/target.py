"""Chooses the pairing under which what is taken in is copied; has one made if there is a better node or none usable.

The pairing in use is kept while its shadow is there, even one that would rather take no more, until another is held:
then the former can become void, and its rows move. Who leaves makes no new one.
"""

from collections.abc import Callable
from functools import partial

from coordinator.keeping.contract import Hooks
from coordinator.keeping.jobs import Jobs
from coordinator.keeping.known import Known
from coordinator.keeping.moving import Moving
from coordinator.ownership import moves, peers
from coordinator.ownership.moves import Here
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import PairKey
from coordinator.ownership.views import View


class Target:
    """The choice as last made."""

    def __init__(
        self, known: Known, hooks: Hooks, moving: Moving, jobs: Jobs, *, site: str, newest: Callable[[], int]
    ) -> None:
        """Choose nothing yet. ``newest``: the newest revision of the store that is known."""
        self._known, self._hooks, self._moving, self._jobs = known, hooks, moving, jobs
        self._site, self._newest = site, newest
        self._key: PairKey | None = None

    @property
    def view(self) -> View | None:
        """The pairing chosen, as long as it can be used."""
        view = self._known.views.get(self._key) if self._key is not None else None
        return view if view is not None and self._known.usable(view) else None

    def look(self) -> None:
        """Choose again."""
        now, me = self.view or self._known.newest(), self._known.me
        current = now.key.shadow if now is not None else ""
        self._key = now.key if now is not None else None
        there = [each for each in self._hooks.candidates() if each.node == current or self._could_keep(each)]
        found = peers.choose(there, node=me.node, spool=me.spool, site=self._site, current=current)
        if found is None or found.node == current:
            return
        key = PairKey(spool=me.spool, shadow=found.node)
        if self._known.usable(self._known.view(key)):
            self._key = key
        elif self._known.live and self._moving.leaving_ms is None:
            self._jobs.start(key, partial(self._moving.pair, key, revision=self._newest()))

    def _could_keep(self, candidate: Candidate) -> bool:
        """Whether copies can go there now, or soon: a key that its owner must give back first is not waited for."""
        known, key = self._known, PairKey(spool=self._known.me.spool, shadow=candidate.node)
        view, seat = known.view(key), known.seats.get(candidate.node)
        if seat is None or seat.spool != candidate.spool:
            return False
        here = self._moving.counted(view) or Here(spare=1)
        return known.usable(view) or moves.may_pair(view, here, seat, self._moving.scene(key))
