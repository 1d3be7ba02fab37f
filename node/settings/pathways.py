"""The parts of the settings that speak of ways out beside the service accounts: connector, HVE, ACS, smart host.

Figures are Microsoft's where facts/m365.md §1.2 has them; what it marks as not confirmed is said so here.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from node.settings.base import AddressPattern, Mailbox, Name, Part, SecretRef
from node.settings.units import Bytes, Rate, RateField, Seconds

ANNOUNCED_BYTES = 150 << 20
"""What the MX hosts announce (facts/m365.md §6); a tenant's own limit comes back as a refusal of that message."""


class PathKind(StrEnum):
    """Ways of handing mail over (facts/m365.md §1.1)."""

    CONNECTOR = "connector"
    SUBMISSION = "submission"
    HVE = "hve"
    ACS = "acs"
    GRAPH = "graph"
    DIRECT_SEND = "direct-send"
    SMARTHOST = "smarthost"


class ConnectorProbe(Part):
    """Looks whether the connector still matches: without it mail may go on to mailboxes inside and fail outside."""

    to: Mailbox
    """An address outside the tenant; only asked for, nothing is sent to it."""
    every: Seconds = 900.0
    """Time between two looks."""
    mailbox: Mailbox | None = None
    """A mailbox inside that is read (`ndrs`): mail is sent to it, whose header shows whether the connector matched."""
    mailbox_every: Seconds = 6 * 3600.0
    """Time between two such messages; they are left lying there."""


class Connector(Part):
    """The inbound connector of the tenant, matched by client certificate or by source address."""

    certificate: SecretRef | None = None
    """PEM file with certificate and private key; its name must be one of the tenant's domains."""
    host: str | None = None
    """Host, or host:port, instead of the one that follows from the MX of the first domain."""
    connections: int = Field(default=5, ge=1, le=100)
    """Connections at once from each node; fewer while the other side is slow or says it is busy."""
    rate: RateField | None = None
    """Messages it may take; Microsoft publishes no figure."""
    size: Bytes = ANNOUNCED_BYTES
    """Largest message."""
    recipients_per_message: int = Field(default=200, ge=1, le=1000)
    """Recipients in one transaction; Exchange takes 200 of one domain."""
    probe: ConnectorProbe | None = None
    """Asks again and again whether it still matches."""


class DirectSend(Part):
    """The tenant's MX without a connector: recipients of the tenant's own domains only."""

    host: str | None = None
    """Host, or host:port, instead of the one that follows from the MX of the first domain."""
    connections: int = Field(default=5, ge=1, le=100)
    """Connections at once from each node; fewer while the other side is slow or says it is busy."""
    rate: RateField | None = None
    """Messages it may take; Microsoft publishes no figure."""
    size: Bytes = ANNOUNCED_BYTES
    """Largest message."""
    recipients_per_message: int = Field(default=200, ge=1, le=1000)
    """Recipients in one transaction; Exchange takes 200 of one domain."""


class HveAccount(Part):
    """One account for High Volume Email."""

    send_as: tuple[AddressPattern, ...] = ()
    """From addresses tied to it besides its own."""
    only: tuple[Name, ...] = ()
    """Plans it is kept for; empty serves all."""
    sessions: int = Field(default=3, ge=1, le=1000)
    """Sessions of the account, one of them kept for hosts that vanished; not confirmed, so as for a mailbox."""
    rate: RateField | None = None
    """Messages it may send; Microsoft names no limit."""
    recipients: RateField | None = None
    """Recipients in 24 h; Microsoft names no limit."""


def _empty_accounts(value: Any) -> Any:
    """Read ``hve1@contoso.com:`` with nothing behind it as an account with every default."""
    if isinstance(value, dict):
        return {address: {} if account is None else account for address, account in value.items()}
    return value


class Hve(Part):
    """High Volume Email: recipients of the tenant's own domains only."""

    accounts: Annotated[
        dict[Mailbox, HveAccount],
        BeforeValidator(_empty_accounts, json_schema_input_type=dict[str, HveAccount | None]),
    ] = Field(min_length=1)
    """By address of the account."""
    host: str = "smtp-hve.office365.com:587"
    """Host and port."""
    size: Bytes = 35 << 20
    """Largest message; not confirmed, so as for a mailbox."""
    recipients_per_message: int = Field(default=50, ge=1, le=50)
    """Recipients in one transaction; the service takes 50."""


def short_hve(value: Any) -> Any:
    """Read a plain list of addresses as accounts that send as themselves."""
    if isinstance(value, list | tuple):
        return {"accounts": {str(address): {} for address in value}}
    return value


class Acs(Part):
    """Azure Communication Services, outside the tenant: its own rates, its own senders."""

    senders: tuple[AddressPattern, ...] = Field(min_length=1)
    """MailFrom addresses set up on its verified domains; envelope sender and From must be among them."""
    resource: str | None = None
    """Name of the resource: with application and tenant id it makes the user name."""
    user: str | None = None
    """An SMTP username set up on the resource, instead of `resource`."""
    client_id: str | None = None
    """Application in the user name; the tenant's `app` when absent."""
    secret: SecretRef | None = None
    """Client secret of that application, the password; the tenant's `app` has it when absent."""
    host: str = "smtp.azurecomm.net:587"
    """Host and port."""
    rate: RateField = Rate(30, 60.0)
    """Messages of the subscription; 5/min with an Azure-managed domain, more on request."""
    hourly: RateField = Rate(100, 3600.0)
    """The longer limit beside `rate`; 10/h with an Azure-managed domain."""
    connections: int = Field(default=2, ge=1, le=100)
    """Connections at once from each node."""
    size: Bytes = 10_000_000
    """Largest message, attachments included."""
    recipients_per_message: int = Field(default=50, ge=1, le=50)
    """Recipients in one transaction; the service takes 50, which cannot be raised for SMTP."""


class SmartHost(Part):
    """Another SMTP server, outside the tenant (operations M11)."""

    host: str
    """Name or address."""
    port: int = Field(default=587, ge=1, le=65535)
    """TCP port."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """``none`` only towards a loopback address."""
    user: str | None = None
    """Login, if it wants one."""
    password: SecretRef | None = None
    """Password of the login."""
    connections: int = Field(default=10, ge=1, le=500)
    """Connections at once from each node; fewer while the other side is slow or says it is busy."""
    rate: RateField | None = None
    """Messages it takes."""
    size: Bytes = 35 << 20
    """Largest message it takes."""
    recipients_per_message: int = Field(default=100, ge=1, le=1000)
    """Recipients in one transaction."""
