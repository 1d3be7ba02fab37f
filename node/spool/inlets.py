"""Ways in for mail that do not pass the event loop, and where the accepting thread waits for them and for its bell.

It knows nothing of what comes. ``ring`` and ``add`` are called from any thread, everything else by the accepting one.
"""

import logging
import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, NamedTuple, Protocol

from node.policy.envelope import NewMessage
from node.spool.contract import Accepted
from node.spool.journal import arrival_from
from node.spool.work import Arrival

_log = logging.getLogger(__name__)

Heard = Callable[[Sequence[NewMessage]], None]
"""Told, in the event loop, which messages are durable."""
Fits = Callable[[Accepted], bool]
"""Asked, by the accepting thread, whether a message is for the spool at all; the others take the detour."""
READY_MAX: Final = 4
"""Inlets read in one turn, so that the batch does not grow without bound; the kernel lets the others come next."""


class Mail(NamedTuple):
    """One message as it comes."""

    number: int
    """The sender's own."""
    facts: bytes
    """A ``NewMessage`` in MessagePack, as msgspec makes it: journal and database keep it as it is."""
    body: bytes


class Inlet(Protocol):
    """One sender's way in. Used by the accepting thread alone; nothing here waits or raises."""

    def fileno(self) -> int:
        """What to wait for."""
        ...

    def read(self) -> list[Mail] | None:
        """What has come, a few hundred KiB at most; None at the end."""
        ...

    def stored(self, numbers: list[int]) -> None:
        """Tell the sender that these are durable."""
        ...

    def detour(self, number: int, item: Accepted) -> None:
        """Have a message that cannot be taken here appended through the event loop, and answered from there."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Source(NamedTuple):
    """An inlet, and what is asked and told of its mail."""

    inlet: Inlet
    heard: Heard
    fits: Fits


class Load(NamedTuple):
    """What was read of an inlet in one turn."""

    source: Source
    numbers: list[int]
    arrivals: list[Arrival]


class Inlets:
    """The inlets of one spool."""

    def __init__(self) -> None:
        """Nothing is open until ``start``."""
        self._lock = Lock()
        """Held while the bell is rung or taken away, as a number of a file closed may be another's already."""
        self._bell = -1
        self._epoll = select.epoll()
        self._epoll.close()
        self._new: deque[Source] = deque()
        self._open: dict[int, Source] = {}
        self._ready: list[int] = []

    def start(self) -> None:
        """Begin; called before the thread does."""
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        # Edge-triggered: each ring is told once, so that nobody has to read it away.
        self._epoll.register(self._bell, select.EPOLLIN | select.EPOLLET)

    def ring(self) -> None:
        """Wake the thread; does nothing after ``close``."""
        with self._lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def add(self, source: Source) -> None:
        """Take mail from an inlet until its end."""
        self._new.append(source)
        self.ring()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for mail or the bell, for at most so long; False if the time was over."""
        events = self._epoll.poll(timeout_s, READY_MAX)
        while self._new:
            source = self._new.popleft()
            self._open[source.inlet.fileno()] = source
            self._epoll.register(source.inlet.fileno(), select.EPOLLIN)
        self._ready = [handle for handle, _ in events if handle != self._bell]
        return bool(events)

    def read(self) -> list[Load]:
        """What the inlets found by ``wait`` have."""
        loads: list[Load] = []
        for handle in self._ready:
            source = self._open[handle]
            mail = source.inlet.read()
            if mail:
                try:
                    arrivals = [arrival_from(facts, body) for _, facts, body in mail]
                except ValueError:
                    _log.error("mail that cannot be read: its inlet is closed")
                    mail = None
                else:
                    loads.append(Load(source, [one.number for one in mail], arrivals))
            if mail is None:
                self._drop(handle)
        return loads

    def _drop(self, handle: int) -> None:
        self._epoll.unregister(handle)
        self._open.pop(handle).inlet.close()

    def close(self) -> None:
        """Let go of all; called after the thread has ended."""
        with self._lock:
            os.close(self._bell)
            self._bell = -1
        self._epoll.close()
        for source in (*self._open.values(), *self._new):
            source.inlet.close()
        self._open.clear()
        self._new.clear()
