"""Which keys go once a disk is lost for good, and when: nothing anywhere may refer to them any more. Pure.

Three steps, each a transaction that compares what it was judged by:

1. A spool counts as lost when nobody has had it for ``LOST_DELAY_MS`` and the node that had it last works on another
   disk, is on no list, or was declared dead. Its record is marked (``SpoolRecord.lost``). From then on the spool is
   never opened again (``spools.judge``), so nobody makes or claims a pairing of it, and no copies of it are taken.
2. The key of a marked spool's pairing is removed by its shadow, which alone knows that no row is left under it
   (``moves.may_remove``); or, if the disk that had the copies is lost too, by anybody (``next_chore``).
3. The marked record stays, so that the disk is known should it be put back; the ``RETIRED_MAX`` newest of them do.

Not removed: a key under which its shadow keeps spares that became void. Their owner said that they no longer count, but
it may have died before they were copied elsewhere: a person may want them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from coordinator.keys import Keys, Role
from coordinator.ownership.records import (
    PairKey,
    SpoolRecord,
    UnreadableRecord,
    key_of,
    read_pairing,
    read_spool,
    write,
)
from coordinator.ownership.seats import Seats
from coordinator.ownership.writes import Transaction
from coordinator.session import delay_over
from coordinator.store.contract import Compare, Delete, Item, Put, absent, created_at, unchanged

LOST_DELAY_MS: Final = 3_600_000
"""Whoever swaps disks, or calls the wrong node dead, has an hour to put it right."""
RETIRED_MAX: Final = 256
"""Lost disks that are remembered, some 100 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The records and pairings of the whole cluster, as last seen."""

    spools: Mapping[str, tuple[Item, SpoolRecord]]
    """Those that can be read, by spool."""
    unread: frozenset[str] = frozenset()
    """Spools whose record is not understood."""
    pairings: Mapping[PairKey, Item] = field(default_factory=dict)

    def retired(self, spool: str) -> bool:
        """Whether a spool's record says that its disk is lost."""
        found = self.spools.get(spool)
        return found is not None and found[1].lost

    def no_more(self, spool: str) -> bool:
        """Whether nothing can be on a disk any more: it is lost, or was never taken into use."""
        return self.retired(spool) or (spool not in self.spools and spool not in self.unread)

    def item(self, spool: str) -> Item | None:
        """Give a spool's record as stored."""
        found = self.spools.get(spool)
        return found[0] if found is not None else None


def books(keys: Keys, items: Mapping[str, Item]) -> Books:
    """Sort what is there; ``items``: at least every key of a spool and of a pairing."""
    spools: dict[str, tuple[Item, SpoolRecord]] = {}
    unread: set[str] = set()
    pairings: dict[PairKey, Item] = {}
    root = keys.spool("")
    for name, item in sorted(items.items()):
        key = key_of(keys, name)
        if key is not None:
            pairings[key] = item
        elif name.startswith(root):
            spool = name.removeprefix(root)
            try:
                spools[spool] = item, read_spool(item.value)
            except UnreadableRecord:
                unread.add(spool)
    return Books(spools=spools, unread=frozenset(unread), pairings=pairings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Who is there, and what is said of whom, as whoever judges knows it."""

    seats: Seats
    listed: frozenset[str]
    """Nodes of the list in force."""
    began_ms: int
    """When my session began."""
    now_ms: int
    paused: bool = False
    dead: frozenset[str] = frozenset()
    """Nodes an operator has declared dead."""
    delay_ms: int = LOST_DELAY_MS


def lost(spool: str, record: SpoolRecord, around: Around) -> bool:
    """Whether a disk is gone for good, as far as anybody can tell."""
    seats = around.seats
    if record.lost or seats.with_spool(spool) is not None:
        return False
    seat = seats.get(record.node)
    replaced = seat is not None and seat.spool not in {"", spool}
    gone = seat is None and (record.node not in around.listed or record.node in around.dead)
    return (replaced or gone) and delay_over(
        seats.spool_gone_ms(spool), around.began_ms, around.delay_ms, around.now_ms
    )


def next_chore(keys: Keys, found: Books, around: Around) -> Transaction | None:
    """Give the next thing that anybody may do: mark a lost disk, remove a key that no disk stands behind, forget."""
    if around.paused:
        return None
    for spool, (item, record) in found.spools.items():
        if lost(spool, record, around):
            return to_mark(keys, item, record, around.seats)
    for key, item in found.pairings.items():
        if found.retired(key.spool) and _nothing_there(item, found, around.seats):
            return _to_remove_behind(keys, key, item, found)
    return _to_forget(found)


def to_mark(keys: Keys, item: Item, record: SpoolRecord, seats: Seats) -> Transaction:
    """Say that a disk is lost: its record and whoever had it last as they were when that was judged."""
    member, seat = keys.member(Role.NODE, record.node), seats.get(record.node)
    there = absent(member) if seat is None else created_at(member, seat.inc)
    return (unchanged(item), there), (Put(key=item.key, value=write(replace(record, lost=True))),)


def _nothing_there(item: Item, found: Books, seats: Seats) -> bool:
    """Whether the disk that kept the copies is no more either, so that nobody has rows of the pairing."""
    try:
        copy = read_pairing(item.value).copy
    except UnreadableRecord:
        return False
    return seats.with_spool(copy) is None and found.no_more(copy)


def _to_remove_behind(keys: Keys, key: PairKey, item: Item, found: Books) -> Transaction:
    copy = read_pairing(item.value).copy
    compares = [unchanged(item), _same(keys.spool(key.spool), found.item(key.spool))]
    compares.append(_same(keys.spool(copy), found.item(copy)))
    return tuple(dict.fromkeys(compares)), (Delete(key=item.key),)


def _to_forget(found: Books) -> Transaction | None:
    """Forget the disk that was lost first, once there are more than enough and no key is left of it."""
    named = {key.spool for key in found.pairings}
    marked = [(item.mod_revision, spool, item) for spool, (item, record) in found.spools.items() if record.lost]
    if len(marked) <= RETIRED_MAX:
        return None
    oldest = min((each for each in marked if each[1] not in named), default=None)
    return None if oldest is None else ((unchanged(oldest[2]),), (Delete(key=oldest[2].key),))


def settled(node: str, found: Books) -> bool:
    """Whether nothing is left to take over of a node: every disk it had last is marked, and no key of one is there."""
    spools = {spool for spool, (_, record) in found.spools.items() if record.node == node}
    left = any(key.spool in spools for key in found.pairings)
    return not found.unread and not left and all(found.retired(spool) for spool in spools)


def _same(key: str, item: Item | None) -> Compare:
    return absent(key) if item is None else unchanged(item)


def retired_in(keys: Keys, items: Iterable[Item]) -> frozenset[str]:
    """Name the lost disks among records."""
    return frozenset(spool for spool, (_, record) in books(keys, {each.key: each for each in items}).spools.items()
                     if record.lost)  # fmt: skip
