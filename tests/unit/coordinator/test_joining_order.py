"""Which member of etcd a node asks first."""

import pytest

from coordinator.joining import nearest_first
from coordinator.settings.cluster import Cluster


def cluster(*etcd: str) -> Cluster:
    nodes = {f"relay-{letter}": {"site": "dc1", "address": f"10.1.0.1{number}"} for number, letter in enumerate("abc")}
    return Cluster.model_validate({"name": "corp", "nodes": nodes, "etcd": etcd, "pki": "/pki"})


def hosts(found) -> list[str]:
    return [endpoint.host for endpoint in found]


@pytest.mark.parametrize(("node", "first"), [("relay-a", "etcd-1"), ("relay-b", "etcd-2"), ("relay-c", "etcd-3")])
def test_each_node_begins_with_another_member(node, first):
    found = hosts(nearest_first(cluster("etcd-1", "etcd-2", "etcd-3"), node))
    assert found[0] == first
    assert sorted(found) == ["etcd-1", "etcd-2", "etcd-3"]


@pytest.mark.parametrize("node", ["relay-a", "relay-b", "relay-c"])
def test_the_member_on_the_own_host_comes_first(node):
    made = cluster("10.1.0.12", "10.1.0.10", "10.1.0.11", "witness")
    assert hosts(nearest_first(made, node))[0] == str(made.nodes[node].address)


def test_one_member_and_a_stranger_are_fine():
    assert hosts(nearest_first(cluster("etcd-1"), "relay-c")) == ["etcd-1"]
    assert hosts(nearest_first(cluster("etcd-1", "etcd-2"), "relay-x")) == ["etcd-1", "etcd-2"]
