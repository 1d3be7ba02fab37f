"""What second copies need of the cluster and the node around them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coordinator.joining import Joined
from coordinator.peers.contract import Peers
from coordinator.settings.cluster import Cluster
from node.cluster.wishes import Wishes
from node.policy.envelope import NewMessage
from node.shadow.measures import Measures


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What of the cluster and the node the parts need."""

    node: str
    cluster: Cluster
    joined: Joined
    peers: Peers
    wishes: Wishes
    nodes: Callable[[], Iterable[str]]
    """The list in force."""
    freely: Callable[[], bool]
    """Whether everybody's word stands in for a session."""
    arrived: Callable[[], None]
    """There is mail to deliver that came in by no door."""
    changed: Callable[[], None]
    """Whether mail may be taken in may have changed."""
    unprotected: Callable[[NewMessage], None]
    """A 250 rests on this machine alone."""
    measures: Measures
    """What telemetry hears."""
    on_open: Callable[[], None]
    on_shut: Callable[[], None]
