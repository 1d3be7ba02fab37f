"""What the spool's number of a pairing's epoch means for the mail under it: whether anybody else could own it."""

from collections.abc import Iterable
from typing import Protocol

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Row, alone, belongs, may_attach
from coordinator.ownership.views import Me, State, View, may_copy
from node.shadow.ownership import attached_of
from node.spool.paired import Pair, PairedSpool


class Pairs(Protocol):
    """What copying needs of ownership (``coordinator.keeping.keeper.Keeper``)."""

    @property
    def me(self) -> Me:
        """Name this node and its spool."""
        ...

    @property
    def target(self) -> View | None:
        """The pairing under which what is accepted now is copied."""
        ...

    def view(self, key: PairKey) -> View | None:
        """One pairing; None: not known (yet)."""
        ...

    def views(self) -> Iterable[View]:
        """All with this node at an end."""
        ...

    def copies_lost(self, key: PairKey, epoch: int) -> None:
        """The other end no longer has what was sent under this epoch."""
        ...


class Numbers:
    """The spool's pairings, as last read."""

    def __init__(self, spool: PairedSpool, pairs: Pairs) -> None:
        """Know none yet."""
        self._spool, self._pairs = spool, pairs
        self._known: dict[int, Pair] = {}

    async def read(self) -> None:
        """Read them all; raises SpoolBroken, SpoolClosed."""
        self._known = {pair.number: pair for pair in await self._spool.pairs()}

    def known(self, number: int) -> bool:
        """Whether a number was read; 0 needs no reading."""
        return number == 0 or number in self._known

    def store(self, number: int) -> str:
        """Name the copy store that has the copies sent under it; empty: none were, or it is not known."""
        found = self._known.get(number)
        return found.store if found is not None else ""

    def free(self, number: int) -> bool:
        """Whether mail under it is mine and nobody can adopt it, so nobody need know of attempts (``asks_first``)."""
        if number == 0:
            return True
        row, view = self._found(number)
        return view is not None and (
            alone(row, view, self._pairs.me) or (belongs(row, view) and view.state is State.VOID)
        )

    def movable(self, number: int) -> bool:
        """Whether mail under it may be copied under the pairing that is in force now."""
        to = self._pairs.target
        row, view = self._found(number)
        return to is not None and may_attach(row, view, self._pairs.me, to=to)

    def others(self) -> list[int]:
        """Every number whose mail may be copied elsewhere, what is here alone first."""
        return [number for number in (0, *self._known) if self.movable(number)]

    def idle(self) -> list[int]:
        """Every number of my spool's under a pairing that is held beside the one in force now."""
        to = self._pairs.target
        return [] if to is None else [number for number in self._known if self._is_idle(number, to)]

    def _is_idle(self, number: int, to: View) -> bool:
        row, view = self._found(number)
        if view is None or view.state is not State.HELD or view.key.spool != self._pairs.me.spool:
            return False
        return belongs(row, view) and not same(view, to)

    def beside(self) -> list[int]:
        """Every number of my spool's that is not in use and whose shadow may still take its mail over."""
        found = ((number, *self._found(number)) for number in self._known)
        return [number for number, row, view in found if view is not None and self._is_beside(row, view)]

    def _is_beside(self, row: Row, view: View) -> bool:
        of_mine = view.key.spool == self._pairs.me.spool and belongs(row, view)
        return of_mine and may_copy(view) and not same(view, self._pairs.target)

    def view(self, number: int) -> View | None:
        """Give the pairing of a number as it is now."""
        return self._found(number)[1]

    def free_ones(self) -> list[int]:
        """Every number, beyond 0, of which nobody need know."""
        return [number for number in self._known if self.free(number)]

    def _found(self, number: int) -> tuple[Row, View | None]:
        pair = self._known.get(number)
        if pair is None:
            return Row(attached=None if number == 0 else _NOWHERE), None
        attached = attached_of(pair)
        return Row(attached=attached), self._pairs.view(attached.key)


_NOWHERE = Attached(key=PairKey(spool="", shadow=""), epoch=0)
"""Of a number not read yet: nothing may be done with its mail."""


def same(one: View | None, other: View | None) -> bool:
    """Whether two views are of one epoch of one pairing."""
    if one is None or other is None:
        return one is other
    return one is other or (one.epoch == other.epoch and one.key == other.key)
