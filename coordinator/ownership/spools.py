"""A spool at the begin of a session: may it be used, or is it an older copy, or in use elsewhere (§3, Snapshot guard).

``spool/<uuid>`` says how far the spool had come and which session had it. It is told when a session begins, before
anything is attempted, and every ``NOTE_MS`` while the spool moves, each time comparing the record's revision: so of two
that run on one spool the second is refused. What is about to be told is written into the spool first, durably: a spool
that does not remember telling what the store was told is an older copy. Comparing how far it *is* would not do: a copy
that works on while the store is silent soon looks new. For the same reason nothing is taken in, and no copy kept,
before the spool has been judged once in the life of its process.

A copy younger than the last telling cannot be told from the truth; that is what ``NOTE_MS`` bounds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.keys import Keys, Role
from coordinator.ownership.records import SpoolRecord, UnreadableRecord, read_spool, write
from coordinator.ownership.seats import Seat, Seats
from coordinator.ownership.views import Me
from coordinator.ownership.writes import Transaction
from coordinator.store.contract import Compare, Item, Put, absent, created_at, unchanged

NOTE_MS: Final = 10_000
"""How much work an older copy may repeat unnoticed."""


class Verdict(StrEnum):
    """What to make of a spool at the begin of a session."""

    GOOD = "good"
    BEHIND = "behind"
    """An older copy, or a disk that was given up as lost: to be seen, not to be used, until an operator decides."""
    TWIN = "twin"
    """Somebody who is there has it: do not join."""
    STRANGE = "strange"
    """The record is not understood: do not join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict, and who stands in the way."""

    verdict: Verdict
    text: str = ""
    known: SpoolRecord | None = None


def judge(item: Item | None, me: Me, seats: Seats, *, told: int) -> Judged:
    """Judge a spool that remembers telling *told* (0: nothing yet) against its record and who is there."""
    twin = next((seat for seat in seats.live if seat.spool == me.spool and seat.node != me.node), None)
    if twin is not None:
        return Judged(verdict=Verdict.TWIN, text=f"{twin.node} has this spool")
    try:
        known = read_spool(item.value) if item is not None else None
    except UnreadableRecord as error:
        return Judged(verdict=Verdict.STRANGE, text=str(error))
    if known is not None and known.lost:
        text = "its disk was given up as lost, and what was on it taken over"
        return Judged(verdict=Verdict.BEHIND, text=text, known=known)
    if known is not None and behind(told, known):
        text = f"the spool remembers telling {told}; {known.node} had told {known.sequence}"
        return Judged(verdict=Verdict.BEHIND, text=text, known=known)
    return Judged(verdict=Verdict.GOOD, known=known)


def behind(told: int, known: SpoolRecord) -> bool:
    """Whether a spool has forgotten something it had done."""
    return told < known.sequence


def to_open(
    keys: Keys, me: Me, item: Item | None, known: SpoolRecord | None, seats: Seats, *, sequence: int, inc: int
) -> Transaction:
    """Take the spool for session *inc*: its record as read, and whoever had it last not there with it.

    *sequence* must be durable in the spool as the last told before this is sent, here and in ``to_note``.
    """
    key = keys.spool(me.spool)
    compares = [absent(key) if item is None else unchanged(item)]
    if known is not None and known.node != me.node:
        compares.append(_not_there(keys, known.node, seats.get(known.node)))
    record = SpoolRecord(sequence=sequence, node=me.node, inc=inc)
    return tuple(compares), (Put(key=key, value=write(record)),)


def _not_there(keys: Keys, node: str, seat: Seat | None) -> Compare:
    member = keys.member(Role.NODE, node)
    return absent(member) if seat is None else created_at(member, seat.inc)


def opened(item: Item | None, me: Me, *, inc: int) -> bool:
    """Whether the record says that session *inc* of mine has the spool."""
    if item is None or not inc:
        return False
    try:
        known = read_spool(item.value)
    except UnreadableRecord:
        return False
    return known.node == me.node and known.inc == inc


def to_note(keys: Keys, me: Me, item: Item, *, sequence: int, inc: int) -> Transaction:
    """Tell how far the spool has come; the record must still be this session's."""
    record = SpoolRecord(sequence=sequence, node=me.node, inc=inc)
    return (unchanged(item),), (Put(key=keys.spool(me.spool), value=write(record)),)


def due(item: Item, *, sequence: int, noted_ms: int, now_ms: int) -> bool:
    """Whether to tell it: it has moved, and the last telling was begun ``NOTE_MS`` ago (less what an answer takes)."""
    try:
        told = read_spool(item.value).sequence
    except UnreadableRecord:
        return False
    return sequence > told and now_ms - noted_ms >= NOTE_MS * 4 // 5
