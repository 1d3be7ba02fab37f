"""The whole configuration as one frozen tree; the samples of facts/operations.md §4 are its contract."""

from pathlib import Path

from pydantic import Field

from coordinator.settings.cluster import RUNTIME
from node.settings.alarms import Alarms
from node.settings.base import Domain, FilePath, Name, Part
from node.settings.bounces import Bounces, Suppression
from node.settings.host import (
    Admin,
    Certificate,
    Cluster,
    CoordinatorPart,
    Egress,
    Intake,
    Limits,
    Listener,
    TelemetrySettings,
    VirtualAddress,
)
from node.settings.mail import Client, History, Plan, RewriteRule, Routes, Tenant
from node.settings.replies import ReplyRule
from node.settings.units import Seconds
from node.settings.verify import Verify

DEFAULT_LISTENERS = {"smtp": Listener(port=25), "submission": Listener(port=587, tls="required", auth="required")}


class Settings(Part):
    """Everything a node is told. The reader folds the short form ``tenant`` into ``tenants``."""

    cluster: Cluster | None = None
    """Several nodes; a single one needs none."""
    spool: FilePath = Path("/var/lib/m365-relay")
    """Directory of this node's spool (node's own part: left out of the cluster-wide hash)."""
    runtime: FilePath = RUNTIME
    """Sockets and lease ids (node's own part)."""
    coordinator: CoordinatorPart = CoordinatorPart()
    """State of relay-coordinator (node's own part)."""
    hostname: str | None = None
    """Name announced in banner, EHLO and Received; the host's own when absent (node's own part)."""
    virtual_addresses: dict[Name, VirtualAddress] = Field(default_factory=dict)
    """Addresses that move between nodes."""
    tls: Certificate | None = None
    """Certificate of every listener without its own."""
    listeners: dict[Name, Listener] = Field(default_factory=lambda: dict(DEFAULT_LISTENERS))
    """Ports that take mail in."""
    tenants: dict[Name, Tenant] = Field(min_length=1)
    """Microsoft 365 tenants by name."""
    routes: Routes = Routes()
    """Ways out, by direction."""
    plans: dict[Name, Plan] = Field(default_factory=dict)
    """Bundles of limits and promises, by name."""
    clients: dict[Name, Client] = Field(default_factory=dict)
    """Who may send, by name."""
    clients_from: FilePath | None = None
    """Directory of further client files, *.yaml."""
    rewrite: tuple[RewriteRule, ...] = ()
    """Senders changed before they are checked; first match wins."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Recipient aliases, ``root`` or ``root@host`` to an address."""
    default_domain: Domain | None = None
    """Added to addresses without one."""
    bounces: Bounces = Bounces()
    """Reports of our own, and reports to us."""
    suppression: Suppression = Suppression()
    """Recipients that failed for good."""
    history: History = History()
    """Who sent what to whom."""
    received: str = Field(default="full", pattern="^(full|minimal)$")
    """minimal hides inside names and addresses in Received."""
    replies: tuple[ReplyRule, ...] = ()
    """Rows added before the built-in reply table."""
    limits: Limits = Limits()
    """Bounds of the front door."""
    intake: Intake = Intake()
    """Processes at the front door."""
    egress: Egress = Egress()
    """How connections leave the site."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Traces, metrics and logs."""
    alarms: Alarms | None = None
    """Alarms that do not need mail."""
    admin: Admin = Admin()
    """Console and API."""
    verify: Verify = Verify()
    """How mail whose answer was lost is looked for."""
    stop_timeout: Seconds = 30.0
    """Longest a stop may take."""
    stop_notice: Seconds | None = None
    """How long connections are still taken after the node said that it is not ready, for balancers that ask now and
    then; by default 10s, at most a third of `stop_timeout`, where a probe leads clients here, else none."""
