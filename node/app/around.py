"""What the parts a node shares with others need of the node, and second copies of the cluster around them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from coordinator.joining import Joined
from coordinator.peers.contract import Handler, Peers
from coordinator.settings.cluster import Cluster
from node.admin.control import Readiness
from node.admin.trust import Trust
from node.app.hiding import Hiding
from node.cluster.clocks import Date
from node.cluster.wishes import Wishes
from node.policy.envelope import NewMessage
from node.policy.health import Change
from node.settings.reader import Loaded
from node.shadow.measures import Measures
from node.spool.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the node hands in."""

    on_free: Callable[[str], None]
    on_slot_wanted: Callable[[str, bool], None]
    report: Callable[[Change], None]
    """A standing changed on another's word."""
    wake: Callable[[], None]
    resumed: Callable[[str, str, str, str], None]
    """A scope was resumed by a wish: scope, what it rested for, actor, reason."""
    fence: Callable[[], None]
    part: Callable[[], None]
    unfence: Callable[[], None]
    drained: Callable[[bool], None]
    """Whether an operator wishes this node drained."""
    owned: Callable[[], None]
    """Whether mail may be taken in, or what there is to say of copies, may have changed."""
    arrived: Callable[[], None]
    """There is mail to deliver that came in by no door."""
    disk_full: Callable[[], bool]
    """Whether the disk has no room for what is not this node's own."""
    unprotected: Callable[[NewMessage], None]
    """A 250 rests on this machine alone."""
    measures: Measures
    """What telemetry hears of second copies."""
    date: Date
    """What time it is at the upstream."""
    hiding: Hiding
    """Of addresses in history."""
    trust: Trust
    """Who ordered what another node asks."""
    tell: Callable[[dict[str, object]], Awaitable[None]]
    """Write into the audit."""
    readiness: Callable[[], Readiness]
    loaded: Callable[[], Loaded]
    routes: Callable[[], Mapping[str, Handler]]
    """What other nodes may ask besides what concerns the cluster itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What second copies need of the cluster, and the node's hooks."""

    node: str
    cluster: Cluster
    joined: Joined
    peers: Peers
    wishes: Wishes
    nodes: Callable[[], Iterable[str]]
    """The list in force."""
    freely: Callable[[], bool]
    """Whether everybody's word stands in for a session."""
    hooks: Hooks
    copies: Schema
    """What the copy store may write."""
