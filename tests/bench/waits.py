"""The wait that a copy adds at the door: the same node, the same run, with and without it, in turns."""

import asyncio
import statistics
import time

from tests.bench.sinks import settle_disk
from tests.bench.trio import ALONE_NET, Trio
from tests.support.relay_cluster import NAMES

ADDED_MS_MAX = 3.0
CLIENTS = (1, 3, 10)
PROBES = 600


class Client:
    """One kept session that measures from the end of the message to its answer."""

    def __init__(self, host: str, port: int, source: str) -> None:
        self.where, self.source = (host, port), source
        self.body = b"From: app@contoso.com\r\nSubject: bench\r\n\r\n" + b"x" * 62 + b"\r\n"
        self.body += (b"y" * 70 + b"\r\n") * 55 + b".\r\n"

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.where, local_addr=(self.source, 0))
        await self.reader.readline()
        await self._ask(b"EHLO bench\r\n")

    async def _ask(self, octets: bytes) -> bytes:
        self.writer.write(octets)
        while True:
            line = await self.reader.readline()
            if line[3:4] != b"-":
                return line

    async def send(self) -> float:
        await self._ask(b"MAIL FROM:<app@contoso.com>\r\n")
        await self._ask(b"RCPT TO:<someone@example.com>\r\n")
        await self._ask(b"DATA\r\n")
        started = time.perf_counter()
        line = await self._ask(self.body)
        took_s = time.perf_counter() - started
        assert line.startswith(b"250"), line
        return took_s * 1000

    def close(self) -> None:
        self.writer.close()


async def waits(host: str, port: int, source: str, clients: int, probes: int) -> list[float]:
    """Milliseconds from the end of a message to its 250, of some clients at once."""
    found: list[float] = []

    async def one() -> None:
        client = Client(host, port, source)
        await client.open()
        found.extend([await client.send() for _ in range(probes // clients)])
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return found


def added(trio: Trio, rounds: int) -> list[dict]:
    """The same node with and without the copy, in turns."""
    name, rows = NAMES[0], []
    host, port = trio.address(name), trio.ports[name]
    for clients in CLIENTS:
        alone: list[float] = []
        both: list[float] = []
        for _ in range(rounds):
            for into, source in ((alone, ALONE_NET), (both, "127.0.0.1")):
                settle_disk()
                into.extend(asyncio.run(waits(host, port, source, clients, PROBES)))
        rows.append(
            {
                "clients": clients,
                "alone_ms": statistics.median(alone),
                "with_copy_ms": statistics.median(both),
                "with_copy_p95_ms": statistics.quantiles(both, n=20)[-1],
                "added_ms": statistics.median(both) - statistics.median(alone),
                "goal_ms": ADDED_MS_MAX,
            }
        )
    return rows
