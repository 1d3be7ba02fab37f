"""Checks between the parts about the cluster that the models alone cannot make; both processes run them.

Each says all it finds through ``Notes`` and stops nothing.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import combinations
from typing import Protocol

from coordinator.settings.cluster import Cluster, Probe, VirtualAddress
from coordinator.settings.endpoints import is_loopback
from coordinator.settings.places import KeyPath

HOLD_MIN_S = 1
NODES_FOR_A_COPY = 2
Ip = IPv4Address | IPv6Address


class Notes(Protocol):
    """Takes what is found, each with its place."""

    def fault(self, path: KeyPath, text: str) -> None:
        """Note what keeps the configuration from being used."""
        ...

    def warn(self, path: KeyPath, text: str) -> None:
        """Note what is usable but doubtful."""
        ...


def check_cluster(notes: Notes, cluster: Cluster) -> None:
    """The nodes can reach one another and etcd, each under its own address."""
    seen: dict[Ip, str] = {}
    for name, node in cluster.nodes.items():
        here: KeyPath = ("cluster", "nodes", name, "address")
        if (other := seen.setdefault(same(node.address), name)) != name:
            notes.fault(here, f"{node.address} is the address of {other} already")
        if (wrong := _unreachable(node.address)) or node.address.is_link_local:
            notes.fault(here, f"{node.address} {wrong or 'counts on one link only'}; others cannot reach a node there")
    local = [name for name, node in cluster.nodes.items() if node.address.is_loopback]
    if 0 < len(local) < len(cluster.nodes):
        notes.fault(("cluster", "nodes", local[0], "address"), "means this machine alone; others cannot reach it")
    if cluster.copies == "required" and len(cluster.nodes) < NODES_FOR_A_COPY:
        notes.fault(("cluster", "copies"), "a second copy needs at least two nodes; nothing would be taken")
    if cluster.ports.node == cluster.ports.coordinator:
        notes.fault(("cluster", "ports", "coordinator"), f"port {cluster.ports.node} is opened by cluster.ports.node")
    _etcd(notes, cluster)


def _etcd(notes: Notes, cluster: Cluster) -> None:
    targets: list[str] = []
    for index, endpoint in enumerate(cluster.endpoints):
        if endpoint.target.lower() in targets:
            notes.fault(("cluster", "etcd", index), f"{endpoint.target} stands in this list already")
        targets.append(endpoint.target.lower())
        if endpoint.plain and not cluster.plain_etcd:
            notes.fault(("cluster", "etcd", index), "http:// beside encrypted members; write all of them one way")
    if all(is_loopback(endpoint.host) for endpoint in cluster.endpoints) and not all(
        node.address.is_loopback for node in cluster.nodes.values()
    ):
        notes.warn(("cluster", "etcd"), "every member is on this machine: each node would use an etcd of its own")


def check_addresses(notes: Notes, cluster: Cluster | None, addresses: Mapping[str, VirtualAddress]) -> None:
    """Each virtual address is free, has a holder that can carry it, and what its driver needs."""
    seen: dict[Ip, str] = {}
    for name, one in addresses.items():
        here: KeyPath = ("virtual_addresses", name)
        if cluster is None:
            notes.fault(here, "a virtual address needs a cluster")
            continue
        if (other := seen.setdefault(same(one.address), name)) != name:
            notes.fault((*here, "address"), f"is the address of {other} already")
        _address(notes, here, one, cluster)
        _holders(notes, here, one, cluster)
        _driver(notes, here, one)
    if cluster is not None:
        _probes(notes, cluster, addresses)


def _address(notes: Notes, here: KeyPath, one: VirtualAddress, cluster: Cluster) -> None:
    place = (*here, "address")
    if any(same(node.address) == same(one.address) for node in cluster.nodes.values()):
        notes.fault(place, "is a node's own address; a virtual one must be free")
    if any(endpoint.host == str(one.address) for endpoint in cluster.endpoints):
        notes.fault(place, "is a member of etcd; an address that etcd moves cannot lead to it")
    if wrong := _unreachable(one.address):
        notes.fault(place, f"{one.address} {wrong}; nobody can use it")
    elif one.address.is_link_local and one.interface is None:
        notes.fault(here, f"{one.address} counts on one link only; say which by interface")
    elif one.address.is_loopback and not all(node.address.is_loopback for node in cluster.nodes.values()):
        notes.fault(place, f"{one.address} means each machine itself; nobody else can use it")


def _holders(notes: Notes, here: KeyPath, one: VirtualAddress, cluster: Cluster) -> None:
    sites = {node.site for node in cluster.nodes.values()}
    if one.site is not None and one.site not in sites:
        notes.fault((*here, "site"), f"no node stands in {one.site}; sites: {', '.join(sorted(sites))}")
    named = [*(((*here, "nodes", index), name) for index, name in enumerate(one.nodes))]
    for place, name in [*named, *([((*here, "prefer"), one.prefer)] if one.prefer is not None else [])]:
        if name not in cluster.nodes:
            notes.fault(place, f"{name} is none of the nodes: {', '.join(cluster.nodes)}")
        elif one.site is not None and one.site in sites and cluster.nodes[name].site != one.site:
            notes.fault(place, f"{name} does not stand in site {one.site}")
    if one.prefer is not None and one.nodes and one.prefer not in one.nodes:
        notes.fault((*here, "prefer"), f"{one.prefer} is not among its own nodes: {', '.join(one.nodes)}")
    if one.site is None and not one.nodes and len(sites) > 1:
        notes.warn(here, "neither site nor nodes: any site may take it, and the others cannot route to it")


def _driver(notes: Notes, here: KeyPath, one: VirtualAddress) -> None:
    if one.driver == "hook" and one.hook is None:
        notes.fault(here, "driver hook needs hook: the program to call")
    if one.driver == "probe" and one.probe is None:
        notes.fault(here, "driver probe needs probe: the port a load balancer asks, such as probe: {port: 8026}")
    given = {"hook": one.hook, "probe": one.probe, "netlink": one.interface}
    for driver, value in given.items():
        key = "interface" if driver == "netlink" else driver
        if value is not None and one.driver != driver:
            notes.warn((*here, key), f"is only for driver {driver}, so without effect")
    if one.hold < HOLD_MIN_S:
        notes.fault((*here, "hold"), f"expected at least {HOLD_MIN_S}s, or the address would go to and fro")


def _probes(notes: Notes, cluster: Cluster, addresses: Mapping[str, VirtualAddress]) -> None:
    """Probes on one port are one listener, and none is where the peers are."""
    asked = [(name, one.probe) for name, one in addresses.items() if one.driver == "probe" and one.probe is not None]
    for name, probe in asked:
        for role in ("node", "coordinator"):
            if getattr(cluster.ports, role) == probe.port:
                here: KeyPath = ("virtual_addresses", name, "probe", "port")
                notes.fault(here, f"port {probe.port} is opened by cluster.ports.{role} already")
    for (first, one), (second, other) in combinations(asked, 2):
        if one.port == other.port and bound(one) != bound(other) and "" in (bound(one), bound(other)):
            there: KeyPath = ("virtual_addresses", second, "probe")
            notes.fault(there, f"port {one.port} is opened by {first} on another address; give both the same")


def bound(probe: Probe) -> str:
    """Give the address a probe is answered at; empty for every address."""
    return "" if probe.address is None or probe.address.is_unspecified else str(probe.address)


def same(address: Ip) -> Ip:
    """Give an IPv4 address written as IPv6 (``::ffff:10.1.0.11``) as what it is."""
    return getattr(address, "ipv4_mapped", None) or address


def _unreachable(address: Ip) -> str:
    """Say why nothing can be at an address; empty when something can."""
    if address.is_unspecified:
        return "is no address but a sign for all of them"
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        return "is for many hosts at once"
    return "names an interface, which differs between hosts" if getattr(address, "scope_id", None) else ""
