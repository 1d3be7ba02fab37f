"""The one thread that writes copies: takes every job waiting, commits them as one transaction, answers. No mail in it.

A job that is refused (``HARMLESS``) has changed nothing and concerns its caller alone; any other failure undoes the
transaction, and each job is tried by itself.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from node.errors import RelayError
from node.shadow import statements
from node.shadow.errors import QuotaReached, ShadowError
from node.spool.committing import made_safe
from node.spool.database import CommitUncertain, Database
from node.spool.errors import SpoolBroken, SpoolClosed
from node.spool.housekeeping import vacuum

MAX_JOBS: Final = 64
"""Jobs in one transaction: bounds how long an answer waits for its neighbours."""
IDLE_S: Final = 0.5
"""After this long without work the log is copied into the database file."""
HARMLESS: Final = (ShadowError, QuotaReached)


@dataclass(slots=True, kw_only=True)
class Done:
    """What a job gives: a value for its caller, and body files whose rows are gone."""

    value: Any = None
    gone: list[str] = field(default_factory=list)


Job = Callable[[Database], Done]


@dataclass(slots=True, kw_only=True, eq=False)
class _Ticket:
    job: Job
    future: "asyncio.Future[Any]"
    done: Done = field(default_factory=Done)
    error: Exception | None = None


class Engine:
    """Runs while the store is open."""

    def __init__(self, connect: Callable[[], Database], discard: Callable[[list[str]], None]) -> None:
        """``discard`` is given files whose rows are durably gone, in the thread."""
        self._connect, self._discard = connect, discard
        self.broken = ""
        """Why nothing is written until the store is opened anew."""
        self._database: Database | None = None
        self._sequence = 0
        self._inbox: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, database: Database) -> None:
        """Take over an open database and begin."""
        self._database, self.broken = database, ""
        self._sequence = statements.number(database, "get_meta", ("sequence",))
        # A daemon: a process that forgets to close must still end, and what was not answered was not promised.
        self._thread = threading.Thread(target=self._run, name="copies-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was handed over, checkpoint, close; idempotent. Blocks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join()

    def soon(self, job: Job) -> "asyncio.Future[Any]":
        """Hand over a job; its future has the value when it is durable. Raises SpoolClosed."""
        if self._thread is None:
            raise SpoolClosed("the copy store is closed")
        ticket = _Ticket(job=job, future=asyncio.get_running_loop().create_future())
        self._inbox.put(ticket)
        return ticket.future

    # ---- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = idle = False
        while not stopping:
            tickets, stopping = self._gather(None if idle else IDLE_S)
            if tickets:
                idle = False
                self._serve(tickets)
            elif self._database is not None:
                idle = self._tidy(self._database)
        if self._database is not None:
            self._database.close()

    @staticmethod
    def _tidy(database: Database) -> bool:
        """Idle: copy the log into the file, give free pages back; True if nothing is left to do."""
        with suppress(RelayError):  # the next write will meet the same fault and report it
            database.checkpoint()
            return not vacuum(database)
        return True

    def _gather(self, timeout_s: float | None) -> tuple[list[_Ticket], bool]:
        """Everything waiting, up to MAX_JOBS; waits for the first. Whether asked to stop."""
        tickets: list[_Ticket] = []
        try:
            found = self._inbox.get(timeout=timeout_s)
            while found is not None:
                tickets.append(found)
                if len(tickets) >= MAX_JOBS:
                    return tickets, False
                found = self._inbox.get_nowait()
        except queue.Empty:
            return tickets, False
        return tickets, True

    def _serve(self, tickets: list[_Ticket]) -> None:
        try:
            self._transact(tickets)
        except Exception:  # noqa: BLE001 - whatever it is, each caller must get an answer
            for ticket in tickets:
                self._singly(ticket)
        self._discard([file for ticket in tickets for file in ticket.done.gone])
        loop = tickets[0].future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer, tickets)

    def _singly(self, ticket: _Ticket) -> None:
        ticket.done, ticket.error = Done(), None
        try:
            self._transact([ticket])
        except Exception as error:  # noqa: BLE001 - as above
            ticket.done, ticket.error = Done(), error

    def _transact(self, tickets: list[_Ticket]) -> None:
        database = self._ready()
        database.begin()
        try:
            for ticket in tickets:
                try:
                    ticket.done = ticket.job(database)
                except HARMLESS as error:
                    ticket.error = error
            statements.run(database, "set_meta", ("sequence", self._sequence + 1))
            database.commit()
        except CommitUncertain as error:
            self._look(self._sequence + 1, error)
        except BaseException:
            database.rollback()
            raise
        else:
            self._sequence += 1

    def _ready(self) -> Database:
        """The connection, opened again if a fault closed it."""
        if self.broken:
            raise SpoolBroken(self.broken)
        if self._database is None:
            self._database = self._connect()
            self._sequence = statements.number(self._database, "get_meta", ("sequence",))
        return self._database

    def _look(self, sequence: int, cause: CommitUncertain) -> None:
        """After a doubtful commit: return if it is durable, raise SpoolBroken if it is not (see spool/committing.py).

        Seen is not durable: only a whole checkpoint counts, which writes and syncs the database file itself.
        """
        if self._database is not None:
            self._database.rollback()
            self._database.close()
        self._database = None
        database = self._ready()
        if self._sequence < sequence:
            raise SpoolBroken(f"commit failed and is not durable: {cause}") from cause
        if not made_safe(database):
            self.broken = f"commit failed and cannot be made durable: {cause}"
            raise SpoolBroken(self.broken) from cause


def _answer(tickets: list[_Ticket]) -> None:
    for ticket in tickets:
        if ticket.future.done():
            continue  # its caller was cancelled
        if ticket.error is not None:
            ticket.future.set_exception(ticket.error)
        else:
            ticket.future.set_result(ticket.done.value)
