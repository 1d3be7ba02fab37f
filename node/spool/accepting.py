"""The thread that takes mail in: everything waiting becomes one batch of the journal, one write and one sync.

Mail comes from the event loop or, past it, through inlets. What the thread cannot take it hands on: what came from the
loop to the writer, which puts it into the database before it answers, what came through an inlet to the loop. That are
ids that may be known already, mail beyond the bounds, and everything while the journal or the database has a fault.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from node.policy.envelope import NewMessage
from node.spool.bodies import INLINE_BYTES
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.handover import Desk
from node.spool.inlets import Heard, Inlets, Load, Source
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

TELL_EVERY_S = 0.002
"""Least time between two times the event loop hears of what came past it: under load each is a wake of its own."""

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
        self._inlets = Inlets()
        self._untold: list[Load] = []
        self._told_s = 0.0
        self._ringing = False
        self._stopping = False
        self._fresh = Fresh("")
        self._rest_until_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self, fresh: Fresh) -> None:
        """Begin, on segments that were started."""
        self._fresh = fresh
        self._rest_until_s = 0.0
        self._ringing = self._stopping = False
        self._inlets.start()
        # A daemon: a process that forgets to close must still end, and what was not answered was not promised.
        self._thread = threading.Thread(target=self._run, name="spool-journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was handed over; idempotent. Blocks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping = True
            self._inlets.ring()
            thread.join()
            self._inlets.close()

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
        self._inlets.ring()

    def feed(self, source: Source) -> bool:
        """Take mail from an inlet from now on; False if this is not at work. Called in the event loop."""
        if self._thread is None:
            return False
        self._inlets.add(source)
        return True

    # ---- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        tidy = False
        while not (self._stopping and not self._inbox):
            woken = self._inlets.wait(self._patience_s(tidy=tidy))
            tickets, loads = self._gather(), self._inlets.read()
            if tickets or loads:
                self._serve(tickets, loads)
                tidy = False
            elif self._untold:
                self._tell()
            elif not woken:
                tidy = not self._pending.waiting and not self._segments.tidy()
        self._tell()

    def _patience_s(self, *, tidy: bool) -> float | None:
        if self._inbox:
            return 0.0
        if self._untold:
            return TELL_EVERY_S
        return None if tidy else IDLE_S

    def _gather(self) -> list[Ticket]:
        """Everything waiting, up to the bounds."""
        batch: list[Ticket] = []
        size_bytes = 0
        while self._inbox and len(batch) < MAX_BATCH and size_bytes < MAX_BATCH_BYTES:
            found = self._inbox.popleft()
            batch.append(found)
            size_bytes += _size_of(found)
        return batch

    def _serve(self, tickets: list[Ticket], loads: list[Load]) -> None:
        now_s = time.monotonic()
        usable = now_s >= self._rest_until_s and self._healthy()
        fresh: list[Ticket] = []
        others: list[Ticket] = []
        for ticket in tickets:
            new = self._new(_arrival(ticket))
            (fresh if new and usable else others).append(ticket)
        if others:
            self._forward(others)
        loads = [fit for load in loads if (fit := self._fitting(load, usable=usable)).numbers]
        if (fresh or loads) and not self._journal(fresh, loads):
            if fresh:
                self._forward(fresh)
            for load in loads:
                _detour(load, range(len(load.numbers)))
        elif self._untold and now_s - self._told_s >= TELL_EVERY_S:
            self._tell()

    def _new(self, arrival: Arrival) -> bool:
        message = arrival.item.message
        return self._fresh.take(message.id) and countable(message)

    def _fitting(self, load: Load, *, usable: bool) -> Load:
        """What of a load may go into the journal. The rest takes the detour and is judged there."""
        arrivals, wanted = load.arrivals, load.source.fits
        # The last one counts: an id that was judged is known from then on.
        fits = [usable and one.size_bytes <= INLINE_BYTES and wanted(one.item) and self._new(one) for one in arrivals]
        if all(fits):
            return load
        _detour(load, (at for at, fit in enumerate(fits) if not fit))
        kept = [at for at, fit in enumerate(fits) if fit]
        return load._replace(numbers=[load.numbers[at] for at in kept], arrivals=[arrivals[at] for at in kept])

    def _journal(self, tickets: list[Ticket], loads: list[Load]) -> bool:
        """Make a batch durable and answer it; False if it must go into the database instead."""
        arrivals = [_arrival(ticket) for ticket in tickets]
        for load in loads:
            arrivals += load.arrivals
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
            if self._keep(self._segments.failed, (), 0):
                self._nudge()
            return False
        due = self._keep(number, arrivals, len(payload))
        for load in loads:
            load.source.inlet.stored(load.numbers)
        self._untold += loads
        if tickets:
            self._desk.answer(tickets)
        if due:  # said last: whoever waits for an answer waits for the interpreter too
            self._nudge()
        return True

    def _keep(self, number: int, arrivals: Sequence[Arrival], size_bytes: int) -> bool:
        batch = Unapplied(number=number, arrivals=arrivals, size_bytes=size_bytes)
        return self._pending.add(batch, time.monotonic())

    def _tell(self) -> None:
        """Let the loop know what came past it."""
        self._told_s = time.monotonic()
        loads, self._untold = self._untold, []
        news: dict[Heard, list[NewMessage]] = {}
        for load in loads:
            news.setdefault(load.source.heard, []).extend([one.item.message for one in load.arrivals])
        for heard, messages in news.items():
            self._desk.tell(partial(heard, messages))


def _detour(load: Load, places: Iterable[int]) -> None:
    for at in places:
        load.source.inlet.detour(load.numbers[at], load.arrivals[at].item)


def _arrival(ticket: Ticket) -> Arrival:
    assert isinstance(ticket.operation, Arrival)  # noqa: S101 - nothing else is given to this thread
    return ticket.operation


def _size_of(ticket: Ticket) -> int:
    arrival = _arrival(ticket)
    return len(arrival.facts) + (0 if arrival.file else arrival.size_bytes)
