"""The parts of the settings that speak of mail: tenants, accounts, routes, plans, clients, rewriting, bounces."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from node.policy.envelope import OnUnknown, Priority
from node.settings.base import AddressPattern, Mailbox, Name, OwnedDomain, Part, RewriteTarget, SecretRef
from node.settings.nets import Day, Network
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


def _empty_accounts(value: Any) -> Any:
    """Read ``relay1@contoso.com:`` with nothing behind it as an account with every default."""
    if isinstance(value, dict):
        return {address: {} if account is None else account for address, account in value.items()}
    return value


class Cloud(Part):
    """Four separate settings per cloud (facts/m365.md §1.3); a preset name or each one by hand."""

    submission: str = "smtp.office365.com:587"
    authority: str = "https://login.microsoftonline.com"
    scope: str = "https://outlook.office365.com/.default"
    graph: str = "https://graph.microsoft.com"


def _form(value: Any) -> str:
    return "preset" if isinstance(value, str) else "settings"


CloudPreset = Literal["worldwide", "gcc", "gcc-high", "dod", "china"]
CloudChoice = Annotated[
    Annotated[CloudPreset, Tag("preset")] | Annotated[Cloud, Tag("settings")],
    Discriminator(_form),
]


class AccountLimits(Part):
    """Limits of one mailbox, Microsoft's documented figures by default (facts/m365.md §2.1)."""

    rate: RateField = Rate(30, 60.0)
    sessions: int = Field(default=3, ge=1, le=1000)
    recipients: RateField = Rate(10_000, 86_400.0)
    size: Bytes = 35 << 20
    recipients_per_message: int = Field(default=500, ge=1, le=1000)


class ServiceAccount(Part):
    """One mailbox the relay logs in as."""

    send_as: tuple[AddressPattern, ...] = ()
    """From addresses it may use besides its own; ``*@domain`` allowed.

    An account written in the short form (a list of addresses) may use every address of the tenant's domains."""
    only: tuple[Name, ...] = ()
    """Plans it is kept for; empty serves all."""
    limits: AccountLimits = AccountLimits()


class Connector(Part):
    """The inbound connector of the tenant, matched by client certificate or by source address."""

    certificate: SecretRef | None = None
    """PEM file with certificate and private key; its name must be one of the tenant's domains."""
    host: str | None = None
    """Follows from the MX of the first domain when absent."""


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
    domains: tuple[OwnedDomain, ...] = Field(min_length=1)
    """Accepted domains: decide who owns a sender and which recipients are internal."""
    app: App | None = None
    cloud: CloudChoice = "worldwide"
    """A preset, or its four settings by hand."""
    service_accounts: Annotated[
        dict[Mailbox, ServiceAccount],
        BeforeValidator(_empty_accounts, json_schema_input_type=dict[str, ServiceAccount | None] | list[str]),
    ] = Field(default_factory=dict)
    """By mailbox address; a plain list of addresses is accepted."""
    connector: Connector | None = None
    hve: tuple[Mailbox, ...] = ()
    """Mailboxes for High Volume Email."""
    smarthost: SmartHost | None = None
    licences: int | None = Field(default=None, ge=1)
    external_recipients: RateField | None = None
    """Tenant external recipient limit; overrides the figure computed from ``licences``."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        """Let accounts given as a plain list send as every address of the tenant's domains."""
        if not isinstance(data, dict) or not isinstance(data.get("service_accounts"), list | tuple):
            return data
        domains = data.get("domains") or ()
        senders = [f"*@{domain}" for domain in domains] if isinstance(domains, list | tuple) else []
        accounts = {str(address): {"send_as": senders} for address in data["service_accounts"]}
        return {**data, "service_accounts": accounts}


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
    until: Day | None = None
    """Last day on which it is accepted."""


class Client(Part):
    """Who may submit; the parts given must all match (A7)."""

    networks: tuple[Network, ...] = ()
    user: str | None = None
    passwords: tuple[Password, ...] = ()
    certificate: str | None = None
    """Subject CN or DNS/URI SAN of the client certificate."""
    senders: tuple[AddressPattern, ...] = Field(min_length=1)
    """Addresses it may use as envelope sender and From; ``*@domain``, ``scan-*@domain`` allowed."""
    plan: Name | None = None
    """One of ``plans``; every default when absent."""
    owner: Mailbox | None = None
    """Who answers for it: gets digests, and bounces where the plan says so."""
    to: Literal["internal", "any"] | None = None
    allow: tuple[AddressPattern, ...] = ()
    """Recipients always allowed, even where ``to`` forbids."""
    deny: tuple[AddressPattern, ...] = ()
    redirect: Mailbox | None = None
    """All recipients become this one; the originals go into a header."""
    trace: bool = False
    """Its ``traceparent`` header is trusted."""
    outside_tenant: bool | None = None


class RewriteRule(Part):
    """First matching rule changes envelope sender and From."""

    sender: AddressPattern
    to: RewriteTarget
    """An address, or ``*@domain`` to keep the local part."""
    reply_to: Literal["keep", "drop"] = "keep"
    """``keep``: the old From becomes Reply-To where none is given."""


class Bounces(Part):
    """Where our own reports come from and go when nobody else may have them."""

    sender: Mailbox | None = Field(default=None, alias="from")
    """Sender of our own reports; at the tenant's first domain when absent."""
    fallback: Mailbox | None = None


class History(Part):
    """How long the history is kept, and how addresses are shown in logs and traces."""

    keep: Seconds = 30 * 86_400.0
    addresses: Literal["full", "hash"] = "full"
