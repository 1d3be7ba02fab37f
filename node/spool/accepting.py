"""The thread that takes mail in: everything waiting becomes one batch of the journal, one write and one sync.

What it cannot take it hands to the writer, which puts it into the database before it answers: ids that may be known
already, mail beyond the bounds, and everything while the journal or the database has a fault.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.handover import Desk
from node.spool.journal import payload_of
from node.spool.operations import Ticket
from node.spool.pending import Pending, Unapplied
from node.spool.segments import MAX_PAYLOAD_BYTES, Segments
from node.spool.steps import countable
from node.spool.work import Arrival

MAX_BATCH = 256
MAX_BATCH_BYTES = 512 * 1024
"""Messages and bytes of one batch: bounds how long a reply waits for its neighbours."""

IDLE_S = 0.5
"""After this long without mail the journal is tidied."""

REST_S = 1.0
"""After a fault of the journal mail goes straight into the database for so long."""

RECENT_IDS: Final = 20_000

_log = logging.getLogger(__name__)


class Fresh:
    """Tells ids that are surely new: greater than all older ones, and not among the recent ones.

    Ids are UUIDs of version 7 and grow but for a little disorder among processes, so that nearly all are told apart
    without a look into the database; of one that is not, nothing is said.
    """

    def __init__(self, highest: str, recent: Iterable[str] = ()) -> None:
        """``highest`` of the ids in the database; ``recent`` may be greater."""
        self._highest = highest
        # Not a dictionary that forgets its first key: finding that walks over all that were forgotten before.
        self._order = deque(dict.fromkeys(recent))
        self._recent = set(self._order)

    def take(self, message_id: str) -> bool:
        """True if no message has this id; from now on one has."""
        if message_id <= self._highest or message_id in self._recent:
            return False
        self._recent.add(message_id)
        self._order.append(message_id)
        if len(self._order) > RECENT_IDS:
            oldest = self._order.popleft()
            self._recent.remove(oldest)
            self._highest = max(self._highest, oldest)
        return True


class Acceptor:
    """Owns the journal while the spool is open."""

    def __init__(
        self,
        desk: Desk,
        pending: Pending,
        segments: Segments,
        forward: Callable[[list[Ticket]], None],
        nudge: Callable[[], None],
        healthy: Callable[[], bool],
    ) -> None:
        """``forward`` gives tickets to the writer, ``nudge`` tells it that something waits.

        ``healthy``: whether the database takes what it is given.
        """
        self._desk = desk
        self._pending = pending
        self._segments = segments
        self._forward = forward
        self._nudge = nudge
        self._healthy = healthy
        self._inbox: deque[Ticket] = deque()
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """Rung after something was put into the inbox; True asks the thread to end after what came before."""
        self._ringing = False
        self._fresh = Fresh("")
        self._rest_until_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self, fresh: Fresh) -> None:
        """Begin, on segments that were started."""
        self._fresh = fresh
        self._rest_until_s = 0.0
        self._ringing = False
        # A daemon: a process that forgets to close must still end, and what was not answered was not promised.
        self._thread = threading.Thread(target=self._run, name="spool-journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was handed over; idempotent. Blocks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._bell.put(True)
            thread.join()

    def take(self, ticket: Ticket) -> None:
        """Take over a ticket for an arrival; its future is done when the message is durable.

        Called in the event loop. The thread is woken once a turn of the loop, not for every message: woken amid the
        turn it could only wait for the interpreter.
        """
        self._inbox.append(ticket)
        if not self._ringing:
            self._ringing = True
            ticket.future.get_loop().call_soon(self._ring)

    def _ring(self) -> None:
        self._ringing = False
        self._bell.put(False)

    # ---- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = tidy = False
        while not (stopping and not self._inbox):
            if not self._inbox:
                stopping = self._wait(None if tidy else IDLE_S)
            batch = self._gather()
            if batch:
                self._serve(batch)
                tidy = False
            elif not stopping:
                tidy = not self._pending.waiting and not self._segments.tidy()

    def _wait(self, timeout_s: float | None) -> bool:
        """Wait for mail, for at most so long. True if asked to stop."""
        with suppress(queue.Empty):
            while not self._inbox:
                if self._bell.get(timeout=timeout_s):
                    return True
        return False

    def _gather(self) -> list[Ticket]:
        """Everything waiting, up to the bounds."""
        batch: list[Ticket] = []
        size_bytes = 0
        while self._inbox and len(batch) < MAX_BATCH and size_bytes < MAX_BATCH_BYTES:
            found = self._inbox.popleft()
            batch.append(found)
            size_bytes += _size_of(found)
        return batch

    def _serve(self, tickets: list[Ticket]) -> None:
        fresh: list[Ticket] = []
        others: list[Ticket] = []
        usable = time.monotonic() >= self._rest_until_s and self._healthy()
        for ticket in tickets:
            message = _arrival(ticket).item.message
            new = self._fresh.take(message.id) and countable(message)
            (fresh if new and usable else others).append(ticket)
        if others:
            self._forward(others)
        if fresh and not self._journal(fresh):
            self._forward(fresh)

    def _journal(self, tickets: list[Ticket]) -> bool:
        """Make a batch durable and answer it; False if it must go into the database instead."""
        arrivals = [_arrival(ticket) for ticket in tickets]
        try:
            payload = payload_of(arrivals)
        except Exception:  # noqa: BLE001 - whatever is wrong with one of them, the writer tells its caller
            return False
        if len(payload) > MAX_PAYLOAD_BYTES or not self._pending.fits(len(payload), len(arrivals)):
            return False
        try:
            number = self._segments.write(payload, len(arrivals))
        except (SpoolFull, SpoolBroken) as error:
            _log.warning("journal failed, mail goes straight into the database for %.0f s: %s", REST_S, error)
            self._rest_until_s = time.monotonic() + REST_S
            self._keep(self._segments.failed, (), 0)
            return False
        self._keep(number, arrivals, len(payload))
        self._desk.answer(tickets)
        return True

    def _keep(self, number: int, arrivals: "list[Arrival] | tuple[()]", size_bytes: int) -> None:
        batch = Unapplied(number=number, arrivals=arrivals, size_bytes=size_bytes)
        if self._pending.add(batch, time.monotonic()):
            self._nudge()


def _arrival(ticket: Ticket) -> Arrival:
    assert isinstance(ticket.operation, Arrival)  # noqa: S101 - nothing else is given to this thread
    return ticket.operation


def _size_of(ticket: Ticket) -> int:
    arrival = _arrival(ticket)
    return len(arrival.facts) + (0 if arrival.file else arrival.size_bytes)
