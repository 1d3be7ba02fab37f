"""The parts of the settings both processes of a host read: the cluster, its addresses, where state lies."""

import re
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from coordinator.settings.base import Address, FilePath, Name, Part, Port, SecretRef
from coordinator.settings.endpoints import Endpoint, EndpointText, parse_endpoint
from coordinator.settings.units import Seconds
from coordinator.timing import PRESETS, Timing

RUNTIME: Final = Path("/run/m365-relay")
"""Default of ``runtime``, the same for both processes."""
STATE: Final = Path("/var/lib/m365-relay-coordinator")
"""Default of ``coordinator.state``."""
_PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)+", re.ASCII)
_PREFIX_MAX: Final = 128
_INTERFACE = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}")
"""The kernel's own rule for the name of a device (dev_valid_name), without control characters and letters beyond it."""


def _prefix(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if not _PREFIX.fullmatch(text) or len(text) > _PREFIX_MAX:
        raise ValueError(f"expected the first part of a key such as /m365-relay, not {value!r}")
    return text


def _interface(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if not _INTERFACE.fullmatch(text) or not text.isprintable():
        raise ValueError(f"expected the name of an interface such as ens192, not {value!r}")
    return text


def _absolute(path: Path) -> Path:
    """Refuse a relative program: what is started must not depend on where the daemon was started."""
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"expected the absolute path of a program, not {str(path)!r}")
    return path


class Node(Part):
    """One member of the cluster."""

    site: Name
    """Data centre it stands in."""
    address: Address
    """Address the other nodes reach it at."""


class Ports(Part):
    """Where the processes of a host listen for their peers, on the node's address."""

    node: Port = 7711
    """Of relay-node."""
    coordinator: Port = 7712
    """Of relay-coordinator."""


class Login(Part):
    """A user of etcd, where the name in the certificate is not enough."""

    user: str = Field(min_length=1, max_length=128)
    """Name of the user."""
    password: SecretRef
    """Its password."""


class Cluster(Part):
    """Several nodes that share budgets, addresses and second copies."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Same on every node; part of keys and certificates."""
    nodes: dict[Name, Node] = Field(min_length=1)
    """Members by host name."""
    etcd: tuple[EndpointText, ...] = Field(min_length=1)
    """Members of etcd: name or address, with or without port (2379); http:// only on this machine."""
    pki: FilePath
    """Directory with ca.pem (one or more authorities), node.pem and node.key, for peers and etcd."""
    copies: Literal["required", "preferred", "one"] = "preferred"
    """required: 451 without a second copy; preferred: 250 and flagged; one: none."""
    timing: Literal["steady", "fast"] = "steady"
    """Lease of 10 s (steady) or 5 s (fast)."""
    prefix: Annotated[str, BeforeValidator(_prefix, json_schema_input_type=str)] = "/m365-relay"
    """First part of every key in etcd."""
    ports: Ports = Ports()
    """Ports for the other nodes."""
    fallback: bool = True
    """While etcd is silent, go on once every node says so; false stops, and addresses then move 3 s sooner."""
    bind: Address | None = None
    """Address the peers' ports are bound on where the node's own is not this machine's, as in a container."""
    early_takeover: bool = True
    """Take a vanished host's address before its lease ends, once every other node no longer hears it."""
    login: Login | None = None
    """User and password for etcd besides the certificate."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Give the members of etcd, read."""
        return tuple(parse_endpoint(text) for text in self.etcd)

    def bound(self, node: str) -> str:
        """Give the address a node listens for its peers at."""
        return str(self.bind if self.bind is not None else self.nodes[node].address)

    @property
    def plain_etcd(self) -> bool:
        """Whether etcd is spoken to in clear, on this machine."""
        return all(endpoint.plain for endpoint in self.endpoints)


class Probe(Part):
    """Where a load balancer asks whether this host holds an address."""

    port: Port
    """TCP port; several virtual addresses may share it."""
    address: Address | None = None
    """Bound address; every address when absent."""


class VirtualAddress(Part):
    """An address that follows a lease."""

    address: Address
    """The address clients use."""
    site: Name | None = None
    """Only nodes of this data centre may hold it."""
    nodes: tuple[str, ...] = ()
    """Only these nodes may hold it."""
    prefer: str | None = None
    """Node that holds it when it can."""
    driver: Literal["netlink", "probe", "hook"] = "netlink"
    """How it is moved: bound here, shown to a load balancer, or by a program."""
    interface: Annotated[str, BeforeValidator(_interface, json_schema_input_type=str)] | None = None
    """Interface it is bound to; when absent, the one whose network contains it."""
    hook: Annotated[Path, AfterValidator(_absolute)] | None = None
    """Program of driver hook: absolute path of a file only root may write."""
    probe: Probe | None = None
    """Where driver probe answers."""
    hold: Seconds = 60.0
    """Shortest stay on a node before the address goes back to `prefer` by itself."""


class CoordinatorPart(Part):
    """What relay-coordinator keeps for itself."""

    state: FilePath = STATE
    """Directory of what it remembers over a restart, such as which etcd it knows."""
    prometheus: Port | None = None
    """Port of /metrics and /live. Without one they stand on the socket in `runtime` alone."""
    prometheus_address: Address = IPv4Address("127.0.0.1")
    """Bound address of that port."""


def timing_of(cluster: Cluster, address: VirtualAddress | None = None) -> Timing:
    """Give the durations of a session, for one address with its own hold time.

    Without fallback no promise between peers can still run, so an address waits no longer than its lease (§2).
    """
    timing = PRESETS[cluster.timing]
    return replace(
        timing,
        takeover_wait_ms=timing.takeover_wait_ms if cluster.fallback else 0,
        hold_ms=round(address.hold * 1_000) if address is not None else timing.hold_ms,
    )
