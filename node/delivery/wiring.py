"""What the back door is given by other rooms, and what the settings say to it. Values only."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.cluster.contract import Budgets
from node.delivery.dial import Dialer
from node.delivery.endpoint import Endpoint, TokenSource
from node.delivery.looking import Archive
from node.delivery.mx import MxHosts
from node.delivery.reporter import Reporting
from node.delivery.second import Second
from node.delivery.tracing import Digest
from node.delivery.transaction import Fence, always
from node.m365.graph import Graph
from node.policy.classify import Classifier
from node.policy.health import Change, HealthBook
from node.policy.route import Directory
from node.settings.mail import Plan
from node.settings.verify import Verify
from node.spool.contract import Spool
from node.telemetry.contract import Telemetry


def _silent(_change: Change) -> None:
    """Nobody listens to changes of standing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What other rooms give."""

    spool: Spool
    budgets: Budgets
    telemetry: Telemetry
    tokens: TokenSource | None = None
    graph: Graph | None = None
    """Microsoft Graph, for the path of that name and for looking into Sent Items."""
    health: HealthBook = field(default_factory=HealthBook)
    dialer: Dialer = field(default_factory=Dialer)
    mx: MxHosts = field(default_factory=MxHosts)
    """Where connectors and direct send lead to, by the MX of the tenants' domains."""
    on_change: Callable[[Change], None] = _silent
    """Hears of every standing that changed: for logs, alarms and the store."""
    unit_random: Callable[[], float] = random.random
    digest: Digest | None = None
    """Keyed hash for Message-IDs in spans."""
    may_send: Fence = always
    """Whether this node may still send, asked last before each final dot (I3)."""
    second: Second | None = None
    """Who keeps second copies; None: nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the settings say; replaced as a whole by ``reload``."""

    directory: Directory
    plans: Mapping[str, Plan]
    endpoints: Mapping[str, Endpoint]
    """By way name."""
    reporting: Reporting
    classifier: Classifier = field(default_factory=Classifier)
    archives: Mapping[str, Archive] = field(default_factory=dict)
    """Where it shows what a way has sent, by way name."""
    verify: Verify = field(default_factory=Verify)
    node: str = "localhost"
    span_addresses: bool = False
    poll_s: float = 5.0
    """The slow look at the whole spool; a net under the news."""
