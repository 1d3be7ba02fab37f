"""Ships the audit to syslog without holding anybody up: a bounded queue, one task that sends, losses counted.

To a local socket by datagrams (``unix:/dev/log``), or over TCP, with TLS or without, each message with its length. The
audit's own files are what counts; a message that is lost on the way shows as a gap in the numbers of the entries.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from node.policy.syslog import framed, message

QUEUE_MAX: Final = 10_000
SEND_S: Final = 10.0
CONNECT_S: Final = 10.0
PAUSE_FIRST_S, PAUSE_MOST_S = 0.5, 30.0
_log = logging.getLogger(__name__)
Made = Callable[[], ssl.SSLContext]


class Line(Protocol):
    """A connection to a receiver."""

    async def send(self, data: bytes) -> None:
        """Hand one message over. Raises OSError, TimeoutError."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class Datagrams:
    """The local socket."""

    def __init__(self, path: str) -> None:
        """Connect at once. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    async def send(self, data: bytes) -> None:
        """See Line."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def close(self) -> None:
        """See Line."""
        self._socket.close()


class Stream:
    """A TCP connection, with TLS or without."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open one."""
        self._reader, self._writer = reader, writer
        self._ended = asyncio.ensure_future(reader.read(1))
        """Receivers say nothing: whatever comes is the end."""

    async def send(self, data: bytes) -> None:
        """See Line."""
        if self._ended.done() or self._writer.is_closing():
            raise ConnectionResetError("the receiver closed the connection")
        self._writer.write(framed(data))
        await self._writer.drain()

    async def close(self) -> None:
        """See Line."""
        self._ended.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


async def connected(to: str, tls: Made) -> Line:
    """Open a line to ``unix:PATH``, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``. Raises OSError, TimeoutError."""
    if to.startswith("unix:"):
        return Datagrams(str(Path(to.removeprefix("unix:"))))
    parts = urlsplit(to)
    context = tls() if parts.scheme == "tls" else None
    async with asyncio.timeout(CONNECT_S):
        return Stream(*await asyncio.open_connection(parts.hostname, parts.port, ssl=context))


class Shipper:
    """The way of one node's audit to syslog. ``say`` may be called from any thread."""

    def __init__(self, to: str, *, facility: str, host: str, tls: Made, lost: Callable[[int], None]) -> None:
        """Nothing is opened yet; ``lost`` is told how many messages were given up."""
        self._to, self._facility, self._host, self._tls, self._lost = to, facility, host, tls, lost
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._line: Line | None = None
        self._silent = False

    def say(self, entry: Mapping[str, Any]) -> None:
        """Queue an entry; when the queue is full the oldest is lost. Never blocks for the receiver."""
        data = message(entry, facility=self._facility, host=self._host, process_id=os.getpid())
        with self._lock:
            full = len(self._waiting) >= QUEUE_MAX
            if full:
                self._waiting.popleft()
            self._waiting.append(data)
        if full:
            self._lost(1)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the node ends
                self._loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Send until cancelled."""
        self._loop, pause_s = asyncio.get_running_loop(), PAUSE_FIRST_S
        self._news.set()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    if await self._sent():
                        pause_s = PAUSE_FIRST_S
                    else:
                        await asyncio.sleep(pause_s)
                        pause_s = min(2 * pause_s, PAUSE_MOST_S)
        finally:
            await self._ended()

    async def _sent(self) -> bool:
        """Send the first of those that wait; it goes from the queue once it is handed over."""
        try:
            if self._line is None:
                self._line = await connected(self._to, self._tls)
            data = self._waiting[0]
            async with asyncio.timeout(SEND_S):
                await self._line.send(data)
        except (OSError, TimeoutError, ssl.SSLError) as error:
            if not self._silent:
                _log.error("admin.syslog: %s: %s; the audit waits for it", self._to, str(error) or "no answer in time")
            self._silent = True
            await self._ended()
            return False
        with self._lock:
            if self._waiting and self._waiting[0] is data:
                self._waiting.popleft()
        self._silent = False
        return True

    async def _ended(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()
