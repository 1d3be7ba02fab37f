"""Who exists in the simulated cloud, what they may do, how the service behaves: frozen values from YAML or JSON.

Decides nothing. Secrets written here open nothing but the simulator.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.inhabitants import Application, Mailbox, TenantSpec
from node.rehearsal.simulator.limits import GraphLimits
from node.rehearsal.simulator.reports import Reports
from node.settings.base import Part
from node.settings.units import Bytes, Rate, RateField, Seconds

TENANT = "8f2c1a0e-0000-4000-8000-000000000000"
CLIENT = "1b7d2c3e-0000-4000-8000-000000000000"
SECRET = "rehearsal-secret"  # noqa: S105 - the simulator's own, documented default
AUDIENCE = "https://outlook.office365.com"


class SmartHost(Part):
    """A plain smart host instead of Microsoft 365: no tenants, no limits."""

    tls: Literal["none", "optional", "required"] = "none"
    users: dict[str, str] = Field(default_factory=dict)
    """User to password; when any is given AUTH PLAIN or LOGIN is demanded."""


class Limits(Part):
    """The figures of facts m365 §2 and what happens beyond them."""

    rate: RateField = Rate(30, 60.0)
    sessions: int = Field(default=3, ge=1)
    recipients: RateField = Rate(10_000, 86_400.0)
    over_rate: Literal["refuse", "delay", "accept"] = "refuse"
    over_sessions: Literal["refuse", "accept"] = "refuse"
    over_recipients: Literal["refuse", "accept"] = "refuse"
    over_external: Literal["refuse", "accept"] = "refuse"
    error_throttle: int = Field(default=0, ge=0)
    """Errors of one class within an hour after which the account is throttled (5.2.251-255); 0: never."""
    error_throttle_for: Seconds = 3600.0
    size: Bytes = 157_286_400
    """What EHLO announces."""
    connections: int = Field(default=2000, ge=1)
    """Connections to the whole simulator; more are answered 421 4.3.2."""


class Timing(Part):
    """How long the service waits; ``time_scale`` divides these waits, never the windows of the limits."""

    time_scale: float = Field(default=1.0, gt=0)
    tarpit: Seconds = 5.0
    idle: Seconds = 300.0
    session: Seconds = 1200.0
    latency: Seconds = 0.0
    """Median time to answer the final dot; 0 answers at once."""
    latency_spread: float = Field(default=1.0, ge=0)
    """Sigma of the lognormal distribution of that time."""
    latency_longest: Seconds = 20.0
    token_life: tuple[Seconds, Seconds] = (3600.0, 5400.0)
    """Random between these (facts m365 §3.3)."""

    def real_s(self, seconds: float) -> float:
        """Convert a wait of the service to real seconds."""
        return seconds / self.time_scale


class Mx(Part):
    """How the tenants' MX treats those who connect (facts m365 §4.6, §4.7); each switch is off by default."""

    recipients_per_domain: int = Field(default=200, ge=1)
    """Envelope recipients of one domain in a message; more are told 452 4.5.3."""
    source_rate: RateField | None = None
    """Messages from one address; more are told 451 4.7.500."""
    source_connections: int = Field(default=0, ge=0)
    """Connections from one address; on more MAIL is told 451 4.7.500. 0: as many as there are."""
    spares_connectors: bool = True
    """A matching connector is not throttled by its address."""
    tarpit_rate: RateField | None = None
    """Messages from one address beyond which MAIL and RCPT are answered late."""
    tarpit: Seconds = 10.0
    """How late."""
    untrusted: tuple[Path, ...] = ()
    """PEM files of authorities whose client certificates are read and match nothing, as self-signed ones do."""


class Directory(Part):
    """Everything about the simulated cloud that can be written in a file."""

    tenants: dict[str, TenantSpec] = Field(default_factory=dict)
    smarthost: SmartHost | None = None
    mx: Mx = Mx()
    limits: Limits = Limits()
    timing: Timing = Timing()
    reports: Reports = Reports()
    graph: GraphLimits = GraphLimits()
    audience: str = AUDIENCE
    host: str = "SIM0PR01MB0001"
    """Host name shown in the banner and in reply brackets."""
    seed: int = 0

    def tenant_of(self, address: str) -> tuple[str, TenantSpec] | None:
        """Find the tenant that has this mailbox, or this account for High Volume Email."""
        for tenant_id, tenant in self.tenants.items():
            if address in tenant.mailboxes or address in tenant.hve:
                return tenant_id, tenant
        return None

    def owner_of(self, domain: str) -> str:
        """Name the tenant of which a domain, or one above it, is an accepted domain; empty: none."""
        wanted = domain.lower()
        for tenant_id, tenant in self.tenants.items():
            if any(wanted == name or wanted.endswith(f".{name}") for name in tenant.domains):
                return tenant_id
        return ""


def default_directory(
    domain: str = "contoso.com",
    mailboxes: tuple[str, ...] = ("relay1", "relay2"),
    tenant: str = TENANT,
    client: str = CLIENT,
    secret: str = SECRET,
) -> Directory:
    """Give one tenant with one application and mailboxes that may send as anybody of their domain.

    Names in ``mailboxes`` without ``@`` are taken to be in ``domain``.
    """
    addresses = [name.lower() if "@" in name else f"{name}@{domain}".lower() for name in mailboxes]
    domains = tuple(dict.fromkeys([domain.lower(), *(address.rpartition("@")[2] for address in addresses)]))
    send_as = tuple(f"*@{name}" for name in domains)
    spec = TenantSpec(
        domains=domains,
        apps={client: Application(secrets=(secret,))},
        mailboxes={address: Mailbox(send_as=send_as) for address in addresses},
    )
    return Directory(tenants={tenant: spec})


def read_directory(source: Any, place: str) -> Directory:
    """Check plain data (from YAML or JSON); raises RehearsalInputError naming every fault with its place."""
    try:
        directory = Directory.model_validate(source)
    except ValidationError as error:
        raise RehearsalInputError(_faults(error, place)) from None
    return _lower_cased(directory)


def load_directory(path: Path) -> Directory:
    """Read a YAML or JSON file; raises RehearsalInputError."""
    try:
        source = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error}") from error
    return read_directory(source, str(path))


def _faults(error: ValidationError, place: str) -> str:
    return "\n".join(
        f"{place}: {'.'.join(str(part) for part in fault['loc']) or 'top level'}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    )


def _lower_cased(directory: Directory) -> Directory:
    # Addresses are compared without case; doing it once here keeps it out of the conversations.
    tenants = {
        tenant_id: tenant.model_copy(
            update={
                "domains": tuple(name.lower() for name in tenant.domains),
                "mailboxes": {address.lower(): mailbox for address, mailbox in tenant.mailboxes.items()},
                "hve": {address.lower(): account for address, account in tenant.hve.items()},
            }
        )
        for tenant_id, tenant in directory.tenants.items()
    }
    return directory.model_copy(update={"tenants": tenants})
