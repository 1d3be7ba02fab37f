"""TCP forwarders that a drill can shut between two hosts: what passes them stands still, as packets that are lost do.

A shut gate ends nothing and says nothing. What was sent before waits and arrives once the gate opens again, as TCP's
own repeats would bring it; a new connection is taken, as this machine's kernel does, and then hears nothing.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from node.rehearsal.drill.network import OUTSIDE, Cut, Service, Wire, severed
from node.rehearsal.drill.owners import Address

CHUNK: Final = 64 * 1024
BACKLOG: Final = 256
LINKS_MAX: Final = 2_000
"""More connections than this are refused; a demonstration has some hundred."""
Source = Callable[[Address, Address], str]
"""Names the host a connection comes from: its client's and its server's address."""
_AT_ONCE: Final = struct.pack("ii", 1, 0)
_log = logging.getLogger(__name__)


class _Link:
    """One connection: from which host, over which wire, and whether anything passes now."""

    def __init__(self, wire: Wire, source: str) -> None:
        self.wire, self.source = wire, source
        self.passes = asyncio.Event()
        self.passes.set()

    def judge(self, cut: Cut | None) -> bool:
        """Let pass, or not; gives whether it is severed."""
        shut = cut is not None and severed(cut, self.source, self.wire)
        self.passes.clear() if shut else self.passes.set()
        return shut


class Gates:
    """Listens at every wire's address; ``cut`` shuts some of them, ``heal`` opens all."""

    def __init__(self, wires: Sequence[Wire], source: Source) -> None:
        """Open nothing yet."""
        self._wires, self._source = wires, source
        self._servers: list[asyncio.Server] = []
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: Cut | None = None

    async def start(self) -> list[int]:
        """Listen; gives the ports in the wires' order. Raises OSError when an address is taken."""
        for wire in self._wires:
            host, port = wire.listen
            self._servers.append(await asyncio.start_server(self._taker(wire), host, port, backlog=BACKLOG))
        return [int(server.sockets[0].getsockname()[1]) for server in self._servers]

    def cut(self, cut: Cut) -> int:
        """Shut; gives how many connections stand still now."""
        self._cut = cut
        return sum(link.judge(cut) for link in tuple(self._links))

    def heal(self) -> None:
        """Open everything."""
        self._cut = None
        for link in self._links:
            link.judge(None)

    async def close(self) -> None:
        """Listen no more, and end what is open."""
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _taker(self, wire: Wire) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._tasks) >= LINKS_MAX:
                _reset(writer)
                return
            task = asyncio.create_task(self._serve(wire, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return take

    async def _serve(self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(wire, self._whose(wire, writer))
        self._links.add(link)
        link.judge(self._cut)
        try:
            await link.passes.wait()
            back, forth = await asyncio.open_connection(*wire.target)
            try:
                await _both(_carry(link, reader, forth), _carry(link, back, writer))
            except BaseException:
                _reset(forth)
                raise
            forth.close()
            writer.close()
        except OSError:
            pass  # either end is gone, which the other hears by the reset below
        finally:
            self._links.discard(link)
            if not writer.transport.is_closing():
                _reset(writer)

    def _whose(self, wire: Wire, writer: asyncio.StreamWriter) -> str:
        """Name the host a connection comes from. Clients are outside of all hosts, so that is not asked for them."""
        if wire.service is Service.CLIENTS:
            return OUTSIDE
        try:
            return self._source(writer.get_extra_info("peername")[:2], writer.get_extra_info("sockname")[:2])
        except (OSError, TypeError):
            _log.warning("a connection came whose end could not be looked for")
            return OUTSIDE


async def _both(*ways: Coroutine[Any, Any, None]) -> None:
    """Carry both directions to their ends; the first that breaks ends the other."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end; each chunk, the end and a reset wait while the wire is severed.

    Raises OSError for a reset, so that the other side is reset as well.
    """
    try:
        while data := await reader.read(CHUNK):
            await link.passes.wait()
            writer.write(data)
            await writer.drain()
        await link.passes.wait()
        writer.write_eof()
    except OSError:
        await link.passes.wait()
        raise


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a host does where nobody listens, or whose process died with data unread."""
    opened = writer.get_extra_info("socket")
    if opened is not None and opened.fileno() >= 0:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
