"""The drill's network: every way from host to host leads through a gate, and nothing else has changed."""

import sys
from pathlib import Path

from coordinator.settings.cluster import Cluster
from node.app.demo_cluster import ADDRESS, ETCD_PORT, NODES, PORT, PROBE_PORT, configuration, services
from node.app.drill_network import INNER, by_gates, clock_of, layout, wires
from node.rehearsal.drill.network import UPSTREAM, Service

READY = {
    "tenant": "t",
    "client": "c",
    "host": "127.0.0.1",
    "smtp": 1587,
    "entra": "https://127.0.0.1:1443/",
    "ca": "ca",
}
HOME = Path("/home")


def told(node):
    return configuration(HOME, node, READY, layout=layout(HOME))


def test_whatever_others_are_told_of_is_a_gate_that_leads_to_where_it_is_bound():
    gates = {wire.listen: wire for wire in wires(READY)}
    for node, own in NODES.items():
        plain = told(node)
        cluster = Cluster.model_validate(plain["cluster"])
        assert cluster.bound(node) == INNER[node]
        bound = {
            (own, cluster.ports.node): (INNER[node], cluster.ports.node),
            (own, cluster.ports.coordinator): (INNER[node], cluster.ports.coordinator),
            (own, PORT): (plain["listeners"]["smtp"]["address"], PORT),
            (own, PROBE_PORT): (plain["virtual_addresses"]["smtp"]["probe"]["address"], PROBE_PORT),
        }
        for listen, target in bound.items():
            assert (gates[listen].target, gates[listen].host) == (target, node)
        assert f"{own}:{ETCD_PORT}" in cluster.etcd
        assert gates[own, ETCD_PORT].service is Service.ETCD
        assert gates[own, ETCD_PORT + 1].service is Service.ETCD_PEERS
    assert not {*INNER.values()} & {*NODES.values(), ADDRESS, "127.0.0.1"}


def test_a_member_of_etcd_listens_inside_and_is_told_of_outside():
    command = next(one.command for one in services(HOME, "etcd", layout(HOME)) if one.name == "etcd of relay-b")
    told_of = {command[at]: command[at + 1] for at in range(1, len(command) - 1) if command[at].startswith("--")}
    for role, port in (("client", ETCD_PORT), ("peer", ETCD_PORT + 1)):
        assert told_of[f"--listen-{role}-urls"].endswith(f"{INNER['relay-b']}:{port}")
    assert told_of["--advertise-client-urls"].endswith(f"{NODES['relay-b']}:{ETCD_PORT}")
    assert told_of["--initial-advertise-peer-urls"].endswith(f"{NODES['relay-b']}:{ETCD_PORT + 1}")
    assert INNER["relay-b"] not in told_of["--initial-cluster"]


def test_nodes_and_coordinators_go_by_a_clock_of_their_own_host():
    for one in services(HOME, "etcd", layout(HOME)):
        what, _, node = one.name.partition(" of ")
        if what != "etcd":
            clock = str(clock_of(HOME, node))
            assert list(one.command[:5]) == [sys.executable, "-m", "node.rehearsal.drill.skewed", clock,
                                             "coordinator" if what == "coordinator" else "node"]  # fmt: skip


def test_the_upstream_is_reached_through_gates():
    submission, sign_in = (wire for wire in wires(READY) if wire.host == UPSTREAM)
    assert (submission.target, sign_in.target) == (("127.0.0.1", 1587), ("127.0.0.1", 1443))
    seen = by_gates(READY, 5001, 5002)
    assert (seen["smtp"], seen["entra"]) == (5001, "https://127.0.0.1:5002/")


def test_without_a_drill_nothing_is_bound_elsewhere():
    plain = configuration(HOME, "relay-a", READY)
    assert "bind" not in plain["cluster"]
    assert plain["listeners"]["smtp"]["address"] == NODES["relay-a"]
    node = next(one for one in services(HOME, "etcd") if one.name == "node of relay-a")
    assert list(node.command[:4]) == [sys.executable, "-m", "node", "run"]
