"""An address in this host's kernel, with a lifetime that makes the kernel let go by itself. Needs CAP_NET_ADMIN.

Always a /32 or /128 with ``preferred_lft 0``: never the source of our own connections, never the primary address whose
end would take the host's own along (coordination-review §2). The only file that knows pyroute2.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
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
        self._bound = False
        self.interface = interface
        """Where it is bound, or would be; empty until known."""

    async def clean(self) -> None:
        """See Driver; on whichever interface it was left. Opens the socket ahead of need where there is a link."""
        await self._remove()
        with suppress(DriverError):
            await self._link()

    async def _remove(self) -> None:
        async with AsyncIPRoute() as route:
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
        left_s = await self._replace(lifetime_s)
        if left_s is None or left_s > lifetime_s:  # never kept longer than asked, whatever the library made of it
            await self.remove()
            raise DriverError(f"{self._address}: the kernel keeps it for {left_s} s, not {lifetime_s} s")
        if not self._bound:
            self._bound = True
            (await self._link()).speak()

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

    async def left_s(self) -> int | None:
        """Give the seconds the kernel will keep the address; None when it is not there."""
        async with AsyncIPRoute() as route:
            return _longest(await self._found(route))

    async def _link(self) -> Neighbours:
        if self._neighbours is None:
            if not self._named:
                async with AsyncIPRoute() as route:
                    await self._index(route)
            self._neighbours = Neighbours(self.interface, self._address, self._heard)
        return self._neighbours

    def _heard(self, mac: bytes) -> None:
        """Tell of a second claimant; while we are none, whoever announces the address is its holder."""
        if self._bound and self._on_claim is not None:
            self._on_claim(mac)

    async def _replace(self, lifetime_s: int) -> int | None:
        options: dict[str, Any] = {"preferred": 0, "valid": lifetime_s}
        if isinstance(self._address, IPv6Address):
            options["flags"] = NO_DAD
        async with AsyncIPRoute() as route:
            index = await self._index(route)
            try:
                await route.addr("replace", index=index, address=str(self._address), prefixlen=self._prefix, **options)
            except NetlinkError as error:
                raise DriverError(f"adding {self._address} to {self.interface}: {error}") from None
            except OSError as error:
                raise DriverError(f"adding {self._address} to {self.interface}: {error.strerror}") from None
            return _longest(await self._found(route))

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
            found = await route.link_lookup(ifname=self._named)
            if not found:
                raise DriverError(f"no interface named {self._named}")
            return int(found[0])
        around = [
            (each["prefixlen"], each["index"], each.get("label") or "")
            for each in await _addresses(route)
            if each["prefixlen"] < self._prefix and _contains(each, self._address)
        ]
        if not around:
            raise DriverError(f"no interface of this host has a network that contains {self._address}")
        _, index, label = max(around)
        if not self.interface or label != self.interface:
            self.interface = await _name(route, index)
        return int(index)


def _longest(found: list[tuple[int, int]]) -> int | None:
    return max(left_s for _, left_s in found) if found else None


async def _addresses(route: Any) -> list[Any]:
    try:
        return [each async for each in await route.get_addr()]
    except (NetlinkError, OSError) as error:
        raise DriverError(f"reading this host's addresses: {error}") from None


async def _name(route: Any, index: int) -> str:
    async for link in await route.get_links(index):
        return str(link.get("ifname"))
    raise DriverError(f"interface {index} is gone")


def _contains(found: Any, address: IPv4Address | IPv6Address) -> bool:
    network = ip_interface(f"{found.get('address')}/{found['prefixlen']}").network
    return network.version == address.version and address in network
