"""The verbs of ``paired.py`` in dictionaries; the same decisions as on SQLite, by the same steps."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from node.policy.envelope import NewMessage, RecipientState
from node.spool import pairing_steps
from node.spool.adopting import entries_of, lines_of, take_over
from node.spool.bodies import INLINE_BYTES, Bodies
from node.spool.contract import Accepted, BodyFile, JourneyLine
from node.spool.errors import WrongRequest
from node.spool.operators import OperatorVerbs
from node.spool.paired import Changed, Here, Looked, Newer, Pair, Standing
from node.spool.pairing_standing import progressed, share
from node.spool.rows import facts_of
from node.spool.steps import first_entries
from node.spool.work import Arrival, CopyState, Record, Work

T = TypeVar("T")


class MemoryPairs(OperatorVerbs):
    """Added to the spool in memory."""

    on_changed: Callable[[Sequence[Changed]], None] | None = None
    """See the contract."""
    _bodies: Bodies
    _records: dict[str, Record]
    _messages: dict[str, NewMessage]
    _lines: dict[int, list[JourneyLine]]
    _data: dict[str, bytes]

    def __init__(self) -> None:
        """Never in a cluster."""
        self._pairs: dict[int, Pair] | None = None
        self._told = self._sequence = 0
        self._written: dict[int, int] = {}
        """By message: the last step that its journey tells of."""
        self._heard: dict[int, int] = {}

    @abstractmethod
    def _do(self, apply: Callable[[Work], T], messages: Iterable[str] = (), attempts: Iterable[str] = ()) -> T:
        """Let one step work on the records."""

    @abstractmethod
    def _forget_body(self, record: Record) -> None:
        """Remove a body."""

    @property
    def _numbers(self) -> frozenset[int] | None:
        return None if self._pairs is None else frozenset(self._pairs)

    def _enter(self) -> dict[int, Pair]:
        if self._pairs is None:
            self._pairs = {}
            for record in self._records.values():
                if not record.finished_ms and record.pairing is None:
                    record.pairing = 0
        return self._pairs

    def _live(self, number: int) -> list[Record]:
        return [r for r in self._records.values() if not r.finished_ms and r.pairing == number]

    def _found(self, message_ids: Iterable[str]) -> list[Record]:
        return [self._records[name] for name in dict.fromkeys(message_ids) if name in self._records]

    def _need(self, number: int) -> None:
        if number and number not in (self._pairs or ()):
            raise WrongRequest(f"no pairing has number {number} in this spool")

    async def attach(self, spool: str, shadow: str, epoch: int) -> int:
        """See the contract."""
        pairs = self._enter()
        for pair in pairs.values():
            if (pair.spool, pair.shadow, pair.epoch) == (spool, shadow, epoch):
                return pair.number
        number = max(pairs, default=0) + 1
        pairs[number] = Pair(number=number, spool=spool, shadow=shadow, epoch=epoch)
        return number

    async def name_store(self, number: int, store: str) -> None:
        """See the contract; raises WrongRequest for a number nobody was given."""
        self._need(number)
        pairs = self._enter()
        if number:
            pairs[number] = msgspec.structs.replace(pairs[number], store=store)

    async def pairs(self) -> list[Pair]:
        """See the contract; all of them."""
        return list((self._pairs or {}).values())

    async def number_of(self, spool: str, shadow: str, epoch: int) -> int:
        """See the contract."""
        pairs = (self._pairs or {}).values()
        return next((p.number for p in pairs if (p.spool, p.shadow, p.epoch) == (spool, shadow, epoch)), 0)

    async def here(self, number: int) -> Here:
        """See the contract."""
        self._enter()
        live = self._live(number)
        return Here(
            own=bool(live),
            unconfirmed=any(record.copy is CopyState.UNCONFIRMED for record in live),
            careful=any(record.careful for record in live),
            moving=any(map(_moving, live)),
        )

    async def unprotected(self) -> int:
        """See the contract."""
        self._enter()
        live = (record for record in self._records.values() if not record.finished_ms)
        return sum(record.copy is CopyState.UNCONFIRMED for record in live)

    async def confirm(self, number: int, message_ids: Sequence[str]) -> None:
        """See the contract."""
        for record in self._found(message_ids):
            if number and record.pairing == number and record.copy is CopyState.UNCONFIRMED:
                record.copy = CopyState.CONFIRMED

    async def unconfirm(self, number: int) -> None:
        """See the contract."""
        for record in self._live(number):
            record.copy = CopyState.UNCONFIRMED

    async def reattach(self, message_ids: Sequence[str], number: int) -> list[str]:
        """See the contract; raises WrongRequest for a number nobody was given."""
        self._need(number)
        movable = [r for r in self._found(message_ids) if not r.finished_ms and not _moving(r)]
        for record in movable:
            record.pairing, record.copy = number, CopyState.UNCONFIRMED
        return [record.id for record in movable]

    async def standing(self, number: int, after: str, limit: int, *, unconfirmed: bool = False) -> list[Standing]:
        """See the contract."""
        self._enter()
        chosen = [r for r in self._live(number) if r.id > after and (not unconfirmed or not r.copy)]
        return [self._standing(record) for record in sorted(chosen, key=lambda r: r.id)[:limit]]

    def _standing(self, record: Record) -> Standing:
        message = self._messages[record.id]
        entries = sorted(record.entries.values(), key=lambda entry: entry.index)
        return Standing(
            message=message,
            facts=facts_of(message),
            size_bytes=record.body_bytes,
            pairing=record.pairing or 0,
            confirmed=record.copy is CopyState.CONFIRMED,
            moving=_moving(record),
            progress=progressed(first_entries(message), entries),
            lines=tuple(self._lines.get(record.seq, ())),
        )

    async def newer(self, number: int, sequence: int, after: str, limit: int) -> Newer:
        """See the contract."""
        self._enter()
        live = sorted(self._live(number), key=lambda r: r.id)
        chosen = [r for r in live if r.id > after and self._written.get(r.seq, 0) > sequence]
        last = chosen[limit - 1].id if len(chosen) > limit else ""
        return Newer(found=tuple(map(self._standing, chosen[:limit])), last=last)

    async def journeys(self, message_ids: Sequence[str]) -> dict[str, tuple[JourneyLine, ...]]:
        """See the contract."""
        found = self._found(message_ids)
        return {record.id: tuple(self._lines[record.seq]) for record in found if self._lines.get(record.seq)}

    async def heard(self, number: int) -> int:
        """See the contract."""
        return self._heard.get(number, 0)

    async def note_heard(self, number: int, sequence: int) -> int:
        """See the contract; raises WrongRequest for a number nobody was given."""
        self._need(number)
        self._heard[number] = sequence
        return self._sequence

    async def look(self, message_ids: Sequence[str]) -> dict[str, Looked]:
        """See the contract."""
        return {
            record.id: Looked(
                pairing=0 if record.finished_ms else record.pairing or 0,
                confirmed=record.copy is CopyState.CONFIRMED,
                finished=bool(record.finished_ms),
                moving=_moving(record),
            )
            for record in self._found(message_ids)
        }

    async def yield_up(self, message_ids: Sequence[str]) -> None:
        """See the contract; raises WrongRequest for one in flight."""
        live = [record for record in self._found(message_ids) if not record.finished_ms]
        for record in live:
            if _moving(record):
                raise WrongRequest(f"message {record.id} is in flight and cannot be given up")
        for record in live:
            self._forget_body(record)
            del self._records[record.id], self._messages[record.id]
            self._lines.pop(record.seq, None)

    async def withdraw(self, message_id: str, why: str, now_ms: int) -> bool:
        """See the contract; True also if it is not here."""
        return self._do(partial(pairing_steps.withdraw, message_id, why, now_ms), (message_id,))

    async def untold(self, number: int, limit: int) -> list[str]:
        """See the contract."""
        settled = (r for r in self._records.values() if r.copy is CopyState.SETTLED and r.pairing == number)
        return sorted(record.id for record in settled)[:limit]

    async def told(self, message_ids: Sequence[str]) -> None:
        """See the contract."""
        for record in self._found(message_ids):
            if record.copy is CopyState.SETTLED:
                record.pairing, record.copy = None, CopyState.UNCONFIRMED

    async def adopt(
        self,
        standing: Standing,
        body: bytes | Path,
        *,
        sent: frozenset[int] = frozenset(),
        origin: str,
        now_ms: int,
    ) -> bool:
        """See the contract."""
        message = standing.message
        if message.id in self._records:
            return False
        inline = isinstance(body, bytes) and len(body) <= INLINE_BYTES
        kept = body if isinstance(body, bytes) and inline else share(body, self._bodies.path_for(message.id))
        file = self._bodies.take(message.id, kept) if isinstance(kept, BodyFile) else ""
        size_bytes = kept.size_bytes if isinstance(kept, BodyFile) else len(kept)
        item = Accepted(message=message, body=kept, pairing=standing.pairing)
        entries = entries_of(standing, sent, now_ms)
        arrival = Arrival(item=item, size_bytes=size_bytes, file=file, facts=standing.facts)
        lines = lines_of(standing, entries, sent, origin, now_ms)
        self._do(partial(take_over, arrival, entries, lines, now_ms), (message.id,))
        if isinstance(kept, bytes) and self._records[message.id].has_body:
            self._data[message.id] = kept
        return True

    async def remembered(self) -> int:
        """See the contract."""
        return self._told

    async def remember(self, sequence: int) -> None:
        """See the contract."""
        self._told = sequence

    async def sequence(self) -> int:
        """Number of steps so far."""
        return self._sequence


def _moving(record: Record) -> bool:
    return any(entry.state is RecipientState.IN_FLIGHT for entry in record.entries.values())
