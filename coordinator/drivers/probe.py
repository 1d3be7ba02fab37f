"""An address behind a cloud load balancer: its health probe gets 200 only from the holder, 503 from everybody else.

The answer ends by itself with the lifetime, and a frozen process answers nothing, so this driver needs no kernel.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from coordinator.store.memory import boottime_s

HEAD_BYTES_MAX: Final = 4096
HEAD_S: Final = 5.0
CONNECTIONS_MAX: Final = 64


class ProbeDriver:
    """``Driver`` whose address is a path: ``GET /vip/<name>``."""

    def __init__(self, name: str, now_s: Callable[[], float] = boottime_s) -> None:
        """Not held."""
        self.path = f"/vip/{name}"
        self._now_s = now_s
        self._until_s = 0.0

    @property
    def held(self) -> bool:
        """Whether the probe is answered with 200 now."""
        return self._now_s() < self._until_s

    async def clean(self) -> None:
        """See Driver: nothing outlives the process."""

    async def probe(self) -> bool:
        """See Driver: nobody can be asked."""
        return False

    async def bind(self, lifetime_s: int) -> None:
        """See Driver."""
        self._until_s = self._now_s() + lifetime_s

    async def remove(self) -> None:
        """See Driver."""
        self._until_s = 0.0

    async def close(self) -> None:
        """See Driver."""


class ProbeServer:
    """The small HTTP server that answers for all addresses of this host; speaks just enough of HTTP/1.1."""

    def __init__(self, drivers: tuple[ProbeDriver, ...]) -> None:
        """Answer for these; unknown paths are 404."""
        self._drivers = {driver.path: driver for driver in drivers}
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; the port listened on."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        driver = self._drivers.get(words[1].decode("latin-1")) if len(words) == 3 else None  # noqa: PLR2004
        status = "404 Not Found" if driver is None else "200 OK" if driver.held else "503 Service Unavailable"
        body = status[4:] + "\n"
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
