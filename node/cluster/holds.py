"""What this node holds, noted before it is used without the store, and permits moved between nodes meanwhile (§5)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from coordinator.budget import silent_moves
from coordinator.budget.reserve import ElasticPermits
from node.cluster.lot_part import LotPart
from node.cluster.notes import Held, Notes
from node.cluster.permit_part import PermitPart
from node.cluster.place import Place
from node.cluster.slot_part import SlotPart

WISH_MAX = 1_000
"""Permits asked for at once."""


def slot_name(account: str, index: int) -> str:
    """How nodes speak of a slot to each other."""
    return f"{account}/{index}"


class Holds:
    """The parts by key, and the notes on disk; one writer at a time."""

    def __init__(
        self,
        place: Place,
        notes: Notes,
        permits: Callable[[], Mapping[str, PermitPart[ElasticPermits]]],
        slots: Callable[[], Mapping[str, SlotPart]],
        lots: Callable[[], Mapping[str, LotPart]],
    ) -> None:
        """Permits and lots by key, slots by account. Reads nothing before ``load``."""
        self._place, self._notes = place, notes
        self._permits, self._slots, self._lots = permits, slots, lots
        self._totals: dict[str, dict[str, int]] = {}
        self._writing = asyncio.Lock()
        self._frozen = False
        """What we hold is noted and grows by nobody's deed but ours until the next session."""

    # -- life

    def load(self) -> None:
        """Once before the first grant: take up what the life before noted. Raises NotesUnreadable."""
        self._totals = self._notes.moved()
        for key, totals in self._totals.items():
            for pair, total in totals.items():
                giver, _, taker = pair.partition("/")
                self._book(key, giver, taker, total)
        held = self._notes.held()
        if held is None:
            return
        self._frozen = True
        now_ms = self._place.clock()
        for key, share in held.shares.items():
            if key in self._permits():
                self._permits()[key].remembered(share, now_ms)
        for account, indexes in held.slots.items():
            if account in self._slots():
                gone_ms = None if held.boot == self._place.boot else now_ms
                self._slots()[account].remembered(indexes, held, vanished_ms=gone_ms)
        for key, (stamp, units) in held.lots.items():
            if key in self._lots():
                # Used, it may be, and later than the quarter they stand in: the next write moves them.
                self._lots()[key].day.stamp, self._lots()[key].day.late = stamp, units

    async def note(self) -> None:
        """What is held goes to disk; raises NotesUnreadable. A life that had no session keeps what it found there."""
        if not self._place.session.session.inc:
            return
        for part in self._slots().values():
            part.freeze()
        await self._written(lambda: self._notes.hold(self.held()))
        self._frozen = True

    def held(self) -> Held:
        """What is held now."""
        session = self._place.session.session
        return Held(
            inc=session.inc,
            lease=session.lease,
            boot=self._place.boot,
            shares={key: part.holding.share for key, part in self._permits().items() if part.holding.share},
            slots={account: part.ours() for account, part in self._slots().items() if part.ours()},
            lots={
                key: (part.day.stamp, part.day.free + part.day.spare + part.day.open + part.day.late)
                for key, part in self._lots().items()
                if part.day.stamp
            },
        )

    def forget(self) -> None:
        """A session lives again; raises NotesUnreadable."""
        self._frozen = False
        self._notes.forget()

    # -- slots given up just before the silence

    def limbo(self) -> list[str]:
        """Slots given up that may have arrived nowhere, as ``account/index``."""
        return [slot_name(account, index) for account, part in self._slots().items() for index in part.limbo()]

    def not_held(self, names: Sequence[str]) -> list[str]:
        """Those of some slots that are not ours, nor will be before the next session."""
        return [name for name in names if self._frozen and not self._holds(name)]

    def _holds(self, name: str) -> bool:
        account, _, index = name.rpartition("/")
        part = self._slots().get(account)
        return part is not None and (not index.isdecimal() or part.holds(int(index)))

    async def resume(self, names: Sequence[str]) -> None:
        """Go on with slots that arrived nowhere, once they are noted; raises NotesUnreadable."""
        async with self._writing:
            held = self.held()
            slots = dict(held.slots)
            for name in names:
                account, _, index = name.rpartition("/")
                slots[account] = tuple(sorted({*slots.get(account, ()), int(index)}))
            await asyncio.to_thread(self._notes.hold, msgspec.structs.replace(held, slots=slots))
            for name in names if self._frozen else ():
                account, _, index = name.rpartition("/")
                self._slots()[account].resumed(int(index))

    # -- permits between nodes

    def wanted(self) -> list[tuple[str, int]]:
        """Limits with work and nothing free here, and how many permits would help."""
        now_ms = self._place.clock()
        return [(key, part.lot) for key, part in self._permits().items() if part.starved(now_ms)]

    def total(self, key: str, giver: str, taker: str) -> int:
        """Permits of a limit ever moved between two nodes without the store."""
        part = self._permits().get(key)
        return 0 if part is None else silent_moves.moved_total(part.holding, giver, taker)

    async def give(self, key: str, taker: str, count: int, *, at_least: int) -> int:
        """Half of what lies free and is not needed, noted before it is said; the new total."""
        part, me = self._permits().get(key), self._place.node
        if part is None:
            return 0
        async with self._writing:
            total = max(self.total(key, me, taker), at_least)
            total += min(max(0, count), WISH_MAX, part.to_spare(self._place.clock()))
            self._book(key, me, taker, total)
            await self._note_total(key, me, taker, total)
        return total

    async def take(self, key: str, giver: str, total: int) -> None:
        """Permits another gave, noted before they are used."""
        if key in self._permits():
            async with self._writing:
                await self._note_total(key, giver, self._place.node, total)
                self._book(key, giver, self._place.node, total)

    def _book(self, key: str, giver: str, taker: str, total: int) -> None:
        part = self._permits().get(key)
        if part is not None:
            part.moved(giver, taker, total, self._place.clock())

    async def _note_total(self, key: str, giver: str, taker: str, total: int) -> None:
        self._totals.setdefault(key, {})[f"{giver}/{taker}"] = total
        totals = {name: dict(each) for name, each in self._totals.items()}
        await asyncio.to_thread(self._notes.move, totals)

    async def _written(self, write: Callable[[], None]) -> None:
        async with self._writing:
            await asyncio.to_thread(write)
