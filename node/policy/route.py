"""Which ways a message may go: tenant, ordered path kinds, accounts allowed for its From. Knows no health, no budget.

The order of the answer is the order of preference; what may not be used is listed with the reason, for people.
"""

from enum import StrEnum
from typing import Final

import msgspec

from node.policy.envelope import Direction, NewMessage
from node.policy.patterns import PatternSet

DELIVERABLE: Final = frozenset({"submission", "smarthost"})
"""Path kinds this version can speak; others are known to the configuration already."""


class Cause(StrEnum):
    """Why a way may not take a message."""

    NONE = ""
    TENANT = "no_tenant"
    KIND = "path_not_available"
    NOT_SET_UP = "path_not_set_up"
    OUTSIDE = "outside_tenant"
    SENDER = "sender_not_allowed"
    RESERVED = "reserved_for_plan"
    SIZE = "too_large"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way of handing mail over: a path and, where it has one, the account."""

    path: str
    """Path kind, e.g. ``submission``."""
    tenant: str
    account: str = ""
    """Budget scope: ``contoso/relay1@contoso.com``; a smart host's is ``contoso/smarthost``."""
    mailbox: str = ""
    """Address to log in as; empty on paths without one."""
    inside_tenant: bool = True
    """False: the mail leaves the tenant's journaling and rules (operations M11)."""
    size_bytes: int = 0
    """Largest message; 0: no limit known."""
    recipients_per_message: int = 100
    counts_external: bool = True
    """External recipients count against the tenant's limit (facts m365 §2.2)."""
    rank: int = 0
    """Place of the path kind in the route; lower is preferred."""

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
    """A service account as routing sees it. Addresses in lower case: Exchange ignores case, even in local parts."""

    scope: str
    mailbox: str
    send_as: PatternSet = PatternSet()
    """From addresses it may use besides its own."""
    only: frozenset[str] = frozenset()
    """Plans it is kept for; empty serves all."""
    size_bytes: int = 0
    recipients_per_message: int = 500

    def may_send_as(self, address: str) -> bool:
        """Tell whether this account may use ``address`` (lower case) as From."""
        return address == self.mailbox or self.send_as.matches(address)


class SmartHost(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's smart host as routing sees it."""

    scope: str
    size_bytes: int = 0
    recipients_per_message: int = 100


class TenantWays(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant offers."""

    name: str
    domains: frozenset[str]
    accounts: tuple[Account, ...] = ()
    smarthost: SmartHost | None = None


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything routing knows, built from the settings once per reload."""

    tenants: dict[str, TenantWays]
    routes: dict[Direction, tuple[str, ...]]
    outside_plans: frozenset[str] = frozenset()
    """Plans whose mail may leave by paths outside the tenant."""
    outside_clients: dict[str, bool] = msgspec.field(default_factory=dict)
    """Clients that say so themselves, one way or the other."""

    def may_leave(self, client: str, plan: str) -> bool:
        """Tell whether mail may take a path outside the tenant: the client's word counts before its plan's."""
        return self.outside_clients.get(client, plan in self.outside_plans)

    def tenant_of(self, domain: str) -> str:
        """Name the tenant that owns a domain, or give an empty string."""
        wanted = domain.lower()
        return next((name for name, tenant in self.tenants.items() if wanted in tenant.domains), "")


def candidates(
    directory: Directory, message: NewMessage, direction: Direction, plan: str = ""
) -> tuple[Candidate, ...]:
    """List the ways for one message and direction, preferred first; ``plan`` defaults to the message's."""
    tenant = directory.tenants.get(message.tenant)
    kinds = directory.routes.get(direction, ())
    if tenant is None:
        return tuple(
            _refused(
                Way(path=kind, tenant=message.tenant, rank=rank), Cause.TENANT, "no tenant owns the sender's domain"
            )
            for rank, kind in enumerate(kinds)
        )
    may_leave = directory.may_leave(message.client, plan or message.plan)
    found: list[Candidate] = []
    for rank, kind in enumerate(kinds):
        if kind == "submission":
            found.extend(_submission(tenant, message, plan or message.plan, rank))
        elif kind == "smarthost":
            found.append(_smarthost(tenant, message, rank, may_leave=may_leave))
        else:
            way = Way(path=kind, tenant=tenant.name, rank=rank)
            found.append(_refused(way, Cause.KIND, "path kind not available in this version"))
    return tuple(found)


def _submission(tenant: TenantWays, message: NewMessage, plan: str, rank: int) -> list[Candidate]:
    if not tenant.accounts:
        way = Way(path="submission", tenant=tenant.name, rank=rank)
        return [_refused(way, Cause.NOT_SET_UP, "the tenant has no service account")]
    sender = (message.header_from or message.mail_from).lower()
    return [_account(tenant.name, account, message, sender, plan, rank) for account in tenant.accounts]


def _account(tenant: str, account: Account, message: NewMessage, sender: str, plan: str, rank: int) -> Candidate:
    way = Way(
        path="submission",
        tenant=tenant,
        account=account.scope,
        mailbox=account.mailbox,
        size_bytes=account.size_bytes,
        recipients_per_message=account.recipients_per_message,
        rank=rank,
    )
    if not account.may_send_as(sender):
        return _refused(way, Cause.SENDER, f"may not send as {sender}")
    if account.only and plan not in account.only:
        return _refused(way, Cause.RESERVED, f"kept for plan {', '.join(sorted(account.only))}")
    return _sized(way, message)


def _smarthost(tenant: TenantWays, message: NewMessage, rank: int, *, may_leave: bool) -> Candidate:
    host = tenant.smarthost
    if host is None:
        way = Way(path="smarthost", tenant=tenant.name, inside_tenant=False, rank=rank)
        return _refused(way, Cause.NOT_SET_UP, "the tenant has no smart host")
    way = Way(
        path="smarthost",
        tenant=tenant.name,
        account=host.scope,
        inside_tenant=False,
        size_bytes=host.size_bytes,
        recipients_per_message=host.recipients_per_message,
        counts_external=False,
        rank=rank,
    )
    if not may_leave:
        return _refused(way, Cause.OUTSIDE, "neither plan nor client allows a path outside the tenant")
    return _sized(way, message)


def _sized(way: Way, message: NewMessage) -> Candidate:
    if way.size_bytes and message.size_bytes > way.size_bytes:
        return _refused(way, Cause.SIZE, f"message of {message.size_bytes} bytes, at most {way.size_bytes} here")
    return Candidate(way=way, ok=True)


def _refused(way: Way, cause: Cause, why_not: str) -> Candidate:
    return Candidate(way=way, ok=False, why_not=why_not, cause=cause)


def default_sender(directory: Directory, tenant: str) -> str:
    """Give the address our own reports come from where none is configured: one an account may surely use."""
    ways = directory.tenants.get(tenant)
    if ways is None:
        return ""
    accounts = sorted(ways.accounts, key=lambda account: bool(account.only))
    return accounts[0].mailbox if accounts else f"postmaster@{min(ways.domains, default='localhost')}"
