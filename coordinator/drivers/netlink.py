"""An address in this host's kernel, with a lifetime that makes the kernel let go by itself. Needs CAP_NET_ADMIN.

Always a /32 or /128 with ``preferred_lft 0``: never the source of our own connections, never the primary address whose
end would take the host's own along (coordination-review §2). The only file that knows pyroute2.
"""

import errno
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from coordinator.drivers.contract import DriverError
from coordinator.drivers.neighbours import Neighbours

NO_DAD: Final = 0x02
"""IFA_F_NODAD: duplicate detection would hold the address back for a second; we probe ourselves."""
GONE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENODEV})


class NetlinkDriver:
    """``Driver`` for one address on one interface."""

    def __init__(
        self,
        address: IPv4Address | IPv6Address,
        interface: str,
        on_claim: Callable[[bytes], None] | None = None,
    ) -> None:
        """Remember what and where; sockets open at the first call. ``on_claim``: a second claimant was heard."""
        self._address, self._interface, self._on_claim = address, interface, on_claim
        self._prefix = 32 if isinstance(address, IPv4Address) else 128
        self._neighbours: Neighbours | None = None
        self._bound = False

    async def clean(self) -> None:
        """See Driver."""
        await self.remove()

    async def probe(self) -> bool:
        """See Driver."""
        return await self._link().anybody()

    async def bind(self, lifetime_s: int) -> None:
        """See Driver; announces the address when it is new here."""
        if lifetime_s < 1:
            raise DriverError(f"{self._address}: a lifetime of {lifetime_s} s is none")
        await self._call("replace", preferred=0, valid=lifetime_s)
        left_s = await self._left_s()
        if left_s is None or left_s > lifetime_s:  # never kept longer than asked, whatever the library made of it
            await self.remove()
            raise DriverError(f"{self._address}: the kernel keeps it for {left_s} s, not {lifetime_s} s")
        if not self._bound:
            self._bound = True
            self._link().speak()

    async def remove(self) -> None:
        """See Driver."""
        self._bound = False
        if self._neighbours is not None:
            self._neighbours.hush()
        if await self._left_s() is not None:
            await self._call("del")
        left = await self._left_s()
        if left is not None:
            raise DriverError(f"{self._address} is still on {self._interface} after its removal ({left} s)")

    async def close(self) -> None:
        """See Driver."""
        if self._neighbours is not None:
            self._neighbours.close()
            self._neighbours = None

    async def left_s(self) -> int | None:
        """Give the seconds the kernel will keep the address; None when it is not there."""
        return await self._left_s()

    def _link(self) -> Neighbours:
        if self._neighbours is None:
            self._neighbours = Neighbours(self._interface, self._address, self._on_claim)
        return self._neighbours

    async def _call(self, command: str, **options: Any) -> None:
        if self._prefix > 32 and command == "replace":  # noqa: PLR2004 - IPv6
            options["flags"] = NO_DAD
        try:
            async with AsyncIPRoute() as route:
                index = await self._index(route)
                await route.addr(command, index=index, address=str(self._address), prefixlen=self._prefix, **options)
        except NetlinkError as error:
            if command != "del" or error.code not in GONE:
                raise DriverError(f"{command} {self._address} on {self._interface}: {error}") from None
        except OSError as error:
            raise DriverError(f"{command} {self._address} on {self._interface}: {error.strerror}") from None

    async def _left_s(self) -> int | None:
        async with AsyncIPRoute() as route:
            index = await self._index(route)
            async for found in await route.get_addr(index=index):
                if found.get("address") == str(self._address) and found["prefixlen"] == self._prefix:
                    return int(found.get("cacheinfo", {}).get("ifa_valid", 0))
        return None

    async def _index(self, route: Any) -> int:
        found = await route.link_lookup(ifname=self._interface)
        if not found:
            raise DriverError(f"no interface named {self._interface}")
        return int(found[0])
