"""A network of hosts on one machine: which wires lead where, and which of them a cut severs. Pure.

A *host* is a node of the cluster; "" is whatever is outside of them (clients, a load balancer, a person).
"""

from enum import StrEnum
from typing import Final

import msgspec

from node.rehearsal.drill.faults import Kind

OUTSIDE: Final = ""
UPSTREAM: Final = "upstream"
"""The host that Microsoft 365 is."""
CUTS: Final = frozenset({Kind.CUT_ETCD, Kind.CUT_PEERS, Kind.CUT_HOST, Kind.CUT_UPSTREAM})


class Service(StrEnum):
    """What is at a wire's end."""

    ETCD = "etcd"
    """A member of etcd, for its clients."""
    ETCD_PEERS = "etcd-peers"
    """The same, for the other members."""
    PEERS = "peers"
    """relay-node or relay-coordinator, for those of the other nodes."""
    UPSTREAM = "upstream"
    """Microsoft 365."""
    CLIENTS = "clients"
    """Mail, and the probe a load balancer asks."""


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """What is listened at for somebody, and where that somebody really is."""

    host: str
    """Whose it is: a node, or ``UPSTREAM``."""
    service: Service
    listen: tuple[str, int]
    """Address and port others know; port 0: any that is free."""
    target: tuple[str, int]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to the network."""

    kind: Kind
    node: str


def severed(cut: Cut, source: str, wire: Wire) -> bool:
    """Whether nothing passes between a host and a wire's end. What is on one host is never cut off from itself.

    But for etcd: a host is cut off from *all* members, as an etcd on hosts of its own would be.
    """
    between = cut.node in (source, wire.host) and source != wire.host
    match cut.kind:
        case Kind.CUT_ETCD:
            return wire.service is Service.ETCD and source == cut.node
        case Kind.CUT_PEERS:
            return wire.service is Service.PEERS and between
        case Kind.CUT_UPSTREAM:
            return wire.service is Service.UPSTREAM and source == cut.node
        case Kind.CUT_HOST:
            return between
        case _:
            return False
