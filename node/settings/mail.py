"""The parts of the settings that speak of mail: tenants, accounts, routes, plans, clients, rewriting, bounces."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from node.policy.envelope import OnUnknown, Priority
from node.settings.app import App
from node.settings.base import AddressPattern, Mailbox, Name, OwnedDomain, Part, RewriteTarget, SecretRef
from node.settings.bounces import Ndrs
from node.settings.nets import Day, Network
from node.settings.pathways import Acs, Connector, DirectSend, Hve, PathKind, SmartHost, short_hve
from node.settings.units import Bytes, Rate, RateField, Seconds

CopiesWish = Literal["required", "preferred", "one"]
"""How many machines keep a message before it is answered: two or none of it, two if that can be, one."""


def _empty_accounts(value: Any) -> Any:
    """Read ``relay1@contoso.com:`` with nothing behind it as an account with every default."""
    if isinstance(value, dict):
        return {address: {} if account is None else account for address, account in value.items()}
    return value


class Cloud(Part):
    """Five separate settings per cloud (facts/m365.md §1.3); a preset name or each one by hand."""

    submission: str = "smtp.office365.com:587"
    """SMTP submission, host:port."""
    authority: str = "https://login.microsoftonline.com"
    """Entra authority."""
    scope: str = "https://outlook.office365.com/.default"
    """Scope asked for in tokens."""
    graph: str = "https://graph.microsoft.com"
    """Root of Graph."""
    graph_scope: str = "https://graph.microsoft.com/.default"
    """Scope asked for in tokens for Graph."""


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
    """Messages in any window; 30/min cannot be raised."""
    sessions: int = Field(default=3, ge=1, le=1000)
    """Sessions of the mailbox; one is kept for hosts that vanished."""
    recipients: RateField = Rate(10_000, 86_400.0)
    """Recipients in any 24 h."""
    size: Bytes = 35 << 20
    """Largest message (MaxSendSize of the mailbox)."""
    recipients_per_message: int = Field(default=500, ge=1, le=1000)
    """Recipients in one transaction."""


class ServiceAccount(Part):
    """One mailbox the relay logs in as."""

    send_as: tuple[AddressPattern, ...] = ()
    """From addresses it may use besides its own; ``*@domain`` allowed.

    An account written in the short form (a list of addresses) may use every address of the tenant's domains."""
    aliases: tuple[Mailbox, ...] = ()
    """Further addresses of the mailbox; Exchange writes the primary one instead unless the tenant allows aliases."""
    only: tuple[Name, ...] = ()
    """Plans it is kept for; empty serves all."""
    password: SecretRef | None = None
    """Logs in with user and password instead of a token, by submission, as long as Microsoft takes that."""
    sent_items: bool = True
    """Copies of what it sent lie in Sent Items; false where that was switched off."""
    limits: AccountLimits = AccountLimits()
    """Its limits, where they differ from Microsoft's."""


class Tenant(Part):
    """One Microsoft 365 tenant."""

    id: str
    """Directory (tenant) id, or one of its domains."""
    domains: tuple[OwnedDomain, ...] = Field(min_length=1)
    """Accepted domains: decide who owns a sender and which recipients are internal."""
    app: App | None = None
    """Application the relay signs in as."""
    cloud: CloudChoice = "worldwide"
    """A preset, or its settings by hand."""
    service_accounts: Annotated[
        dict[Mailbox, ServiceAccount],
        BeforeValidator(_empty_accounts, json_schema_input_type=dict[str, ServiceAccount | None] | list[str]),
    ] = Field(default_factory=dict)
    """By mailbox address; a plain list of addresses is accepted."""
    connector: Connector | None = None
    """Inbound connector of the tenant; mail goes to its MX."""
    direct_send: DirectSend = DirectSend()
    """Mail to mailboxes of the tenant without connector or login, to its MX."""
    hve: Annotated[Hve | None, BeforeValidator(short_hve, json_schema_input_type=Hve | list[str] | None)] = None
    """High Volume Email; a plain list of its accounts' addresses is accepted."""
    acs: Acs | None = None
    """Azure Communication Services, outside the tenant."""
    smarthost: SmartHost | None = None
    """Another server, outside the tenant."""
    ndrs: Ndrs | None = None
    """Read reports of failed delivery in mailboxes; absent: none is read."""
    message_trace: bool = False
    """Look for mail of unknown outcome in the message trace too; needs `ExchangeMessageTrace.Read.All`."""
    licences: int | None = Field(default=None, ge=1)
    """Licences bought; gives the external limit when `external_recipients` is absent."""
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


def mailboxes_read(tenant: Tenant) -> tuple[str, ...]:
    """Give the mailboxes of a tenant that are read for reports, in small letters, each once."""
    if tenant.ndrs is None:
        return ()
    own = tenant.service_accounts if tenant.ndrs.accounts else {}
    return tuple(dict.fromkeys(mailbox.lower() for mailbox in (*own, *tenant.ndrs.mailboxes)))


class Routes(Part):
    """Ordered path kinds per direction."""

    internal: tuple[PathKind, ...] = (PathKind.SUBMISSION,)
    """Path kinds for recipients in accepted domains, in order."""
    external: tuple[PathKind, ...] = (PathKind.SUBMISSION,)
    """Path kinds for all others, in order."""

    @property
    def kinds(self) -> frozenset[PathKind]:
        """Every path kind some mail may take."""
        return frozenset({*self.internal, *self.external})


class Retry(Part):
    """When a deferred recipient is tried again: the n-th delay after the n-th failure, the last one repeats."""

    delays: tuple[Seconds, ...] = Field(default=(60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0), min_length=1)
    """Waits between tries."""
    jitter: float = Field(default=0.2, ge=0, le=0.5)
    """Share by which a wait is shortened or lengthened at random."""


class Plan(Part):
    """A named bundle of limits and promises for clients."""

    rate: RateField | None = None
    """Messages it may send."""
    recipients: RateField | None = None
    """Recipients it may name."""
    size: Bytes | None = None
    """Largest message."""
    max_recipients: int = Field(default=500, ge=1, le=10_000)
    """Recipients in one message."""
    to: Literal["internal", "any"] = "any"
    """Recipients: only accepted domains, or any."""
    priority: Priority = Priority.NORMAL
    """urgent goes first and has a reserve; bulk goes last."""
    expire: Seconds = 2 * 86_400.0
    """Mail not delivered by then bounces."""
    retry: Retry = Retry()
    """Tries after a failure."""
    over_limit: Literal["refuse", "hold"] = "refuse"
    """Mail beyond the rate: 452, or accepted and held."""
    copies: CopiesWish | None = None
    """Instead of the cluster's."""
    on_unknown: OnUnknown = OnUnknown.RESEND
    """Mail whose answer was lost: sent again, bounced, or looked for first."""
    bounces: Literal["sender", "owner"] = "sender"
    """Who gets failure reports."""
    outside_tenant: bool = False
    """May leave by paths outside the tenant (operations M11)."""
    rebuild: bool = False
    """Unsigned mail too large for Graph may be taken apart and rebuilt there (operations A14)."""


class Password(Part):
    """One accepted password, as an argon2 or fast keyed hash, with an optional last day."""

    hash: str
    """Made by `relayctl hash-password` or `client add`."""
    until: Day | None = None
    """Last day on which it is accepted."""


class Client(Part):
    """Who may submit; the parts given must all match (A7)."""

    networks: tuple[Network, ...] = ()
    """Addresses it connects from."""
    user: str | None = None
    """User it logs in as."""
    passwords: tuple[Password, ...] = ()
    """Passwords accepted for the user; several during a change."""
    certificate: str | None = None
    """Subject CN or DNS/URI SAN of the client certificate."""
    senders: tuple[AddressPattern, ...] = Field(min_length=1)
    """Addresses it may use as envelope sender and From; ``*@domain``, ``scan-*@domain`` allowed."""
    plan: Name | None = None
    """One of ``plans``; every default when absent."""
    owner: Mailbox | None = None
    """Who answers for it: gets digests, and bounces where the plan says so."""
    to: Literal["internal", "any"] | None = None
    """Instead of the plan's."""
    allow: tuple[AddressPattern, ...] = ()
    """Recipients always allowed, even where ``to`` forbids."""
    deny: tuple[AddressPattern, ...] = ()
    """Recipients never allowed."""
    redirect: Mailbox | None = None
    """All recipients become this one; the originals go into a header."""
    trace: bool = False
    """Its ``traceparent`` header is trusted."""
    outside_tenant: bool | None = None
    """Instead of the plan's."""
    copies: CopiesWish | None = None
    """Instead of the plan's, which goes before the cluster's."""
    weak_until: Day | None = None
    """Last day it is meant to use old TLS, passwords in clear or bare line feeds: an alarm from 30 days before."""


class RewriteRule(Part):
    """First matching rule changes envelope sender and From."""

    sender: AddressPattern
    """Senders it concerns."""
    to: RewriteTarget
    """An address, or ``*@domain`` to keep the local part."""
    reply_to: Literal["keep", "drop"] = "keep"
    """``keep``: the old From becomes Reply-To where none is given."""


class History(Part):
    """How long the history is kept, and how addresses stand in it."""

    keep: Seconds = 30 * 86_400.0
    """Entries older are erased."""
    addresses: Literal["full", "hash"] = "full"
    """Addresses of settled mail in full, or as keyed hashes that keep the domain."""
    key: SecretRef | None = None
    """Secret the hashes are keyed with, the same on every node of a cluster; made by a node that has no peers."""
    hash_after: Seconds = 7 * 86_400.0
    """Hashes are shown at once; on disk they replace addresses so long after all was settled. Until then a report that
    mail bounced later can be matched."""
