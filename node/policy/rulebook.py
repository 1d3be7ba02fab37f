"""Everything configuration decides about incoming mail, as one immutable value the front door holds and swaps whole.

Built by settings/rules.py, asked by admission and finish. Knows nothing of listeners, sockets or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from node.policy.addresses import Grammar, domain_of
from node.policy.clients import ClientIndex, MiB
from node.policy.domains import canonical_domain
from node.policy.envelope import Direction, Recipient
from node.policy.memory import Memory
from node.policy.return_path import NO_ADDRESSES, ReturnAddresses
from node.policy.rewrite import Rewriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.policy.admission import MailFrom
    from node.policy.originators import Originators

HOPS = 50
OWN_HOPS = 2


class TenantDomains:
    """Who owns which accepted domain; ``*.contoso.com`` owns every name below contoso.com."""

    def __init__(self, owners: Mapping[str, str], fallback: str = "") -> None:
        """``owners``: domain to tenant; ``fallback``: the tenant of senders nobody owns. Raises DomainError."""
        self.fallback = fallback
        self._exact = {_domain_key(domain): tenant for domain, tenant in owners.items()}
        self._wild = any(domain.startswith("*.") for domain in self._exact)

    def owner(self, domain: str) -> str:
        """Give the tenant that owns this canonical domain, or the empty text."""
        found = self._exact.get(domain, "")
        while not found and self._wild and "." in domain:
            domain = domain.partition(".")[2]
            found = self._exact.get("*." + domain, "")
        return found

    def tenant_of(self, *senders: str) -> str:
        """Give the tenant of the first sender whose domain is owned, else the fallback."""
        for sender in senders:
            owner = self.owner(domain_of(sender)) if sender else ""
            if owner:
                return owner
        return self.fallback

    def direction(self, recipient: str, tenant: str) -> Direction:
        """Internal if the recipient's domain belongs to this tenant (facts m365 §2.2)."""
        return Direction.INTERNAL if tenant and self.owner(domain_of(recipient)) == tenant else Direction.EXTERNAL


class Suppressed(Protocol):
    """Addresses that failed for good, as whoever keeps the list shows them."""

    def lists(self, address: str) -> bool:
        """Tell whether an address is on the list."""
        ...


class IntakeRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the front door."""

    clients: ClientIndex
    rewriter: Rewriter = Rewriter()
    domains: TenantDomains = TenantDomains({})
    hostname: str
    """Name in banner and Received."""
    marker: str = "m365-relay"
    """Stands in a comment of every Received this cluster writes, so that a loop through any node is seen."""
    size_bytes: int = 150 * MiB
    hops: int = HOPS
    own_hops: int = OWN_HOPS
    """Passes allowed; mail that would get its third own Received is in a loop (design §5.2)."""
    returns: ReturnAddresses = NO_ADDRESSES
    """Addresses whose mail ends here: reports on our own mail."""
    suppressed: Suppressed | None = None
    """Recipients refused because they failed for good; None: nobody is."""
    received_full: bool = True
    """False: Received hides the client's name and address (operations M13)."""
    strict: Grammar = Grammar(bare=True)
    strict_utf8: Grammar = Grammar(bare=True, utf8=True)
    lenient: Grammar = Grammar(bare=True, lenient=True)
    lenient_utf8: Grammar = Grammar(bare=True, lenient=True, utf8=True)

    senders: Memory[MailFrom] = Memory()
    """What MAIL agreed on for a path without parameters."""
    recipients: Memory[Recipient] = Memory()
    """What RCPT agreed on for a path without parameters."""
    authors: Memory[Originators] = Memory()
    """A lone From that was allowed and stays as it is."""

    def __post_init__(self) -> None:
        """Begin with nothing in memory, also as the changed copy of other rules."""
        for name in ("senders", "recipients", "authors"):
            msgspec.structs.force_setattr(self, name, Memory())

    def grammar(self, *, lenient: bool, utf8: bool) -> Grammar:
        """The address grammar of a session and transaction."""
        if lenient:
            return self.lenient_utf8 if utf8 else self.lenient
        return self.strict_utf8 if utf8 else self.strict


def _domain_key(domain: str) -> str:
    wild = "*." if domain.startswith("*.") else ""
    return wild + canonical_domain(domain.removeprefix("*."), lenient=True)
