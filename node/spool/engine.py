"""The threads of an open spool put together: what accepts, what writes, what reads, and who waits for whom.

It knows no operation. A reader sees everything appended before it asks: what waits in the journal is brought into the
database first.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from node.spool.accepting import Acceptor, Fresh
from node.spool.changed import changes_of
from node.spool.committing import Committer
from node.spool.database import Database
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.handover import Desk
from node.spool.inlets import Source
from node.spool.operations import FLUSH, Alone, Step
from node.spool.paired import Changed
from node.spool.pending import Pending, Unapplied
from node.spool.readers import Readers
from node.spool.segments import Segments
from node.spool.work import Arrival, Work
from node.spool.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

Listener = Callable[[Sequence[Changed]], None]


class Engine:
    """Started with an open database; everything else happens in its threads."""

    def __init__(
        self,
        segments: Segments,
        connect_reader: Callable[[], Database],
        connect_writer: Callable[[], Database],
        discard: Callable[[list[str]], None],
        refuse: Callable[[Arrival, str], None],
        listener: Callable[[], Listener | None],
        *,
        journal: bool,
    ) -> None:
        """See Committer for ``discard`` and ``refuse``; ``listener`` gives who hears of changes now, if anybody does.

        Without ``journal`` every message goes into the database.
        """
        self.segments = segments
        self.pending = Pending()
        self.readers = Readers(connect_reader)
        self._journal = journal
        self._listener = listener
        self._desk = Desk()
        self._committer = Committer(connect_writer, discard, self.pending, self._applied, refuse, self._changed)
        self._writer = Writer(self._desk, self.pending, self._committer)
        self._acceptor = Acceptor(
            self._desk, self.pending, segments, self._writer.take, self._writer.nudge, self._healthy
        )

    @property
    def broken(self) -> str:
        """Why nothing is written any more; empty while all is well."""
        return self._committer.broken

    def _healthy(self) -> bool:
        return self._journal and not self._committer.broken and self._committer.stuck is None

    def _applied(self, number: int) -> None:
        self.segments.applied = number

    def _changed(self, work: Work) -> None:
        listener = self._listener()
        if listener is not None and (changes := changes_of(work)):
            self._desk.tell(partial(listener, changes))

    async def start(self, database: Database, batches: list[Unapplied]) -> None:
        """Begin, and bring in what the journal had; what does not fit for now stays there and is tried again."""
        self.pending.begin(batches, time.monotonic())
        fresh = Fresh(str(database.cell("last_id")), self.pending.names())
        self._desk.open()
        self._writer.start(database)
        self._acceptor.start(fresh)
        if batches:
            with suppress(SpoolFull):
                await self.do(FLUSH)

    async def stop(self) -> None:
        """Finish what was handed over and end; idempotent."""
        self._desk.close()
        await asyncio.to_thread(self._acceptor.stop)
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self.segments.close)
        await self.readers.stop()

    # ---- operations --------------------------------------------------------------------------------------------

    async def do(self, operation: Step | Alone) -> Any:
        """Carry out an operation durably; see Writer."""
        return await self._writer.do(operation)

    async def append(self, arrival: Arrival) -> None:
        """Make a message durable; raises WrongRequest, SpoolFull, SpoolBroken, SpoolClosed."""
        await self._desk.room()
        await self.append_soon(arrival)

    @property
    def full(self) -> bool:
        """Whether ``append_soon`` must not be called now."""
        return self._desk.full

    def append_soon(self, arrival: Arrival) -> "asyncio.Future[None]":
        """The same without waiting for room."""
        ticket = self._desk.ticket(arrival)
        self._acceptor.take(ticket)
        return ticket.future

    def feed(self, source: Source) -> bool:
        """Take mail from an inlet until its end, past the event loop; False if all of it must come through there."""
        return self._journal and self._acceptor.feed(source)

    # ---- questions ---------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Return when everything appended before is in the database; raises SpoolFull, SpoolBroken."""
        if self.pending.waiting:
            await self.do(FLUSH)

    async def ask(self, question: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask about everything appended before; raises SpoolFull, SpoolBroken, SpoolClosed."""
        await self.flush()
        return await self.readers.ask(question, *args, **kwargs)

    async def ask_anyway(self, question: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same; what cannot be brought in for now is left out, so that delivery goes on and makes room."""
        with suppress(SpoolFull, SpoolBroken):
            await self.flush()
        return await self.readers.ask(question, *args, **kwargs)

    async def ask_of(
        self, message_id: str, question: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Ask about one message."""
        if self.pending.holds(message_id):
            await self.do(FLUSH)
        return await self.readers.ask(question, *args, **kwargs)
