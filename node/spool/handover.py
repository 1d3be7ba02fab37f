"""Where coroutines hand operations to the spool's threads: a bounded number under way, one future each.

It knows nothing of what is handed over. Everything but ``answer`` and ``tell`` is called in the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from node.spool.errors import SpoolClosed
from node.spool.operations import Alone, Step, Ticket
from node.spool.work import Arrival

MAX_PENDING = 1_024
"""Operations handed over and not answered; a caller beyond it waits its turn."""


class Desk:
    """Gives out tickets and answers them."""

    def __init__(self) -> None:
        """Closed until ``open``."""
        self._free = MAX_PENDING
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        """The loop of the last ``open``: it is told what happened also while this closes."""

    def open(self) -> None:
        """Begin; called in the event loop."""
        self._loop = self._home = asyncio.get_running_loop()

    def close(self) -> None:
        """Give out no more tickets; those under way are still answered."""
        self._loop = None
        self._wake()

    @property
    def full(self) -> bool:
        """Whether a caller must wait for ``room``."""
        return not self._free

    async def room(self) -> None:
        """Wait until a ticket can be had."""
        while not self._free and self._loop is not None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake()  # the room it may have been called for is somebody else's
                raise

    def ticket(self, operation: Arrival | Step | Alone) -> Ticket:
        """One operation under way; raises SpoolClosed."""
        if self._loop is None:
            raise SpoolClosed("the spool is closed")
        self._free -= 1
        return Ticket(operation=operation, future=self._loop.create_future())

    def _wake(self) -> None:
        room = self._free if self._loop is not None else len(self._waiters)
        while room and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def answer(self, tickets: list[Ticket]) -> None:
        """Resolve the futures of tickets at once; callable from any thread."""
        loop = tickets[0].future.get_loop()
        if not loop.is_closed():  # else nobody is left to be told; what was done is durable
            loop.call_soon_threadsafe(self._deliver, tickets)

    def tell(self, news: Callable[[], None]) -> None:
        """Call something in the loop, before tickets that are answered later; callable from any thread."""
        if self._home is not None and not self._home.is_closed():
            self._home.call_soon_threadsafe(news)

    def _deliver(self, tickets: list[Ticket]) -> None:
        self._free += len(tickets)
        self._wake()
        for ticket in tickets:
            if ticket.future.done():
                continue  # its caller was cancelled
            if ticket.error is not None:
                ticket.future.set_exception(ticket.error)
            else:
                ticket.future.set_result(ticket.value)
