"""A TCP proxy on loopback that can swallow one direction: answers are lost, or questions, as on a one-way partition."""

import asyncio
from contextlib import suppress


class LossyProxy:
    """Forwards to a port; ``swallow_answers`` drops what comes back, ``cut`` ends every connection."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.swallow_answers = False
        self.swallowed = 0
        self.refuse = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        await self.cut()

    async def cut(self):
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        try:
            if self.refuse:
                return
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(forth)
            pumps = [
                asyncio.create_task(self._pump(reader, forth)),
                asyncio.create_task(self._pump(back, writer, True)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            forth.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _pump(self, reader, writer, answers=False):
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if answers and self.swallow_answers:
                    self.swallowed += len(chunk)
                    continue
                writer.write(chunk)
                await writer.drain()
