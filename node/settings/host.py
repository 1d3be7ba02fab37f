"""The parts of the settings that speak of machines: cluster, listeners, limits, egress, telemetry, admin."""

from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field

from node.settings.base import FilePath, Name, Part, SecretRef
from node.settings.nets import Address, Network
from node.settings.units import Bytes, Seconds


class Node(Part):
    """One member of the cluster."""

    site: Name
    address: Address


class Cluster(Part):
    """Several nodes that share budgets, addresses and second copies."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    nodes: dict[Name, Node] = Field(min_length=1)
    etcd: tuple[str, ...] = Field(min_length=1)
    pki: FilePath
    copies: Literal["required", "preferred", "one"] = "preferred"
    timing: Literal["steady", "fast"] = "steady"
    prefix: str = "/m365-relay"


class VirtualAddress(Part):
    """An address that follows a lease."""

    address: Address
    site: Name | None = None
    nodes: tuple[str, ...] = ()
    prefer: str | None = None
    driver: Literal["netlink", "probe", "hook"] = "netlink"


class Certificate(Part):
    """A certificate file and where its private key lies."""

    certificate: FilePath
    key: SecretRef


class Listener(Part):
    """One port that takes mail in."""

    port: int = Field(ge=0, le=65535)
    address: Address | None = None
    """Bound address; every address when absent."""
    tls: Literal["none", "optional", "required", "implicit"] = "optional"
    auth: Literal["none", "optional", "required"] = "optional"
    profile: Literal["standard", "legacy"] = "standard"
    networks: tuple[Network, ...] = ()
    """Only from here; a must for ``legacy``."""
    certificate: Certificate | None = None
    sni: dict[str, Certificate] = Field(default_factory=dict)
    client_ca: FilePath | None = None
    """Client certificates issued by these are asked for and accepted."""
    line_endings: Literal["strict", "normalise"] | None = None
    """Default: ``strict``, on ``legacy`` ``normalise``."""
    proxy_from: tuple[Network, ...] = ()


class Limits(Part):
    """Bounds of the front door."""

    sessions: int = Field(default=1000, ge=1)
    sessions_per_address: int = Field(default=100, ge=1)
    messages_per_session: int = Field(default=1000, ge=1)
    errors_per_session: int = Field(default=10, ge=1)
    commands_per_session: int = Field(default=10_000, ge=10)
    auth_tries: int = Field(default=3, ge=1, le=10)
    idle: Seconds = 300.0
    data_idle: Seconds = 180.0
    session: Seconds = 3600.0
    size: Bytes = 150 << 20
    memory: Bytes = 512 << 20
    """Bytes of message data held in memory by the whole intake."""
    disk_free_low: Bytes = 1 << 30
    """Below: 452. Accepting again above ``disk_free_high``."""
    disk_free_high: Bytes = 2 << 30
    queue: int = Field(default=5_000_000, ge=1)


class Intake(Part):
    """How the front door runs."""

    processes: int = Field(default=0, ge=0, le=64)
    """0: in the core process on one core, else as many as cores (at most 4)."""


class Egress(Part):
    """How HTTPS and SMTP leave the site."""

    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    ca: FilePath | None = None
    """PEM bundle trusted besides the system's."""
    source_address: Address | None = None


class TelemetrySettings(Part):
    """Where traces, metrics and logs go."""

    otlp: str | None = None
    """``https://host:4317`` gRPC; ``https://host:4318`` or a path: HTTP/protobuf; ``http://`` for loopback."""
    protocol: Literal["grpc", "http"] | None = None
    ca: FilePath | None = None
    headers: SecretRef | None = None
    """``name=value`` lines sent with each export."""
    prometheus: int | None = Field(default=None, ge=0, le=65535)
    sample: float = Field(default=1.0, ge=0, le=1)
    addresses: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Oidc(Part):
    """Sign-in for the console."""

    issuer: str
    client_id: str | None = None
    roles: dict[str, Literal["viewer", "operator", "admin"]] = Field(default_factory=dict)


class Admin(Part):
    """The administration port."""

    port: int = Field(default=8025, ge=0, le=65535)
    address: Address = IPv4Address("127.0.0.1")
    certificate: Certificate | None = None
    oidc: Oidc | None = None
