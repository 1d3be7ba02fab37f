"""From a name to a connected socket: resolve anew, race the addresses of both families (RFC 8305), remember bad ones.

Knows nothing of SMTP. A resolver that *fails* is covered by its last good answer for a day; a resolver that
*answers* that the name does not exist is believed at once.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import zip_longest

from node.delivery.errors import NameUnknown, WireBroken

LAST_GOOD_S = 24 * 3600.0
BAD_ADDRESS_S = 120.0  # bad addresses go to the end of the line for two minutes (facts m365 §6)
IPV4_S = 4 * 3600.0
RESOLVE_S = 15.0
STAGGER_S = 0.25  # RFC 8305 §5
MAX_ADDRESSES = 16  # eight are seen at Microsoft's front end
MAX_NAMES = 256

Address = tuple[int, str]
"""Family and textual IP address."""
Lookup = Callable[[str, int], Awaitable[Sequence[Address]]]

_ABSENT = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


async def system_lookup(host: str, port: int) -> list[Address]:
    """Ask the system's resolver. Raises NameUnknown when it says there is none, OSError when it fails."""
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _ABSENT:
            raise NameUnknown(host) from error
        raise
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in infos))


class Dialer:
    """Opens sockets. One for the whole room, so that what was learnt about addresses is shared."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        """Start with nothing remembered."""
        self._lookup = lookup
        self._good: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._bad: dict[str, float] = {}
        self._by_ipv4: dict[str, float] = {}

    def by_ipv4(self, host: str) -> None:
        """Leave out a host's IPv6 addresses for some hours, if it has others."""
        if len(self._by_ipv4) >= MAX_NAMES:
            self._by_ipv4.pop(next(iter(self._by_ipv4)))
        self._by_ipv4[host] = asyncio.get_running_loop().time() + IPV4_S

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Resolve now; families alternate, addresses that failed lately come last. Raises NameUnknown, WireBroken."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = list(await self._lookup(host, port))[:MAX_ADDRESSES]
        except NameUnknown:
            self._good.pop((host, port), None)
            raise
        except (OSError, TimeoutError) as error:
            found = self._last_good(host, port, loop.time())
            if not found:
                raise WireBroken("dns", type(error).__name__) from error
        else:
            if len(self._good) >= MAX_NAMES:
                self._good.pop(next(iter(self._good)))
            self._good[host, port] = (loop.time(), found)
        if self._by_ipv4.get(host, 0.0) > loop.time():
            found = [address for address in found if address[0] != socket.AF_INET6] or found
        return self._ordered(found, loop.time())

    def _last_good(self, host: str, port: int, now: float) -> list[Address]:
        at, found = self._good.get((host, port), (0.0, []))
        return found if now - at <= LAST_GOOD_S else []

    def _ordered(self, found: list[Address], now: float) -> list[Address]:
        self._bad = {address: until for address, until in self._bad.items() if until > now}
        six = [address for address in found if address[0] == socket.AF_INET6]
        four = [address for address in found if address[0] != socket.AF_INET6]
        mixed = [address for pair in zip_longest(six, four) for address in pair if address is not None]
        return sorted(mixed, key=lambda address: address[1] in self._bad)

    async def connect(self, host: str, port: int, source: str, timeout_s: float) -> socket.socket:
        """Give a connected, non-blocking socket to the first address that answers.

        Raises NameUnknown, or WireBroken with ``refused``, ``timeout`` or ``dns``.
        """
        found = await self.addresses(host, port)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._race(found, port, source)
        except TimeoutError as error:
            raise WireBroken("timeout", f"{len(found)} addresses tried") from error

    async def _race(self, found: list[Address], port: int, source: str) -> socket.socket:
        waiting: Iterator[Address] = iter(found)
        running: set[asyncio.Task[socket.socket]] = set()
        failure: BaseException | None = None
        try:
            while True:
                address = next(waiting, None)
                if address is not None:
                    running.add(asyncio.create_task(self._one(address, port, source)))
                elif not running:
                    raise WireBroken("refused", f"{len(found)} addresses tried") from failure
                pause = STAGGER_S if address is not None else None
                done, running = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                good = [task for task in done if task.exception() is None]
                failure = next((task.exception() for task in done if task.exception()), failure)
                if good:
                    for extra in good[1:]:
                        extra.result().close()
                    return good[0].result()
        finally:
            for task in running:
                task.cancel()
            for late in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(late, socket.socket):
                    late.close()

    async def _one(self, address: Address, port: int, source: str) -> socket.socket:
        family, host = address
        loop = asyncio.get_running_loop()
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source and (":" in source) == (family == socket.AF_INET6):
                sock.bind((source, 0))
            await loop.sock_connect(sock, (host, port))
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                self._bad[host] = loop.time() + BAD_ADDRESS_S
            raise
        return sock
