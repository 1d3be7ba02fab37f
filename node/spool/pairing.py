"""The verbs of ``paired.py`` on SQLite. It decides nothing about ownership and holds no SQL."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from node.spool import attaching, pairing_reading, pairing_steps, reading
from node.spool.adopting import entries_of, lines_of, take_over
from node.spool.batch import Book
from node.spool.bodies import INLINE_BYTES, Bodies
from node.spool.contract import Accepted, BodyFile, JourneyLine
from node.spool.database import Database
from node.spool.engine import Engine
from node.spool.errors import WrongRequest
from node.spool.filing import known
from node.spool.operations import Alone, Step
from node.spool.operators import OperatorVerbs
from node.spool.paired import Changed, Here, Looked, Newer, Pair, Standing
from node.spool.pairing_standing import share
from node.spool.reading import Damage
from node.spool.rows import facts_of
from node.spool.work import Arrival

P = ParamSpec("P")
T = TypeVar("T")

MAX_STANDING = 1_000
MAX_UNTOLD = 10_000
"""Most that one call gives."""


class PairedVerbs(OperatorVerbs):
    """Added to a spool that has an engine."""

    on_changed: Callable[[Sequence[Changed]], None] | None = None
    """See the contract."""
    _engine: Engine
    _bodies: Bodies
    _entered = False

    _now_ms: Callable[[], int]

    @abstractmethod
    async def _set_aside(self, message_id: str, reason: str, now_ms: int) -> None:
        """Keep what there is of a message as files, and make it dead."""

    @abstractmethod
    def _discard(self, files: list[str]) -> None:
        """Remove body files no longer needed."""

    async def _alone(
        self, run: Callable[Concatenate[Database, Book, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        return await self._engine.do(Alone(run=lambda database, book: run(database, book, *args, **kwargs)))

    async def _enter(self) -> None:
        """See to it that every live message has a row; the first time in a spool's life it may take seconds."""
        if not self._entered:
            await self._alone(attaching.enter)
            self._entered = True

    # ---- pairings ------------------------------------------------------------------------------------------------

    async def attach(self, spool: str, shadow: str, epoch: int) -> int:
        """See the contract; raises SpoolFull, SpoolBroken."""
        number = int(await self._alone(attaching.attach, spool, shadow, epoch))
        self._entered = True
        return number

    async def name_store(self, number: int, store: str) -> None:
        """See the contract; raises WrongRequest for a number nobody was given."""
        await self._alone(attaching.name_store, number, store)

    async def pairs(self) -> list[Pair]:
        """See the contract; the newest 256 besides those that have messages."""
        return await self._engine.readers.ask(pairing_reading.pairs)

    async def number_of(self, spool: str, shadow: str, epoch: int) -> int:
        """See the contract."""
        return await self._engine.readers.ask(pairing_reading.number_of, spool, shadow, epoch)

    async def here(self, number: int) -> Here:
        """See the contract; what is still in the journal counts."""
        await self._enter()
        waiting = [one for batch in self._engine.pending.batches() for one in batch.arrivals]
        found = await self._engine.readers.ask(pairing_reading.here, number)
        return pairing_steps.with_arrivals(found, number, waiting)

    async def unprotected(self) -> int:
        """See the contract."""
        await self._enter()
        return await self._engine.ask_anyway(pairing_reading.unprotected)

    # ---- messages ------------------------------------------------------------------------------------------------

    async def confirm(self, number: int, message_ids: Sequence[str]) -> None:
        """See the contract."""
        if number and message_ids:
            await self._alone(attaching.confirm, number, message_ids)

    async def unconfirm(self, number: int) -> None:
        """See the contract; in several transactions if they are many, so that mail goes on meanwhile."""
        while await self._alone(attaching.unconfirm, number):
            pass

    async def reattach(self, message_ids: Sequence[str], number: int) -> list[str]:
        """See the contract; raises WrongRequest for a number nobody was given."""
        return list(await self._alone(attaching.reattach, message_ids, number))

    async def standing(self, number: int, after: str, limit: int, *, unconfirmed: bool = False) -> list[Standing]:
        """See the contract; at most MAX_STANDING. One that cannot be read is set aside."""
        await self._enter()
        size = min(limit, MAX_STANDING)
        ask = partial(pairing_reading.standing, number=number, after=after, limit=size, unconfirmed=unconfirmed)
        return await self._read_whole(ask)

    async def newer(self, number: int, sequence: int, after: str, limit: int) -> Newer:
        """See the contract; at most MAX_STANDING. One that cannot be read is set aside."""
        await self._enter()
        size = min(limit, MAX_STANDING)
        ask = partial(pairing_reading.newer, number=number, sequence=sequence, after=after, limit=size)
        return await self._read_whole(ask)

    async def _read_whole(self, ask: Callable[[Database], tuple[T, Damage]]) -> T:
        while True:
            found, damage = await self._engine.ask(ask)
            if not damage:
                return found
            # Dead from then on: it is asked again, since fewer than there are would look like the end of them.
            for message_id in damage:
                await self._set_aside(message_id, "unreadable", self._now_ms())

    async def journeys(self, message_ids: Sequence[str]) -> dict[str, tuple[JourneyLine, ...]]:
        """See the contract."""
        return await self._engine.ask(pairing_reading.journeys, message_ids)

    async def heard(self, number: int) -> int:
        """See the contract."""
        return await self._engine.readers.ask(pairing_reading.heard, number)

    async def note_heard(self, number: int, sequence: int) -> int:
        """See the contract; raises WrongRequest for a number nobody was given."""
        return int(await self._alone(attaching.note_heard, number, sequence))

    async def look(self, message_ids: Sequence[str]) -> dict[str, Looked]:
        """See the contract."""
        if any(map(self._engine.pending.holds, message_ids)):
            await self._engine.flush()
        return await self._engine.readers.ask(pairing_reading.look, message_ids)

    async def yield_up(self, message_ids: Sequence[str]) -> None:
        """See the contract; raises WrongRequest for one in flight. Those settled or not here are left alone."""
        if message_ids:
            self._discard(await self._alone(attaching.yield_up, message_ids))

    async def withdraw(self, message_id: str, why: str, now_ms: int) -> bool:
        """See the contract; True also if it is not here."""
        apply = partial(pairing_steps.withdraw, message_id, why, now_ms)
        return bool(await self._engine.do(Step(apply=apply, messages=(message_id,))))

    async def untold(self, number: int, limit: int) -> list[str]:
        """See the contract; at most MAX_UNTOLD."""
        return await self._engine.readers.ask(pairing_reading.untold, number, min(limit, MAX_UNTOLD))

    async def told(self, message_ids: Sequence[str]) -> None:
        """See the contract."""
        if message_ids:
            await self._alone(attaching.told, message_ids)

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
        message_id = standing.message.id
        if await known(message_id, self._engine):
            return False
        if isinstance(body, bytes) and len(body) <= INLINE_BYTES:
            item, file = Accepted(message=standing.message, body=body, pairing=standing.pairing), ""
        else:
            item, file = await self._engine.readers.run(partial(self._placed, standing, body))
        entries = entries_of(standing, sent, now_ms)
        lines = lines_of(standing, entries, sent, origin, now_ms)
        size_bytes = item.body.size_bytes if isinstance(item.body, BodyFile) else len(item.body)
        facts = standing.facts or facts_of(standing.message)
        arrival = Arrival(item=item, size_bytes=size_bytes, file=file, facts=facts)
        apply = partial(take_over, arrival, entries, lines, now_ms)
        try:
            await self._engine.do(Step(apply=apply, messages=(message_id,), fresh=(message_id,)))
        except WrongRequest:
            if await known(message_id, self._engine):
                return False
            raise
        return True

    def _placed(self, standing: Standing, body: bytes | Path) -> tuple[Accepted, str]:
        """Put a large body where the spool keeps them. What no row comes to name is set aside at the next start."""
        message_id = standing.message.id
        kept = share(body, self._bodies.path_for(message_id))
        item = Accepted(message=standing.message, body=kept, pairing=standing.pairing)
        return item, self._bodies.take(message_id, kept)

    # ---- the sequence --------------------------------------------------------------------------------------------

    async def remembered(self) -> int:
        """See the contract."""
        return await self._engine.readers.ask(pairing_reading.remembered)

    async def remember(self, sequence: int) -> None:
        """See the contract."""
        await self._alone(attaching.remember, sequence)

    async def sequence(self) -> int:
        """Number of write transactions so far; never falls but on a disk put back to an older snapshot."""
        return await self._engine.ask(reading.sequence)
