"""Asks DNS which hosts take mail for a domain. The only file that knows dnspython; it maps that library's errors."""

from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.resolver
from dns.rdtypes.ANY.MX import MX

from node.delivery.errors import NameUnknown, WireBroken

LOOKUP_S = 15.0
MAX_HOSTS = 8


class Exchangers(NamedTuple):
    """Hosts for a domain, preferred first, without the final dot and in small letters; and how long that is true."""

    hosts: tuple[str, ...]
    ttl_s: float


async def system_exchangers(domain: str) -> Exchangers:
    """Ask the resolvers of resolv.conf (RFC 5321 §5.1). Raises NameUnknown when there is none, WireBroken otherwise."""
    try:
        answer = await dns.asyncresolver.resolve(f"{domain}.", "MX", search=False, lifetime=LOOKUP_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
        raise NameUnknown(f"no MX for {domain}") from error
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise WireBroken("dns", type(error).__name__) from error
    records = sorted((int(one.preference), str(one.exchange)) for one in answer if isinstance(one, MX))
    hosts = tuple(dict.fromkeys(name.rstrip(".").lower() for _, name in records))
    if not any(hosts):  # a lone dot says that no mail is taken (RFC 7505)
        raise NameUnknown(f"no MX for {domain}")
    return Exchangers(hosts[:MAX_HOSTS], float(answer.rrset.ttl if answer.rrset is not None else 0))
