"""Who lives in the simulated cloud: tenants with their mailboxes, applications, connectors and other services.

Frozen values; decide nothing but what they can tell from themselves. Addresses and domains are compared without case.
"""

from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from node.settings.base import Part
from node.settings.nets import Network
from node.settings.units import Bytes, Rate, RateField


class MailboxState(StrEnum):
    """Conditions of a mailbox that decide what the end of DATA says (facts m365 §4.4)."""

    OK = "ok"
    FULL = "full"
    RESTRICTED = "restricted"
    UNGRANTED = "ungranted"
    UNLICENSED = "unlicensed"
    SPAM = "spam"


class Mailbox(Part):
    """One service mailbox."""

    send_as: tuple[str, ...] = ()
    """Addresses besides its own it may use as From; ``*@domain`` allowed."""
    smtp_auth: bool | None = None
    """Per-mailbox switch; None follows the tenant (facts m365 §3.5)."""
    password: str | None = None
    """For AUTH LOGIN where the tenant still allows Basic."""
    state: MailboxState = MailboxState.OK
    max_send: Bytes = 35 << 20
    recipient_limit: int = Field(default=500, ge=1, le=1000)
    graph: bool = True
    """Graph knows it; else 404 MailboxNotEnabledForRESTAPI."""
    keeps_copies: bool = True
    """What it sent by SMTP lies in Sent Items (facts m365 §1.2 A); by Graph it always does."""

    def may_send_as(self, own: str, address: str) -> bool:
        """Tell whether the login ``own`` may use ``address`` (compared without case)."""
        wanted = address.lower()
        return wanted == own or any(fnmatchcase(wanted, pattern.lower()) for pattern in self.send_as)


class Application(Part):
    """One app registration with its enterprise application in the tenant."""

    secrets: tuple[str, ...] = ()
    expired_secrets: tuple[str, ...] = ()
    certificates: tuple[Path, ...] = ()
    """PEM files whose keys may sign client assertions."""
    mailboxes: tuple[str, ...] | None = None
    """Mailboxes it was granted one by one or as a group; None means all of the tenant."""
    permission: bool = True
    """Whether ``SMTP.SendAsApp`` was granted and consented."""
    scoped: bool = False
    """It was given ``Application SMTP.SendAsApp`` in Exchange for ``mailboxes`` instead: its token names no role."""
    graph: tuple[str, ...] = ("Mail.Send", "Mail.ReadWrite", "ExchangeMessageTrace.Read.All")
    """Permissions for Graph that were granted and consented: good for every mailbox of the tenant."""
    scoped_graph: tuple[str, ...] = ()
    """Permissions for Graph given in Exchange for ``mailboxes`` (RBAC for Applications): its token names none."""
    federated: tuple[str, ...] = ()
    """Subjects of workload tokens it trusts."""
    managed_identity: bool = False
    """It is the identity of the machine that asks the identity endpoint."""


class InboundConnector(Part):
    """An inbound connector of type OnPremises: known by certificate or by source address (facts m365 §1.1 B)."""

    certificate: str | None = None
    """Name its certificate bears: ``contoso.com``, ``relay.contoso.com`` or ``*.contoso.com``."""
    networks: tuple[Network, ...] = ()
    """Source addresses: IPv4, at most 256 of them."""
    enabled: bool = True
    internal: bool = False
    """Its mail counts as authenticated inside (operations §6 F14)."""

    @model_validator(mode="after")
    def _known_by_something(self) -> Self:
        if (self.certificate is None) == (not self.networks):
            raise ValueError("a connector is known either by certificate or by networks")
        if any(one.version != 4 or one.prefixlen < 24 for one in self.networks):  # noqa: PLR2004 - as the service
            raise ValueError("networks: IPv4 only, /24 to /32")
        return self

    def knows_names(self, names: tuple[str, ...]) -> bool:
        """Tell whether a certificate with these names is this connector's."""
        wanted = (self.certificate or "").lower()
        return bool(wanted) and any(name == wanted or fnmatchcase(name, wanted) for name in names)

    def knows_source(self, source: str) -> bool:
        """Tell whether a client's address is this connector's."""
        return any(ip_address(source) in network for network in self.networks)


class HveAccount(Part):
    """One account for High Volume Email: a mail user, no mailbox (facts m365 §1.1 D)."""

    send_as: tuple[str, ...] = ()
    """Addresses tied to it besides its own."""
    password: str | None = None
    """For AUTH LOGIN, which HVE takes until September 2028."""
    apps: tuple[str, ...] | None = Field(default=None, max_length=10)
    """Applications on its list; None: every one of the tenant."""

    def may_send_as(self, own: str, address: str) -> bool:
        """Tell whether the login ``own`` may use ``address`` (compared without case)."""
        wanted = address.lower()
        return wanted == own or any(fnmatchcase(wanted, pattern.lower()) for pattern in self.send_as)


class AcsResource(Part):
    """One resource of Azure Communication Services connected to the tenant (facts m365 §1.1 E)."""

    senders: tuple[str, ...] = Field(min_length=1)
    """MailFrom addresses; ``*@domain`` allowed."""
    users: dict[str, str] = Field(default_factory=dict)
    """SMTP usernames of one's own, each with the application it is bound to."""
    rate: RateField = Rate(30, 60.0)
    hourly: RateField = Rate(100, 3600.0)
    over_rate: Literal["refuse", "accept"] = "refuse"

    def sends_as(self, address: str) -> bool:
        """Tell whether an address is one of its MailFrom addresses."""
        return any(fnmatchcase(address.lower(), pattern.lower()) for pattern in self.senders)


class TenantSpec(Part):
    """One tenant."""

    domains: tuple[str, ...] = Field(min_length=1)
    apps: dict[str, Application] = Field(default_factory=dict)
    mailboxes: dict[str, Mailbox] = Field(default_factory=dict)
    smtp_auth: bool = True
    basic: bool = False
    external_limit: RateField | None = None
    """External recipients, such as ``10000/24h`` (facts m365 §2.2); None: only measured."""
    onmicrosoft_limit: RateField | None = None
    """External recipients of senders in onmicrosoft.com (100/24h in life); None: only measured."""
    connectors: tuple[InboundConnector, ...] = ()
    reject_direct_send: Literal["no", "mail", "data"] = "no"
    """RejectDirectSend, and where it shows: at MAIL or after DATA (facts m365 §1.4, §4.7)."""
    inside_only: tuple[str, ...] = ()
    """Recipients that take mail from authenticated senders only; ``*@domain`` allowed."""
    hve: dict[str, HveAccount] = Field(default_factory=dict)
    hve_allowed: bool = True
    """False: the organization's configuration forbids HVE logins (5.7.139)."""
    acs: dict[str, AcsResource] = Field(default_factory=dict)
    """By name of the resource."""
    trial: bool = False
    """A trial tenant: beyond the external limit it is told 5.7.232 instead of 5.7.233."""
    recipients: tuple[str, ...] | None = None
    """Who exists; ``*@domain`` allowed. None: everybody. The MX refuses others, the store takes them and counts."""

    def owns(self, domain: str) -> bool:
        """Tell whether a domain is an accepted one."""
        return domain.lower() in self.domains

    def exists(self, recipient: str) -> bool:
        """Tell whether a recipient is none of the tenant's business, or is there."""
        if self.recipients is None or not self.owns(recipient.rpartition("@")[2]):
            return True
        return any(fnmatchcase(recipient.lower(), pattern.lower()) for pattern in self.recipients)

    def wants_inside_only(self, recipient: str) -> bool:
        """Tell whether a recipient takes mail from authenticated senders only."""
        return any(fnmatchcase(recipient.lower(), pattern.lower()) for pattern in self.inside_only)
