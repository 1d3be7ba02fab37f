"""The hosts of a tenant's MX: kept as long as DNS says, the last good answer for a day when DNS fails.

DNS can be forged where DNSSEC is not, and the name a certificate is verified for comes from it. So only hosts in
Microsoft's own zones are taken; a domain whose MX is a gateway of somebody else's needs the host configured.
"""

import asyncio
from collections.abc import Awaitable, Callable

from node.delivery.errors import ElsewhereError, NameUnknown, WireBroken
from node.delivery.resolver import Exchangers, system_exchangers
from node.settings.clouds import MX_ZONES

LAST_GOOD_S = 24 * 3600.0
TTL_MIN_S, TTL_MAX_S = 30.0, 3600.0
MAX_DOMAINS = 256

Lookup = Callable[[str], Awaitable[Exchangers]]


class MxHosts:
    """One for the room, so that tenants' answers are shared by all their ways."""

    def __init__(self, lookup: Lookup = system_exchangers) -> None:
        """Start with nothing remembered."""
        self._lookup = lookup
        self._known: dict[str, tuple[float, Exchangers]] = {}

    async def of(self, domain: str) -> tuple[str, ...]:
        """Give the hosts, preferred first. Raises NameUnknown, ElsewhereError, WireBroken."""
        now_s = asyncio.get_running_loop().time()
        at_s, known = self._known.get(domain, (0.0, None))
        if known is not None and now_s - at_s < min(max(known.ttl_s, TTL_MIN_S), TTL_MAX_S):
            return known.hosts
        try:
            found = await self._lookup(domain)
        except NameUnknown:
            self._known.pop(domain, None)
            raise
        except WireBroken:
            if known is None or now_s - at_s > LAST_GOOD_S:
                raise
            return known.hosts
        ours = tuple(host for host in found.hosts if host.endswith(MX_ZONES))
        if not ours:
            raise ElsewhereError(domain, found.hosts)
        if len(self._known) >= MAX_DOMAINS:
            self._known.pop(next(iter(self._known)))
        self._known[domain] = (now_s, Exchangers(ours, found.ttl_s))
        return ours
