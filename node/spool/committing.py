"""Transactions of the writer: what waits in the journal and what was asked for, together where that works.

A failing operation fails alone: after a failed transaction each is tried by itself. Messages from the journal were
answered already: they stay pending until they are in the database, and one that the database refuses for good is set
aside, never dropped.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from node.errors import RelayError
from node.policy.lifecycle import IllegalMove
from node.spool import steps
from node.spool.batch import Book, load, save, settle_book, stamp
from node.spool.database import CommitUncertain, Conflict, Database
from node.spool.errors import SpoolBroken, SpoolFull, WrongRequest
from node.spool.operations import Alone, Step, Ticket
from node.spool.pending import Pending, Unapplied
from node.spool.work import Arrival, Work

YIELD_EVERY = 32
"""Messages taken up in one go: their rows are made holding the interpreter, which the event loop needs too."""

_log = logging.getLogger(__name__)


class Committer:
    """Owns the write connection; used by the writer's thread alone."""

    def __init__(
        self,
        connect: Callable[[], Database],
        discard: Callable[[list[str]], None],
        pending: Pending,
        applied: Callable[[int], None],
        refuse: Callable[[Arrival, str], None],
        changed: Callable[[Work], None],
    ) -> None:
        """``connect`` opens the database anew; ``discard`` takes body files no longer needed, after the commit.

        ``applied`` hears which batch of the journal is durable in the database; ``refuse`` sets aside a message the
        database refuses for good; ``changed`` sees each unit of work once it is durable, before it is answered.
        """
        self._connect = connect
        self._discard = discard
        self._pending = pending
        self._applied = applied
        self._refuse = refuse
        self._changed = changed
        self.database: Database | None = None
        self._book: Book | None = None
        self.broken = ""
        """Why nothing is written any more, until the spool is opened anew; empty while all is well."""
        self.stuck: Exception | None = None
        """Why what waits in the journal cannot be put into the database for now; tried again at every occasion."""
        self._told = False

    def start(self, database: Database) -> None:
        """Take over an open database."""
        self.database, self._book = database, Book(database)
        self.broken, self.stuck = "", None
        self._look_for_room(database)

    def serve(self, tickets: Sequence[Ticket]) -> None:
        """Carry out every operation; each ticket has its value or error afterwards."""
        shared = [ticket for ticket in tickets if isinstance(ticket.operation, Step | Arrival)]
        self._together(shared)
        for ticket in tickets:
            if isinstance(ticket.operation, Alone):
                self._alone(ticket, ticket.operation)

    def _together(self, tickets: list[Ticket]) -> None:
        """One transaction for all; if it fails, one for what is pending, and one for each."""
        batches = self._pending.batches()
        if not tickets and not batches:
            return
        if len(tickets) == 1 and not batches:
            self._one(tickets[0])
            return
        try:
            self._transact(tickets, batches)
            self.stuck = None
        except Exception:  # noqa: BLE001 - whatever it is, each caller must get an answer
            self._bring_in()
            for ticket in tickets:
                ticket.value = ticket.error = None
                self._one(ticket, careful=True)

    def _one(self, ticket: Ticket, *, careful: bool = False) -> None:
        """One operation by itself; after a conflict, or when ``careful``, fresh ids are looked for as well."""
        if self.stuck is not None and self._waits_for_pending(ticket):
            ticket.error = self.stuck
            return
        try:
            self._transact([ticket], (), careful=careful)
        except Exception as error:  # noqa: BLE001 - the caller must get an answer
            if careful or not isinstance(error, Conflict):
                ticket.error = error
                return
            ticket.value = ticket.error = None
            self._one(ticket, careful=True)

    def _waits_for_pending(self, ticket: Ticket) -> bool:
        operation = ticket.operation
        if isinstance(operation, Arrival):
            return True  # the order of appends is kept
        return isinstance(operation, Step) and (operation.whole or any(map(self._pending.holds, operation.messages)))

    def _bring_in(self) -> None:
        """Put into the database what is pending; ``stuck`` says why not."""
        self.stuck = None
        batches = self._pending.batches()
        if not batches:
            return
        try:
            self._transact([], batches)
        except SpoolFull as error:
            self._stick(error)
        except Exception:  # noqa: BLE001 - found out one by one
            self._bring_in_singly(batches)

    def _stick(self, error: Exception) -> None:
        if not self._told:
            _log.error("mail waits in the journal, the database does not take it: %s", error)
        self.stuck, self._told = error, True

    def _bring_in_singly(self, batches: Sequence[Unapplied]) -> None:
        for batch in batches:
            for arrival in batch.arrivals:
                try:
                    self._transact([], (), careful=True, arrivals=[arrival])
                except Exception as error:  # noqa: BLE001 - each must be in the database or set aside
                    if not self._settled(arrival, error):
                        return
            try:
                self._transact([], [Unapplied(number=batch.number, arrivals=(), size_bytes=0)], of=batch)
            except Exception as error:  # noqa: BLE001 - they stay pending
                self._stick(error)
                return

    def _settled(self, arrival: Arrival, error: Exception) -> bool:
        """Whether a message is not to be tried again; otherwise what is pending is stuck."""
        if isinstance(error, WrongRequest):
            return True  # it is in the database already
        temporary = isinstance(error, SpoolFull | SpoolBroken | MemoryError | OSError)
        temporary = temporary and not isinstance(error, Conflict)
        if not temporary:
            try:
                self._refuse(arrival, str(error))
            except OSError as failed:
                error = SpoolBroken(f"message {arrival.item.message.id} cannot be set aside: {failed}")
            else:
                return True
        self._stick(error)
        return False

    def _transact(
        self,
        tickets: list[Ticket],
        batches: Sequence[Unapplied],
        *,
        careful: bool = False,
        arrivals: Sequence[Arrival] = (),
        of: Unapplied | None = None,
    ) -> None:
        """One transaction; ``of`` is the batch that leaves with it where ``batches`` holds a stand-in."""
        database, book = self._ready()
        fresh = [*arrivals, *(arrival for batch in batches for arrival in batch.arrivals)]
        work = _load(database, book, tickets, fresh, careful=careful)
        for number, arrival in enumerate(fresh, 1):
            steps.arrive(arrival, work)
            if not number % YIELD_EVERY:
                time.sleep(0)
        _apply(work, tickets)
        if not work.changed() and not batches:
            return
        database.begin()
        try:
            lanes = save(database, book, work, batches[-1].number if batches else 0)
            database.commit()
        except CommitUncertain as error:
            self._look(book.sequence + 1, error)
        except BaseException:
            database.rollback()
            raise
        else:
            settle_book(book, work, lanes)
        self._changed(work)
        if batches:
            self._told = False
            self._pending.done([of] if of is not None else batches, time.monotonic())
            self._applied(batches[-1].number)
        self._look_for_room(self.database)
        self._discard([record.body_file for record in work.dropped.values() if record.body_file])

    def _look_for_room(self, database: Database | None) -> None:
        if database is not None and database.limited:
            # What cannot be told is not guessed: without a number the database itself answers.
            self._pending.room_bytes = 0
            with suppress(RelayError):
                self._pending.room_bytes = database.room_bytes()

    def _alone(self, ticket: Ticket, operation: Alone) -> None:
        sequence = 0
        if self.stuck is not None:
            ticket.error = self.stuck
            return
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
        if ticket.error is None and isinstance(ticket.value, Work):
            self._changed(ticket.value)

    def _ready(self) -> tuple[Database, Book]:
        """The connection, opened again if a fault closed it."""
        if self.broken:
            raise SpoolBroken(self.broken)
        if self.database is None or self._book is None:
            self.database = self._connect()
            self._book = Book(self.database)
        return self.database, self._book

    def _look(self, sequence: int, cause: CommitUncertain) -> None:
        """After a doubtful commit: return if the batch is durable, raise SpoolBroken if it is not.

        Seen is not durable: the log's sync may be what failed, and a second sync of the same pages may lie. Only
        a whole checkpoint, which writes and syncs the database file itself, counts. If even that fails the batch is
        visible but not safe: neither yes nor no would be true, so nothing is answered well until a new start.
        """
        if self.database is not None:
            self.database.rollback()
            self.database.close()
        self.database = self._book = None
        database, book = self._ready()
        if book.sequence < sequence:
            raise SpoolBroken(f"commit failed and is not durable: {cause}") from cause
        if not made_safe(database):
            self.broken = f"commit failed and cannot be made durable: {cause}"
            raise SpoolBroken(self.broken) from cause


def made_safe(database: Database) -> bool:
    """Copy all of the log into the database file and sync that; False if it cannot be done whole."""
    try:
        return database.checkpoint("FULL")
    except (SpoolBroken, SpoolFull):
        return False


def _load(
    database: Database, book: Book, tickets: Sequence[Ticket], fresh: Sequence[Arrival], *, careful: bool
) -> Work:
    """Load what the operations need.

    Ids that should be fresh are only looked for when ``careful``: the tables' own keys object to a second one.
    """
    message_ids = [arrival.item.message.id for arrival in fresh] if careful else []
    attempt_ids: list[str] = []
    for operation in (ticket.operation for ticket in tickets):
        if isinstance(operation, Step):
            message_ids += [name for name in operation.messages if careful or name not in operation.fresh]
            attempt_ids += [name for name in operation.attempts if careful or name not in operation.fresh]
        elif isinstance(operation, Arrival) and careful:
            message_ids.append(operation.item.message.id)
    return load(database, book, message_ids, attempt_ids)


def _apply(work: Work, tickets: Sequence[Ticket]) -> None:
    """Let each operation do its work, or fail by itself."""
    for ticket in tickets:
        operation = ticket.operation
        try:
            if isinstance(operation, Arrival):
                steps.arrive(operation, work)
            elif isinstance(operation, Step):
                ticket.value = operation.apply(work)
        except (RelayError, IllegalMove) as error:
            # These are raised before the first change; anything else may have left the Work torn.
            ticket.error = error
