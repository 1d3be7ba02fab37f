"""TCP forwarders on loopback that a synchronous test shuts and opens: a host's way to the store, cut at will.

They live in one thread with a loop of its own. Shut, they accept and say nothing, as a network that drops packets.
"""

import asyncio
import threading
from contextlib import suppress
from typing import Self


class Gates:
    """``with Gates([port, …]) as gates``: ``gates.ports`` lead there until ``shut``, and again after ``open``."""

    def __init__(self, targets: list[int]) -> None:
        self._targets = targets
        self.ports: list[int] = []
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gates", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *exc) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def shut(self) -> None:
        """Nothing passes any more, in either direction; connections stay open and silent."""
        self._is_open = False

    def open(self) -> None:
        """Connections of before are broken, new ones pass."""
        self._is_open = True
        self._call(self._break())

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> None:
        self._servers = []
        for target in self._targets:
            server = await asyncio.start_server(
                lambda reader, writer, target=target: self._serve(target, reader, writer), "127.0.0.1", 0
            )
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def _break(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._break()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, target: int, reader, writer) -> None:
        self._writers.add(writer)
        forth = None
        try:
            while not self._is_open:  # noqa: ASYNC110 - a network that answers nothing
                await asyncio.sleep(0.1)
            back, forth = await asyncio.open_connection("127.0.0.1", target)
            self._writers.add(forth)
            await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        except OSError:
            pass
        finally:
            for each in filter(None, (writer, forth)):
                each.transport.abort()
                self._writers.discard(each)

    async def _pump(self, reader, writer) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                if self._is_open:
                    writer.write(chunk)
                    await writer.drain()
        writer.transport.abort()
