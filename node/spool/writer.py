"""The one thread that writes the database: takes every operation waiting, commits them as one transaction, answers.

It also brings in what waits in the journal: along with any operation, when there is enough of it, or when it has
waited long enough. It does not know what an operation does to mail.
"""

import asyncio
import queue
import threading
import time
from typing import Any, Final

from node.errors import RelayError
from node.spool.committing import Committer
from node.spool.database import Database
from node.spool.handover import Desk
from node.spool.housekeeping import vacuum
from node.spool.operations import Alone, Step, Ticket
from node.spool.pending import Pending

MAX_BATCH = 512
"""Operations in one transaction: bounds how long a reply waits for its neighbours."""

IDLE_S = 0.5
"""After this long without work the log is copied into the database file."""

GATHER_S = 0.001
GATHER_BELOW = 6
"""A busy writer that finds fewer operations than this lets them gather for so long: a transaction costs the same for
one as for twenty. With enough waiting it would only add to the wait."""

_STOP: Final = None
_NUDGE: Final = True


class Writer:
    """The thread around a Committer."""

    def __init__(self, desk: Desk, pending: Pending, committer: Committer) -> None:
        """Nothing runs until ``start``."""
        self._desk = desk
        self._pending = pending
        self.committer = committer
        self._inbox: queue.SimpleQueue[Ticket | bool | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy = False

    def start(self, database: Database) -> None:
        """Take over an open database and begin."""
        self.committer.start(database)
        # A daemon: a process that forgets to close must still end, and what was not answered was not promised.
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was handed over, bring in what is pending, checkpoint, close; idempotent. Blocks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(_STOP)
            thread.join()

    async def do(self, operation: Step | Alone) -> Any:
        """Hand over an operation and wait until it is durable; raises what it raises, SpoolFull, SpoolBroken.

        A caller cancelled meanwhile does not undo it.
        """
        await self._desk.room()
        return await self.soon(operation)

    def soon(self, operation: Step | Alone) -> "asyncio.Future[Any]":
        """Hand over without waiting for room; raises SpoolClosed."""
        ticket = self._desk.ticket(operation)
        self._inbox.put(ticket)
        return ticket.future

    def take(self, tickets: list[Ticket]) -> None:
        """Take over tickets from another thread."""
        for ticket in tickets:
            self._inbox.put(ticket)

    def nudge(self) -> None:
        """Something waits in the journal; callable from any thread."""
        self._inbox.put(_NUDGE)

    # ---- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = idle = False
        while not stopping:
            batch, stopping, nudged = self._gather(self._timeout_s(idle=idle))
            if batch or stopping or self._due():
                self._serve(batch)
                idle = False
            elif not nudged and not self._pending.waiting:
                idle = self._tidy()
        database = self.committer.database
        if database is not None:
            self._last_checkpoint(database)
            database.close()

    def _timeout_s(self, *, idle: bool) -> float | None:
        if not self._pending.waiting:
            return None if idle else IDLE_S
        if self.committer.stuck is not None:
            return IDLE_S
        return max(0.0, self._pending.due_s() - time.monotonic())

    def _due(self) -> bool:
        if not self._pending.waiting or self.committer.broken:
            return False
        return self.committer.stuck is not None or self._pending.due_s() <= time.monotonic()

    @staticmethod
    def _last_checkpoint(database: Database) -> None:
        try:
            database.checkpoint("TRUNCATE")
        except RelayError:
            return  # the log stays beside the database and is read at the next start

    def _gather(self, timeout_s: float | None) -> tuple[list[Ticket], bool, bool]:
        """Everything waiting, up to MAX_BATCH; waits for the first. Whether asked to stop, and whether nudged."""
        batch: list[Ticket] = []
        nudged = False
        try:
            found = self._inbox.get(timeout=timeout_s)
            if self._busy and self._inbox.qsize() < GATHER_BELOW:
                time.sleep(GATHER_S)
            while found is not _STOP:
                if isinstance(found, Ticket):
                    batch.append(found)
                else:
                    nudged = True
                if len(batch) >= MAX_BATCH:
                    return batch, False, nudged
                found = self._inbox.get_nowait()
        except queue.Empty:
            return batch, False, nudged
        return batch, True, nudged

    def _tidy(self) -> bool:
        """Idle: checkpoint and give free pages back; True if nothing is left to do."""
        database = self.committer.database
        if database is None:
            return True
        try:
            database.checkpoint()
            return not vacuum(database)
        except RelayError:
            return True  # the next write will meet the same fault and report it

    def _serve(self, batch: list[Ticket]) -> None:
        self._busy = sum(not isinstance(ticket.operation, Alone) for ticket in batch) > 1
        self.committer.serve(batch)
        if batch:
            self._desk.answer(batch)
