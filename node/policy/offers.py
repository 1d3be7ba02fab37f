"""What tenants offer as ways out, as values built from the settings once per reload. Decides nothing.

Addresses are in lower case: Exchange ignores case, even in local parts.
"""

from enum import StrEnum

import msgspec

from node.policy.envelope import Direction
from node.policy.patterns import PatternSet


class Cause(StrEnum):
    """Why a way may not take a message."""

    NONE = ""
    TENANT = "no_tenant"
    KIND = "path_not_available"
    NOT_SET_UP = "path_not_set_up"
    INTERNAL_ONLY = "internal_only"
    OUTSIDE = "outside_tenant"
    SENDER = "sender_not_allowed"
    RESERVED = "reserved_for_plan"
    HEADER = "header_recipients"
    REBUILD = "needs_rebuilding"
    SIZE = "too_large"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way of handing mail over: a path and, where it has one, the account."""

    path: str
    """Path kind, e.g. ``submission``."""
    tenant: str
    account: str = ""
    """Budget scope: ``contoso/relay1@contoso.com``; a path without mailboxes has its own, ``contoso/connector``."""
    mailbox: str = ""
    """Address to log in as; empty on paths without one."""
    inside_tenant: bool = True
    """False: the mail leaves the tenant's journaling and rules (operations M11)."""
    size_bytes: int = 0
    """Largest message; 0: no limit known."""
    recipients_per_message: int = 100
    counts_external: bool = True
    """External recipients count against the tenant's limit (facts m365 §2.2)."""
    null_sender: bool = False
    """Our own reports may leave with the null sender (RFC 5321 §4.5.5, operations A11)."""
    rank: int = 0
    """Place of the path kind in the route; lower is preferred."""
    own: bool = False
    """The account is the From's own mailbox: no right to send as another is needed, and reports come to it."""

    @property
    def name(self) -> str:
        """``path:account``, the form kept in the spool as ``last_way``."""
        return f"{self.path}:{self.account}"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A way and whether the message may take it."""

    way: Way
    ok: bool
    why_not: str = ""
    cause: Cause = Cause.NONE


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox the relay logs in as, for submission or for High Volume Email."""

    scope: str
    mailbox: str
    send_as: PatternSet = PatternSet()
    """From addresses it may use besides its own."""
    only: frozenset[str] = frozenset()
    """Plans it is kept for; empty serves all."""
    size_bytes: int = 0
    recipients_per_message: int = 500
    aliases: frozenset[str] = frozenset()
    """Further addresses of the mailbox; Exchange writes its primary one instead, unless told not to (m365 §1.1)."""

    def may_send_as(self, address: str) -> bool:
        """Tell whether this account may use ``address`` (lower case) as From."""
        return self.owns(address) or self.send_as.matches(address)

    def owns(self, address: str) -> bool:
        """Tell whether ``address`` (lower case) is one of the mailbox's own."""
        return address == self.mailbox or address in self.aliases


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A path without mailboxes: one way for the whole tenant."""

    scope: str
    size_bytes: int = 0
    recipients_per_message: int = 100


class SmartHost(Host, frozen=True, kw_only=True):
    """Another server, outside the tenant."""


class Connector(Host, frozen=True, kw_only=True):
    """The tenant's inbound connector."""

    certificate: bool = False
    """Matched by a client certificate; else by source address, which knows no null and no foreign senders."""


class DirectSend(Host, frozen=True, kw_only=True):
    """The tenant's MX without a connector."""


class Acs(Host, frozen=True, kw_only=True):
    """Azure Communication Services, outside the tenant."""

    senders: PatternSet = PatternSet()
    """MailFrom addresses the resource has."""


class TenantWays(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant offers."""

    name: str
    domains: frozenset[str]
    """Accepted domains; ``*.contoso.com`` owns every name below contoso.com."""
    accounts: tuple[Account, ...] = ()
    graph: bool = False
    """There is an app, so that Graph can be asked for each of the accounts."""
    hve: tuple[Account, ...] = ()
    connector: Connector | None = None
    direct_send: DirectSend | None = None
    acs: Acs | None = None
    smarthost: SmartHost | None = None

    def owns(self, domain: str) -> bool:
        """Tell whether a domain (lower case) is one of the tenant's accepted ones."""
        found = domain in self.domains
        while not found and "." in domain:
            domain = domain.partition(".")[2]
            found = f"*.{domain}" in self.domains
        return found


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything routing knows, built from the settings once per reload."""

    tenants: dict[str, TenantWays]
    routes: dict[Direction, tuple[str, ...]]
    outside_plans: frozenset[str] = frozenset()
    """Plans whose mail may leave by paths outside the tenant."""
    outside_clients: dict[str, bool] = msgspec.field(default_factory=dict)
    """Clients that say so themselves, one way or the other."""
    rebuild_plans: frozenset[str] = frozenset()
    """Plans whose mail may be taken apart and rebuilt where it is too large to go as it is (operations A14)."""

    def may_leave(self, client: str, plan: str) -> bool:
        """Tell whether mail may take a path outside the tenant: the client's word counts before its plan's."""
        return self.outside_clients.get(client, plan in self.outside_plans)

    def tenant_of(self, domain: str) -> str:
        """Name the tenant that owns a domain, or give an empty string."""
        wanted = domain.lower()
        return next((name for name, tenant in self.tenants.items() if wanted in tenant.domains), "")
