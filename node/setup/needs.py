"""What a tenant's part of the configuration needs from Microsoft 365: which ways are used, by whom, as whom. Pure."""

import msgspec

from node.policy.envelope import OnUnknown
from node.policy.patterns import PatternSet
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.settings.pathways import PathKind
from node.settings.rules import return_addresses

WILD = "*"


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant, as the steps ask it."""

    name: str
    tenant: Tenant
    kinds: frozenset[PathKind]
    """Path kinds the routes name."""
    senders: tuple[str, ...]
    """Addresses of the tenant that clients send from by name; patterns are left out."""
    patterns: tuple[str, ...]
    """Patterns clients may send from in the tenant's domains."""
    return_path: str
    """Return address of this tenant; empty: there is none."""
    looks: bool
    """Mail whose answer was lost is looked for in Sent Items."""
    rebuilds: bool
    """Large mail may be built anew at Graph, by drafts in the mailboxes."""
    nodes: tuple[str, ...]
    """Addresses of the cluster's nodes; empty: a single node."""
    source: str
    """Address the relay's connections leave from by configuration."""

    @property
    def mailboxes(self) -> tuple[str, ...]:
        """Mailboxes the app logs in as, and those it reads."""
        own = self.tenant.service_accounts if self.logs_in or self.reads else {}
        ndrs = self.tenant.ndrs.mailboxes if self.tenant.ndrs is not None else ()
        return tuple(dict.fromkeys((*own, *ndrs)))

    @property
    def logs_in(self) -> bool:
        """The app submits as a mailbox, by SMTP or Graph."""
        return bool(self.tenant.service_accounts) and bool(self.kinds & {PathKind.SUBMISSION, PathKind.GRAPH})

    @property
    def reads(self) -> bool:
        """Reports are read in mailboxes."""
        return self.tenant.ndrs is not None

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of RBAC for Applications the app gets, on the group of its mailboxes and nowhere else."""
        found = []
        if PathKind.SUBMISSION in self.kinds and self.tenant.service_accounts:
            found.append("Application SMTP.SendAsApp")
        if PathKind.GRAPH in self.kinds and self.tenant.service_accounts:
            found.append("Application Mail.Send")
        if self.rebuilds and "Application Mail.Send" in found:
            found.append("Application Mail.ReadWrite")  # reads as well
        elif self.reads or (self.looks and self.logs_in):
            found.append("Application Mail.Read")
        return tuple(found)

    def sends_as(self, mailbox: str) -> tuple[str, ...]:
        """Give the addresses besides its own a mailbox is to send as, as far as they are known by name."""
        account = self.tenant.service_accounts[mailbox]
        allowed = PatternSet(account.send_as)
        named = [pattern for pattern in account.send_as if WILD not in pattern]
        used = [sender for sender in self.senders if allowed.matches(sender)]
        return tuple(sorted({one.lower() for one in (*named, *used)} - {mailbox.lower()}))


def needs_of(settings: Settings, name: str) -> Needs:
    """Gather what one tenant needs; ``name`` is one of ``tenants``."""
    tenant = settings.tenants[name]
    inside = PatternSet([f"*@{domain}" for domain in tenant.domains])
    wanted = [pattern for client in settings.clients.values() for pattern in client.senders]
    named = sorted({pattern.lower() for pattern in wanted if WILD not in pattern and inside.matches(pattern)})
    patterns = sorted({pattern.lower() for pattern in wanted if WILD in pattern})
    cluster = settings.cluster
    return Needs(
        name=name,
        tenant=tenant,
        kinds=settings.routes.kinds,
        senders=tuple(named),
        patterns=tuple(patterns),
        return_path=return_addresses(settings).by_tenant.get(name, ""),
        looks=any(plan.on_unknown is OnUnknown.VERIFY for plan in settings.plans.values()),
        rebuilds=any(plan.rebuild for plan in settings.plans.values()),
        nodes=tuple(str(node.address) for node in cluster.nodes.values()) if cluster is not None else (),
        source=str(settings.egress.source_address or ""),
    )
