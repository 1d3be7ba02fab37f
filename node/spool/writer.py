"""The one thread that writes: takes every operation waiting, commits them as one transaction, then answers all.

Coroutines wait on futures; the bound on operations under way is ``MAX_PENDING``. It does not know what an operation
does to mail. A failing operation fails alone: after a failed transaction each is tried by itself.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from node.errors import RelayError
from node.policy.lifecycle import IllegalMove
from node.spool.batch import Book, load, save, settle_book, stamp
from node.spool.database import CommitUncertain, Conflict, Database
from node.spool.errors import SpoolBroken, SpoolClosed, SpoolFull
from node.spool.housekeeping import vacuum
from node.spool.operations import Alone, Step, Ticket
from node.spool.work import Work

MAX_PENDING = 1_024
"""Operations handed over and not answered; a caller beyond it waits its turn."""

MAX_BATCH = 512
"""Operations in one transaction: bounds how long a reply waits for its neighbours."""

IDLE_S = 0.5
"""After this long without work the log is copied into the database file."""

GATHER_S = 0.001
GATHER_BELOW = 6
"""A busy writer that finds fewer operations than this lets them gather for so long: a transaction costs the same for
one as for twenty. With enough waiting it would only add to the wait."""


class Writer:
    """Owns the write connection and its thread."""

    def __init__(self, connect: Callable[[], Database], discard: Callable[[list[str]], None]) -> None:
        """``connect`` opens the database anew; ``discard`` takes body files no longer needed, after the commit."""
        self._connect = connect
        self._discard = discard
        # None asks the thread to end after what came before.
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._free = MAX_PENDING
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database: Database | None = None
        self._book: Book | None = None
        self._thread: threading.Thread | None = None
        self._busy = False
        self.broken = ""
        """Why nothing is written any more, until the spool is opened anew; empty while all is well."""

    def start(self, database: Database) -> None:
        """Take over an open database and begin; called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._book = Book(database)
        self.broken = ""
        # A daemon: a process that forgets to close must still end, and what was not answered was not promised.
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Finish what was handed over, checkpoint, close; idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._inbox.put(None)
        await asyncio.to_thread(thread.join)

    async def do(self, operation: Step | Alone) -> Any:
        """Hand over an operation and wait until it is durable; raises what it raises, SpoolFull, SpoolBroken.

        A caller cancelled meanwhile does not undo it.
        """
        while not self._free:
            await self._wait_for_room()
        return await self._hand_over(operation)

    def soon(self, operation: Step | Alone) -> "asyncio.Future[Any] | None":
        """Hand over without waiting; None when there is no room."""
        return self._hand_over(operation) if self._free else None

    async def _wait_for_room(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._wake()  # the room it may have been called for is somebody else's
            raise

    def _wake(self) -> None:
        room = self._free
        while room and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def _hand_over(self, operation: Step | Alone) -> "asyncio.Future[Any]":
        if self._thread is None or self._loop is None:
            raise SpoolClosed("the spool is closed")
        self._free -= 1
        future = self._loop.create_future()
        self._inbox.put(Ticket(operation=operation, future=future))
        return future

    # ---- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = False
        idle = False
        while not stopping:
            batch, stopping = self._take(IDLE_S if not idle else None)
            idle = not batch
            if batch:
                self._serve(batch)
            elif not stopping:
                idle = self._tidy()
        if self._database is not None:
            self._last_checkpoint(self._database)
            self._database.close()

    @staticmethod
    def _last_checkpoint(database: Database) -> None:
        try:
            database.checkpoint("TRUNCATE")
        except RelayError:
            return  # the log stays beside the database and is read at the next start

    def _take(self, timeout_s: float | None) -> tuple[list[Ticket], bool]:
        """Everything waiting, up to MAX_BATCH; waits for the first. True if asked to stop."""
        batch: list[Ticket] = []
        try:
            found = self._inbox.get(timeout=timeout_s)
            if self._busy and self._inbox.qsize() < GATHER_BELOW:
                time.sleep(GATHER_S)
            while True:
                if found is None:
                    return batch, True
                batch.append(found)
                if len(batch) >= MAX_BATCH:
                    return batch, False
                found = self._inbox.get_nowait()
        except queue.Empty:
            return batch, False

    def _tidy(self) -> bool:
        """Idle: checkpoint and give free pages back; True if nothing is left to do."""
        if self._database is None:
            return True
        try:
            self._database.checkpoint()
            return not vacuum(self._database)
        except RelayError:
            return True  # the next write will meet the same fault and report it

    def _serve(self, batch: list[Ticket]) -> None:
        steps = [ticket for ticket in batch if isinstance(ticket.operation, Step)]
        self._busy = len(steps) > 1
        if steps:
            self._together(steps)
        for ticket in batch:
            if isinstance(ticket.operation, Alone):
                self._alone(ticket, ticket.operation)
        self._answer(batch)

    def _together(self, tickets: list[Ticket], *, careful: bool = False) -> None:
        """One transaction for all; if it fails, one for each, and then fresh ids are looked for as well."""
        try:
            self._transact(tickets, careful=careful)
        except Exception as error:  # noqa: BLE001 - whatever it is, each caller must get an answer
            if len(tickets) == 1 and (careful or not isinstance(error, Conflict)):
                tickets[0].error = error
                return
            for ticket in tickets:
                ticket.value = ticket.error = None
                self._together([ticket], careful=True)

    def _transact(self, tickets: list[Ticket], *, careful: bool) -> None:
        database, book = self._ready()
        work = _apply(database, book, tickets, careful=careful)
        if not work.changed():
            return
        database.begin()
        try:
            lanes = save(database, book, work)
            database.commit()
        except CommitUncertain as error:
            self._look(book.sequence + 1, error)
        except BaseException:
            database.rollback()
            raise
        else:
            settle_book(book, work, lanes)
        self._discard([record.body_file for record in work.dropped.values() if record.body_file])

    def _alone(self, ticket: Ticket, operation: Alone) -> None:
        sequence = 0
        try:
            database, book = self._ready()
            sequence = book.sequence + 1
            with database.transaction():
                ticket.value = operation.run(database, book)
                stamp(database, sequence)
            book.sequence = sequence
        except CommitUncertain as error:
            try:
                self._look(sequence, error)
            except SpoolBroken as broken:
                ticket.error = broken
        except Exception as error:  # noqa: BLE001 - the caller must get an answer
            ticket.error = error

    def _ready(self) -> tuple[Database, Book]:
        """The connection, opened again if a fault closed it."""
        if self.broken:
            raise SpoolBroken(self.broken)
        if self._database is None or self._book is None:
            self._database = self._connect()
            self._book = Book(self._database)
        return self._database, self._book

    def _look(self, sequence: int, cause: CommitUncertain) -> None:
        """After a doubtful commit: return if the batch is durable, raise SpoolBroken if it is not.

        Seen is not durable: the log's sync may be what failed, and a second sync of the same pages may lie. Only
        a whole checkpoint, which writes and syncs the database file itself, counts. If even that fails the batch is
        visible but not safe: neither yes nor no would be true, so nothing is answered well until a new start.
        """
        if self._database is not None:
            self._database.rollback()
            self._database.close()
        self._database = self._book = None
        database, book = self._ready()
        if book.sequence < sequence:
            raise SpoolBroken(f"commit failed and is not durable: {cause}") from cause
        try:
            safe = database.checkpoint("FULL")
        except (SpoolBroken, SpoolFull):
            safe = False
        if not safe:
            self.broken = f"commit failed and cannot be made durable: {cause}"
            raise SpoolBroken(self.broken) from cause

    def _answer(self, batch: list[Ticket]) -> None:
        if self._loop is None or self._loop.is_closed():
            return  # nobody is left to be told; what was committed is durable
        self._loop.call_soon_threadsafe(self._deliver, batch)

    def _deliver(self, batch: list[Ticket]) -> None:
        """In the loop: resolve every future of a batch at once."""
        self._free += len(batch)
        self._wake()
        for ticket in batch:
            if ticket.future.done():
                continue  # its caller was cancelled
            if ticket.error is not None:
                ticket.future.set_exception(ticket.error)
            else:
                ticket.future.set_result(ticket.value)


def _apply(database: Database, book: Book, tickets: list[Ticket], *, careful: bool) -> Work:
    """Load what the operations need and let each do its work, or fail by itself.

    Ids that should be fresh are only looked for when ``careful``: the tables' own keys object to a second one.
    """
    operations = [ticket.operation for ticket in tickets if isinstance(ticket.operation, Step)]
    message_ids = [name for one in operations for name in one.messages if careful or name not in one.fresh]
    attempt_ids = [name for one in operations for name in one.attempts if careful or name not in one.fresh]
    work = load(database, book, message_ids, attempt_ids)
    for ticket, operation in zip(tickets, operations, strict=True):
        try:
            ticket.value = operation.apply(work)
        except (RelayError, IllegalMove) as error:
            # These are raised before the first change; anything else may have left the Work torn.
            ticket.error = error
    return work
