"""An address in this host's kernel, with a lifetime that makes the kernel let go by itself. Needs CAP_NET_ADMIN.

Always a /32 or /128 with ``preferred_lft 0``: never the source of our own connections, never the primary address whose
end would take the host's own along (coordination-review §2). The only file that knows pyroute2.
"""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from coordinator.drivers.contract import DriverError
from coordinator.drivers.neighbours import Neighbours

NO_DAD: Final = 0x02
"""IFA_F_NODAD: duplicate detection would hold the address back for a second; we probe ourselves."""
GONE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENODEV})


class NetlinkDriver:
    """``Driver`` for one address on one interface: the one named, or the one whose network contains the address."""

    def __init__(
        self,
        address: IPv4Address | IPv6Address,
        interface: str = "",
        on_claim: Callable[[bytes], None] | None = None,
    ) -> None:
        """Remember what and where; sockets open at the first call. ``on_claim``: a second claimant was heard."""
        self._address, self._named, self._on_claim = address, interface, on_claim
        self._prefix = address.max_prefixlen
        self._neighbours: Neighbours | None = None
        self._route: Any = None
        self._bound = False
        self.interface = interface
        """Where it is bound, or would be; empty until known."""

    async def clean(self) -> None:
        """See Driver; on whichever interface it was left. Opens the socket ahead of need where there is a link."""
        await self._remove()
        with suppress(DriverError):
            await self._link()

    async def _remove(self) -> None:
        async with self._kernel() as route:
            for index, _ in await self._found(route):
                await self._delete(route, index)
            left = await self._found(route)
        if left:
            raise DriverError(f"{self._address} is still on interface {left[0][0]} after its removal")

    async def probe(self) -> bool:
        """See Driver."""
        return await (await self._link()).anybody()

    async def bind(self, lifetime_s: int) -> None:
        """See Driver; announces the address when it is new here."""
        if lifetime_s < 1:
            raise DriverError(f"{self._address}: a lifetime of {lifetime_s} s is none")
        async with self._kernel() as route:
            index = await self._index(route)
            new = None if self._bound else await self._link()
            await self._replace(route, index, lifetime_s)
        if new is not None:
            self._bound = True
            new.speak()  # before it is read back: clients wait for this, and this kernel answers already
        try:
            left_s = await self.left_s()
        except DriverError:
            if new is not None:  # what is not known to be here must not be announced any longer
                await self.remove()
            raise
        if left_s is None or left_s > lifetime_s:  # never kept longer than asked, whatever the library made of it
            await self.remove()
            raise DriverError(f"{self._address}: the kernel keeps it for {left_s} s, not {lifetime_s} s")

    async def remove(self) -> None:
        """See Driver."""
        self._bound = False
        if self._neighbours is not None:
            self._neighbours.hush()
        await self._remove()

    async def close(self) -> None:
        """See Driver."""
        if self._neighbours is not None:
            self._neighbours.close()
            self._neighbours = None
        self._hang_up()

    async def left_s(self) -> int | None:
        """Give the seconds the kernel will keep the address; None when it is not there."""
        async with self._kernel() as route:
            return _longest(await self._found(route))

    @asynccontextmanager
    async def _kernel(self) -> AsyncIterator[Any]:
        """Give the socket, kept from call to call: to open one takes longer than anything asked of it.

        After a fault it is another one, so that no late answer is taken for that to a later question.
        """
        if self._route is None:
            self._route = AsyncIPRoute()
        try:
            yield self._route
        except BaseException:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        route, self._route = self._route, None
        if route is not None:
            route.close()

    async def _link(self) -> Neighbours:
        if self._neighbours is None:
            if not self._named:
                async with self._kernel() as route:
                    await self._index(route)
            self._neighbours = Neighbours(self.interface, self._address, self._heard)
        return self._neighbours

    def _heard(self, mac: bytes) -> None:
        """Tell of a second claimant; while we are none, whoever announces the address is its holder."""
        if self._bound and self._on_claim is not None:
            self._on_claim(mac)

    async def _replace(self, route: Any, index: int, lifetime_s: int) -> None:
        options: dict[str, Any] = {"preferred": 0, "valid": lifetime_s}
        if isinstance(self._address, IPv6Address):
            options["flags"] = NO_DAD
        try:
            await route.addr("replace", index=index, address=str(self._address), prefixlen=self._prefix, **options)
        except NetlinkError as error:
            raise DriverError(f"adding {self._address} to {self.interface}: {error}") from None
        except OSError as error:
            raise DriverError(f"adding {self._address} to {self.interface}: {error.strerror}") from None

    async def _delete(self, route: Any, index: int) -> None:
        try:
            await route.addr("del", index=index, address=str(self._address), prefixlen=self._prefix)
        except NetlinkError as error:
            if error.code not in GONE:
                raise DriverError(f"removing {self._address}: {error}") from None
        except OSError as error:
            raise DriverError(f"removing {self._address}: {error.strerror}") from None

    async def _found(self, route: Any) -> list[tuple[int, int]]:
        """Give interface index and seconds left wherever the address is bound as ours are."""
        return [
            (each["index"], int(each.get("cacheinfo", {}).get("ifa_valid", 0)))
            for each in await _addresses(route)
            if each.get("address") == str(self._address) and each["prefixlen"] == self._prefix
        ]

    async def _index(self, route: Any) -> int:
        """Find the interface, each time anew: it may come up late, or be another one after a change of network."""
        if self._named:
            try:
                return socket.if_nametoindex(self._named)
            except OSError:
                raise DriverError(f"no interface named {self._named}") from None
        around = [
            (each["prefixlen"], each["index"], each.get("label") or "")
            for each in await _addresses(route)
            if each["prefixlen"] < self._prefix and _contains(each, self._address)
        ]
        if not around:
            raise DriverError(f"no interface of this host has a network that contains {self._address}")
        _, index, label = max(around)
        if not self.interface or label != self.interface:
            self.interface = _name(index)
        return int(index)


def _longest(found: list[tuple[int, int]]) -> int | None:
    return max(left_s for _, left_s in found) if found else None


async def _addresses(route: Any) -> list[Any]:
    try:
        return [each async for each in await route.get_addr()]
    except (NetlinkError, OSError) as error:
        raise DriverError(f"reading this host's addresses: {error}") from None


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        raise DriverError(f"interface {index} is gone") from None


def _contains(found: Any, address: IPv4Address | IPv6Address) -> bool:
    network = ip_interface(f"{found.get('address')}/{found['prefixlen']}").network
    return network.version == address.version and address in network
