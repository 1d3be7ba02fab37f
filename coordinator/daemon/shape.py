"""What this coordinator was told: its node, its cluster, the addresses; which of it a reload may change. Pure."""

from dataclasses import dataclass, replace
from pathlib import Path

from coordinator.inforce import InForce
from coordinator.settings.cluster import Cluster, CoordinatorPart, VirtualAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The settings as the daemon uses them."""

    node: str
    cluster: Cluster
    addresses: dict[str, VirtualAddress]
    hash: str
    """Of the cluster-wide configuration; published with the session."""
    runtime: Path
    own: CoordinatorPart

    @property
    def site(self) -> str:
        """Where this node stands."""
        return self.cluster.nodes[self.node].site

    def listed(self, name: str) -> tuple[str, ...]:
        """Give the nodes that may hold an address: of its site, and of its own list if it has one."""
        address = self.addresses[name]
        return tuple(
            node
            for node, about in self.cluster.nodes.items()
            if address.site in {None, about.site} and (not address.nodes or node in address.nodes)
        )


def reloaded(old: Shape, new: Shape) -> tuple[Shape, tuple[str, ...]]:
    """Take over what may change while running, and name what needs a restart.

    The list of nodes, and where existing addresses may be and would rather be, change at once.
    """
    later = [
        f"cluster.{key}"
        for key in type(old.cluster).model_fields
        if key != "nodes" and getattr(old.cluster, key) != getattr(new.cluster, key)
    ]
    later += [key for key in ("runtime", "own") if getattr(old, key) != getattr(new, key)]
    later += [f"virtual_addresses.{name}" for name in sorted(old.addresses.keys() ^ new.addresses.keys())]
    addresses = dict(old.addresses)
    for name in sorted(old.addresses.keys() & new.addresses.keys()):
        before, after = old.addresses[name], new.addresses[name]
        soft = {"site": after.site, "nodes": after.nodes, "prefer": after.prefer, "hold": after.hold}
        addresses[name] = before.model_copy(update=soft)
        later += [] if addresses[name] == after else [f"virtual_addresses.{name}"]
    cluster = old.cluster
    if old.node in new.cluster.nodes:
        cluster = cluster.model_copy(update={"nodes": new.cluster.nodes})
    else:
        later.append(f"cluster.nodes: {old.node} is no longer one of them; drain and stop it")
    return replace(old, cluster=cluster, addresses=addresses, hash=new.hash), tuple(later)


def nodes_now(shape: Shape, in_force: InForce | None) -> tuple[str, ...]:
    """Give who is of the cluster: the longer list while the values in force are others than ours (operations M17)."""
    return tuple(sorted({*shape.cluster.nodes, *(in_force.nodes if in_force is not None else ())}))
