"""The parts of the settings that speak of machines: listeners, limits, egress, telemetry, admin; and the cluster's."""

from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field

from coordinator.settings.base import Address, FilePath, Name, Part, SecretRef
from coordinator.settings.cluster import Cluster, CoordinatorPart, Node, VirtualAddress
from node.settings.nets import Day, Network
from node.settings.units import Bytes, Seconds

__all__ = (
    "CALLBACK",
    "Admin",
    "AdminToken",
    "Certificate",
    "Cluster",
    "CoordinatorPart",
    "Egress",
    "Intake",
    "Limits",
    "Listener",
    "Node",
    "Oidc",
    "Syslog",
    "TelemetrySettings",
    "VirtualAddress",
)


class Certificate(Part):
    """A certificate file and where its private key lies."""

    certificate: FilePath
    """PEM file, own certificate first, then the chain."""
    key: SecretRef
    """Its private key (PEM)."""


class Listener(Part):
    """One port that takes mail in."""

    port: int = Field(ge=0, le=65535)
    """TCP port; 0 lets the system choose."""
    address: Address | None = None
    """Bound address; every address when absent."""
    tls: Literal["none", "optional", "required", "implicit"] = "optional"
    """none, offered (optional) or demanded by STARTTLS, or from the first byte (implicit)."""
    auth: Literal["none", "optional", "required"] = "optional"
    """Whether a login is offered or demanded."""
    profile: Literal["standard", "legacy"] = "standard"
    """legacy: TLS 1.0, passwords in clear, lenient grammar, for old devices."""
    networks: tuple[Network, ...] = ()
    """Only from here; a must for ``legacy``."""
    certificate: Certificate | None = None
    """Instead of the common `tls`."""
    sni: dict[str, Certificate] = Field(default_factory=dict)
    """Further certificates by the host name asked for."""
    client_ca: FilePath | None = None
    """Client certificates issued by these are asked for and accepted."""
    line_endings: Literal["strict", "normalise"] | None = None
    """Default: ``strict``, on ``legacy`` ``normalise``."""
    proxy_from: tuple[Network, ...] = ()
    """Load balancers that must say the client by the PROXY protocol; others must not."""


class Limits(Part):
    """Bounds of the front door."""

    sessions: int = Field(default=1000, ge=1)
    """Sessions at once."""
    sessions_per_address: int = Field(default=100, ge=1)
    """Sessions at once from one address."""
    messages_per_session: int = Field(default=1000, ge=1)
    """Messages before the session is closed."""
    errors_per_session: int = Field(default=10, ge=1)
    """Refused commands before the session is closed."""
    commands_per_session: int = Field(default=10_000, ge=10)
    """Commands before the session is closed."""
    auth_tries: int = Field(default=3, ge=1, le=10)
    """Failed logins before the session is closed."""
    idle: Seconds = 300.0
    """Silence between commands before the session is closed."""
    data_idle: Seconds = 180.0
    """Silence within a message before the session is closed."""
    session: Seconds = 3600.0
    """Longest session."""
    size: Bytes = 150 << 20
    """Largest message taken."""
    memory: Bytes = 512 << 20
    """Bytes of message data held in memory by the whole intake."""
    disk_free_low: Bytes = 1 << 30
    """Below: 452. Accepting again above ``disk_free_high``."""
    disk_free_high: Bytes = 2 << 30
    """Free space at which mail is taken again."""
    copies: Bytes = 0
    """What copies of other nodes' mail may take; 0: what the disk has down to ``disk_free_low``."""
    queue: int = Field(default=5_000_000, ge=1)
    """Messages waiting before new ones get 452."""


class Intake(Part):
    """How the front door runs."""

    processes: int = Field(default=0, ge=0, le=64)
    """0: in the core process on one core, else as many as cores (at most 4)."""


class Egress(Part):
    """How HTTPS and SMTP leave the site."""

    https_proxy: str | None = None
    """Proxy for HTTPS: tokens, Graph, traces."""
    no_proxy: tuple[str, ...] = ()
    """Hosts reached without the proxy."""
    ca: FilePath | None = None
    """PEM bundle trusted besides the system's."""
    source_address: Address | None = None
    """Local address connections leave from."""


class TelemetrySettings(Part):
    """Where traces, metrics and logs go."""

    otlp: str | None = None
    """``https://host:4317`` gRPC; ``https://host:4318`` or a path: HTTP/protobuf; ``http://`` for loopback."""
    protocol: Literal["grpc", "http"] | None = None
    """Chosen by the port of `otlp` when absent."""
    ca: FilePath | None = None
    """PEM bundle the collector is verified with."""
    headers: SecretRef | None = None
    """``name=value`` lines sent with each export."""
    prometheus: int | None = Field(default=None, ge=0, le=65535)
    """Port serving metrics."""
    sample: float = Field(default=1.0, ge=0, le=1)
    """Share of ordinary traces kept; errors are always kept."""
    same_trace_for: Seconds = Field(default=300.0, ge=0, le=86_400)
    """So long after acceptance attempts are in the message's trace; later ones begin a trace linked to it."""
    addresses: bool = False
    """Mail addresses appear in traces."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level written."""


RoleName = Literal["viewer", "operator", "admin"]
CALLBACK = "/v1/oidc/callback"
"""Where an OpenID provider sends browsers back to, at the admin port."""


class Oidc(Part):
    """Sign-in by an OpenID provider, with authorization code and PKCE."""

    issuer: str
    """Issuer URL, to the letter as the provider writes it."""
    client_id: str = "m365-relay"
    """Client id registered there."""
    secret: SecretRef | None = None
    """Its secret; absent: a public client, which PKCE alone protects."""
    redirect: str | None = None
    """Our address registered there; absent: `/v1/oidc/callback` at this host's name and `admin.port`."""
    roles: dict[str, RoleName] = Field(default_factory=dict)
    """Group or role there to role here."""
    claims: tuple[str, ...] = Field(default=("groups", "roles"), min_length=1)
    """Claims of the ID token that name groups or roles."""
    scopes: tuple[str, ...] = ("openid", "profile")
    """Scopes asked for; some providers name groups only if asked for `groups`."""
    algorithms: tuple[Literal["RS256", "PS256", "ES256"], ...] = Field(default=("RS256",), min_length=1)
    """Signatures taken."""
    lasts: Seconds = 8 * 3600.0
    """How long a sign-in holds, 12h at most."""


class AdminToken(Part):
    """Somebody who may use the API; made by ``relayctl token make``."""

    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """``sha256:`` and the hash of the token."""
    sign: str | None = Field(default=None, pattern=r"^ed25519:[0-9a-f]{64}$")
    """Public key of what lies in the token: with it other nodes of the cluster do what its bearer orders here."""
    role: RoleName
    """viewer looks, operator acts on mail and ways, admin also on what cannot be taken back."""
    until: Day
    """Its last day (UTC)."""


class Syslog(Part):
    """Where the audit is shipped to, as it is written (RFC 5424)."""

    to: str = Field(default="unix:/dev/log", pattern=r"^(unix:/\S+|(tcp|tls)://[A-Za-z0-9.-]+:[0-9]{1,5})$")
    """``unix:/dev/log``, ``tcp://host:601`` or ``tls://host:6514``."""
    ca: FilePath | None = None
    """PEM bundle that issued the receiver's certificate, beside the system's authorities."""
    facility: Literal[
        "auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = "authpriv"
    """Facility of the messages."""


class Admin(Part):
    """The administration port."""

    port: int = Field(default=8025, ge=0, le=65535)
    """Port of console and API; 0 lets the system choose."""
    address: Address = IPv4Address("127.0.0.1")
    """Bound address."""
    certificate: Certificate | None = None
    """Instead of the common `tls`."""
    tokens: dict[Name, AdminToken] = Field(default_factory=dict)
    """Who may use API and console over the network, by name."""
    names: tuple[str, ...] = ()
    """What a browser may call this node in `Host`, beside its addresses, `localhost`, its name and its host name."""
    trace_url: str | None = Field(default=None, pattern=r"^https?://[^\s<>\"'{}]+\{trace_id\}[^\s<>\"'{}]*$")
    """Where the console links to for a trace, such as ``https://tempo.example/trace/{trace_id}``."""
    oidc: Oidc | None = None
    """Single sign-on."""
    syslog: Syslog | None = None
    """Where the audit goes as well."""
    second_approver: tuple[Literal["delete", "disaster", "erase"], ...] = ()
    """Deeds that wait until a second person approves them: mail deleted, disaster words, addresses erased."""
    approve_within: Seconds = Field(default=3600.0, ge=60, le=7 * 86_400)
    """Afterwards such a request is over."""
