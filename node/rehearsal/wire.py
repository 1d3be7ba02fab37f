"""One TCP connection as lines and chunks, with STARTTLS for either side; knows no SMTP.

Own protocol instead of asyncio streams: those wait once per line, cannot push bytes back, and lose flow control
across STARTTLS. Replies are gathered and written when the reader must wait, so pipelining costs one write.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from node.rehearsal.errors import ConversationOverError, LineTooLongError, WaitedTooLongError

BUFFER_BYTES = 1 << 20  # reading pauses above this; a body is taken away in chunks long before
HANDSHAKE_TIMEOUT_S = 30.0
ARRIVED_TURNS = 3
"""Turns of the loop after which it has read whatever had arrived before."""


class Shown(NamedTuple):
    """The certificate the other side showed."""

    names: tuple[str, ...]
    """Common name and DNS names, in small letters."""
    issuer: str


class Wire(asyncio.Protocol):
    """Bytes in both directions; every wait has a limit handed in by the caller."""

    def __init__(self, connected: Callable[["Wire"], None] | None = None) -> None:
        """Call ``connected`` once the transport exists (servers start their conversation there)."""
        self._connected = connected
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._pending: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._on_lost: Callable[[], None] | None = None
        self._paused = False
        self._eof = False
        self.lost = False
        self.peer = ""
        self.tls_version = ""
        self.certificate: Shown | None = None

    # -- what the event loop calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and name the peer."""
        # Not checked by isinstance: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else ""
        self._note_tls()
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        """Buffer, and stop reading above the bound."""
        self._buffer += data
        if len(self._buffer) > BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Treat a half-closed peer as gone once its bytes are read; the transport closes itself."""
        self._eof = True
        self._wake()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        """Let every waiter know."""
        self.lost = True
        self._wake()
        self.resume_writing()
        _settle(self._gone)
        if self._on_lost is not None:
            self._on_lost()

    def pause_writing(self) -> None:
        """Remember that the peer reads slower than we write."""
        if self._drained is None and not self.lost:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let the writer go on."""
        drained, self._drained = self._drained, None
        _settle(drained)

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call once when the connection is gone, even while the conversation sleeps."""
        self._on_lost = call

    # -- reading --------------------------------------------------------------------------------------------------

    async def line(self, limit_bytes: int, timeout_s: float) -> bytes:
        """Give the next line without its CRLF (a bare LF ends it too); raises by ``errors.py``."""
        overlong = False
        scanned = 0
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            scanned = len(self._buffer)
            if scanned > limit_bytes:
                overlong, scanned = True, 0
                self._buffer.clear()
            await self._more(timeout_s)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if overlong or len(line) > limit_bytes:
            raise LineTooLongError
        return line[:-1] if line.endswith(b"\r") else line

    async def chunk(self, timeout_s: float) -> bytes:
        """Give everything that is there, at least one byte."""
        while not self._buffer:
            await self._more(timeout_s)
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def push_back(self, rest: bytes) -> None:
        """Return bytes that belong to what follows."""
        self._buffer[:0] = rest

    @property
    def buffered_bytes(self) -> int:
        """How much has arrived and not been read."""
        return len(self._buffer)

    async def _more(self, timeout_s: float) -> None:
        await self.flush()
        if self._ended():
            raise ConversationOverError
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        before = len(self._buffer)
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        if len(self._buffer) == before and not self._ended():
            raise WaitedTooLongError

    def _ended(self) -> bool:
        return self.lost or self._eof

    def _wake(self) -> None:
        _settle(self._waiter)

    async def spoke(self) -> bool:
        """Whether the other side has said something that nobody has read, or hung up; what has arrived counts."""
        for _ in range(ARRIVED_TURNS):
            await asyncio.sleep(0)
        return bool(self._buffer) or self._ended()

    async def rest(self, seconds: float) -> None:
        """Say what is queued and let time pass; ends early, without an error, when the connection is lost."""
        await self.flush()
        if seconds <= 0 or self.lost:
            return
        loop = asyncio.get_running_loop()
        gone = self._gone = loop.create_future()
        timer = loop.call_later(seconds, _settle, gone)
        try:
            await gone
        finally:
            timer.cancel()
            self._gone = None

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue bytes; they leave at the next wait or ``flush``."""
        self._pending.append(data)

    async def flush(self) -> None:
        """Write what is queued and wait while the peer is slow; raises ConversationOverError when it is gone."""
        if self._pending and self._transport is not None and not self.lost:
            data = b"".join(self._pending)
            self._pending.clear()
            self._transport.write(data)
        if self._drained is not None:
            await self._drained

    async def start_tls(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        """Shake hands as server, or as client when a name to verify is given; earlier plain bytes are dropped."""
        await self.flush()
        if self._transport is None or self.lost:
            raise ConversationOverError
        # Commands injected before the handshake must never be read as if they came inside (RFC 3207 §4.2).
        self._buffer.clear()
        server_side = server_hostname is None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                context,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except (OSError, ssl.SSLError) as error:
            self.abort()
            raise ConversationOverError(f"TLS handshake failed: {error}") from error
        self._transport = transport
        self._note_tls()

    def _note_tls(self) -> None:
        ssl_object = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        self.tls_version = (ssl_object.version() or "") if ssl_object is not None else ""
        found = ssl_object.getpeercert() if ssl_object is not None else None
        self.certificate = _shown(found) if found else None

    async def close(self) -> None:
        """Say what is queued, then close politely."""
        with contextlib.suppress(ConversationOverError):
            await self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut at once; nothing queued is written."""
        self._pending.clear()
        if self._transport is not None:
            self._transport.abort()


def _shown(found: dict[str, Any]) -> Shown:
    names = [str(value) for group in found.get("subject", ()) for key, value in group if key == "commonName"]
    names += [str(value) for key, value in found.get("subjectAltName", ()) if key == "DNS"]
    return Shown(tuple(dict.fromkeys(name.lower() for name in names)), repr(found.get("issuer", ())))


def _settle(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
