"""The demonstration's load balancer: passes connections on to whoever holds the address, by its HTTP probe.

On one machine an address cannot move from host to host; what stands for it is what clouds have: a balancer that asks
every node ``/vip/<name>`` and sends clients to the one that says yes.
"""

import asyncio
import http.client
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

ASK_S: Final = 0.2
ANSWER_S: Final = 0.5
SILENT_ROUNDS: Final = 4
"""While the address moves nobody says yes for a moment, and whoever said it last still serves (``stop_notice``)."""
MOVED_S: Final = 3.0
"""After the address moved: when connections to who held it before are ended, where they are."""
CHUNK: Final = 64 * 1024
CONNECTIONS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """One node behind the balancer."""

    host: str
    port: int
    probe_port: int


class Balancer:
    """Listens at ``host:port``; ``holder`` is the node that clients are sent to now."""

    def __init__(self, name: str, host: str, port: int, backs: Mapping[str, Back], *, resets: bool = False) -> None:
        """``name``: of the virtual address. ``resets``: once it moved, connections to who held it before are ended.

        As a kernel does it that gets an address others had connections with; a load balancer lets them go on.
        """
        self._name, self._host, self._port, self._backs = name, host, port, backs
        self._resets = resets
        self.holder = ""
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], str] = {}
        """Every connection, and the node it leads to."""
        self._moves: set[asyncio.TimerHandle] = set()
        self._asking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen and begin to ask. Raises OSError when the address is taken."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        self._asking = asyncio.create_task(self._ask_for_ever(), name="balancer")

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def close(self) -> None:
        """Stop and cut what is open."""
        if self._asking is not None:
            self._asking.cancel()
        for move in self._moves:
            move.cancel()
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _ask_for_ever(self) -> None:
        silent_rounds = 0
        while True:
            said = await asyncio.gather(*(asyncio.to_thread(self._ask, back) for back in self._backs.values()))
            yes = [node for node, held in zip(self._backs, said, strict=True) if held]
            silent_rounds = 0 if yes else silent_rounds + 1
            if yes and self.holder not in yes:
                self._moved(yes[0])
            elif silent_rounds > SILENT_ROUNDS:
                self.holder = ""
            await asyncio.sleep(ASK_S)

    def _moved(self, holder: str) -> None:
        self.holder = holder
        if not self._resets:
            return
        self._moves = {move for move in self._moves if move.when() > asyncio.get_running_loop().time()}
        self._moves.add(asyncio.get_running_loop().call_later(MOVED_S, self._end_others, holder))

    def _end_others(self, holder: str) -> None:
        """End what leads to another node than the one the address moved to; a younger move sees to its own."""
        if self.holder == holder:
            for task in [task for task, node in self._open.items() if node != holder]:
                task.cancel()

    def _ask(self, back: Back) -> bool:
        connection = http.client.HTTPConnection(back.host, back.probe_port, timeout=ANSWER_S)
        try:
            connection.request("GET", f"/vip/{self._name}")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, holder = asyncio.current_task(), self.holder
        if task is not None:
            self._open[task] = holder
            task.add_done_callback(lambda done: self._open.pop(done, None))
        try:
            if holder and len(self._open) <= CONNECTIONS_MAX:
                await _join(reader, writer, self._backs[holder])
        except asyncio.CancelledError:
            pass  # the address moved, or everything ends: to the client it is the end of the connection
        finally:
            writer.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: Back) -> None:
    """Carry bytes both ways until either side ends."""
    try:
        async with asyncio.timeout(ANSWER_S):
            inner_reader, inner_writer = await asyncio.open_connection(back.host, back.port)
    except (OSError, TimeoutError):
        return
    try:
        ways = [
            asyncio.ensure_future(_carry(reader, inner_writer)),
            asyncio.ensure_future(_carry(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        inner_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
