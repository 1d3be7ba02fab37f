"""The parts of the settings that speak of mail: tenants, accounts, routes, plans, clients, rewriting, bounces."""

from datetime import date
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field

from node.policy.envelope import OnUnknown, Priority
from node.settings.base import Part, SecretRef
from node.settings.units import Bytes, Rate, RateField, Seconds


class PathKind(StrEnum):
    """Ways of handing mail over (facts/m365.md §1.1)."""

    CONNECTOR = "connector"
    SUBMISSION = "submission"
    HVE = "hve"
    ACS = "acs"
    GRAPH = "graph"
    DIRECT_SEND = "direct-send"
    SMARTHOST = "smarthost"


class App(Part):
    """The Entra application the relay signs in as: a client secret or a certificate."""

    client_id: str
    secret: SecretRef | None = None
    certificate: SecretRef | None = None
    """PEM file with certificate and private key."""
    certificate_password: SecretRef | None = None


class Cloud(Part):
    """Four separate settings per cloud (facts/m365.md §1.3); a preset name or each one by hand."""

    submission: str = "smtp.office365.com:587"
    authority: str = "https://login.microsoftonline.com"
    scope: str = "https://outlook.office365.com/.default"
    graph: str = "https://graph.microsoft.com"


class AccountLimits(Part):
    """Limits of one mailbox, Microsoft's documented figures by default (facts/m365.md §2.1)."""

    rate: RateField = Rate(30, 60.0)
    sessions: int = Field(default=3, ge=1, le=1000)
    recipients: RateField = Rate(10_000, 86_400.0)
    size: Bytes = 35 << 20
    recipients_per_message: int = Field(default=500, ge=1, le=1000)


class ServiceAccount(Part):
    """One mailbox the relay logs in as."""

    send_as: tuple[str, ...] = ()
    """From addresses it may use besides its own; ``*@domain`` allowed."""
    only: tuple[str, ...] = ()
    """Plans it is kept for; empty serves all."""
    limits: AccountLimits = AccountLimits()


class SmartHost(Part):
    """Another SMTP server, outside the tenant (operations M11)."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """``none`` only towards a loopback address."""
    user: str | None = None
    password: SecretRef | None = None
    connections: int = Field(default=10, ge=1, le=500)
    rate: RateField | None = None
    size: Bytes = 35 << 20
    recipients_per_message: int = Field(default=100, ge=1, le=1000)


class Tenant(Part):
    """One Microsoft 365 tenant."""

    id: str
    domains: tuple[str, ...] = Field(min_length=1)
    """Accepted domains: decide who owns a sender and which recipients are internal."""
    app: App | None = None
    cloud: Literal["worldwide", "gcc-high", "dod", "china"] | Cloud = "worldwide"
    service_accounts: dict[str, ServiceAccount] = Field(default_factory=dict)
    """By mailbox address; a plain list of addresses is accepted."""
    connector: dict[str, object] | None = None
    hve: tuple[str, ...] = ()
    smarthost: SmartHost | None = None
    licences: int | None = Field(default=None, ge=1)
    external_recipients: RateField | None = None
    """Tenant external recipient limit; overrides the figure computed from ``licences``."""


class Routes(Part):
    """Ordered path kinds per direction."""

    internal: tuple[PathKind, ...] = (PathKind.SUBMISSION,)
    external: tuple[PathKind, ...] = (PathKind.SUBMISSION,)


class Retry(Part):
    """When a deferred recipient is tried again: the n-th delay after the n-th failure, the last one repeats."""

    delays: tuple[Seconds, ...] = Field(default=(60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0), min_length=1)
    jitter: float = Field(default=0.2, ge=0, le=0.5)


class Plan(Part):
    """A named bundle of limits and promises for clients."""

    rate: RateField | None = None
    recipients: RateField | None = None
    size: Bytes | None = None
    max_recipients: int = Field(default=500, ge=1, le=10_000)
    """Recipients in one message."""
    to: Literal["internal", "any"] = "any"
    priority: Priority = Priority.NORMAL
    expire: Seconds = 2 * 86_400.0
    retry: Retry = Retry()
    over_limit: Literal["refuse", "hold"] = "refuse"
    copies: Literal["required", "preferred", "one"] | None = None
    on_unknown: OnUnknown = OnUnknown.RESEND
    bounces: Literal["sender", "owner"] = "sender"
    outside_tenant: bool = False
    """May leave by paths outside the tenant (operations M11)."""


class Password(Part):
    """One accepted password, as an argon2 or fast keyed hash, with an optional last day."""

    hash: str
    until: date | None = None


class Client(Part):
    """Who may submit; the parts given must all match (A7)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    user: str | None = None
    passwords: tuple[Password, ...] = ()
    certificate: str | None = None
    """Subject CN or DNS/URI SAN of the client certificate."""
    senders: tuple[str, ...] = Field(min_length=1)
    """Addresses it may use as envelope sender and From; ``*@domain``, ``scan-*@domain`` allowed."""
    plan: str | None = None
    owner: str | None = None
    to: Literal["internal", "any"] | None = None
    allow: tuple[str, ...] = ()
    """Recipients always allowed, even where ``to`` forbids."""
    deny: tuple[str, ...] = ()
    redirect: str | None = None
    """All recipients become this one; the originals go into a header."""
    trace: bool = False
    """Its ``traceparent`` header is trusted."""
    outside_tenant: bool | None = None


class RewriteRule(Part):
    """First matching rule changes envelope sender and From."""

    sender: str
    to: str
    reply_to: Literal["keep", "drop"] = "keep"
    """``keep``: the old From becomes Reply-To where none is given."""


class Bounces(Part):
    """Where our own reports come from and go when nobody else may have them."""

    sender: str | None = Field(default=None, alias="from")
    fallback: str | None = None


class History(Part):
    """How long the history is kept, and how addresses are shown in logs and traces."""

    keep: Seconds = 30 * 86_400.0
    addresses: Literal["full", "hash"] = "full"
