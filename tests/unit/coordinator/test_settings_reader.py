"""The coordinator reads its own parts of the node's file: strictly, every fault at once, and nothing else."""

import os
import socket
from contextlib import suppress
from functools import reduce
from operator import getitem

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.settings.cluster import Cluster, VirtualAddress, timing_of
from coordinator.settings.errors import BadSettings
from coordinator.settings.hashing import coordination_hash
from coordinator.settings.reader import Machine, load, read
from coordinator.settings.sources import Source
from coordinator.timing import FAST, STEADY
from node.settings.reader import load as node_load
from tests.support.pki import ClusterAuthority
from tests.support.settings_files import PRODUCTION, TENANT, faults, write

CLUSTER = """\
cluster:
  name: corp
  nodes:
    relay-a: {site: dc1, address: 10.1.0.11}
    relay-b: {site: dc2, address: 10.2.0.11}
  etcd: [etcd-1, etcd-2, etcd-3]
  pki: pki
"""


@pytest.fixture(scope="module")
def authority():
    return ClusterAuthority("corp")


@pytest.fixture
def place(tmp_path, authority):
    authority.write(tmp_path / "pki", "relay-a")
    return tmp_path


def told(place, text, node="relay-a", **machine):
    """Give the settings of a text, or its faults without the directory's name."""
    source = Source(name="relay.yaml", text=text)
    try:
        return read(source, base=place, machine=Machine(node_name=node, **machine))
    except BadSettings as error:
        return [fault.replace(f"{place}/", "") for fault in error.faults]


def test_production_sample(tmp_path):
    ClusterAuthority().write(tmp_path / "pki", "relay-b")
    text = PRODUCTION.read_text().replace("/etc/m365-relay", str(tmp_path))
    found = told(tmp_path, text, None, host="relay-b.corp.example")
    assert found.node == "relay-b"
    assert list(found.virtual_addresses) == ["smtp-dc1", "smtp-dc2"]
    assert str(found.runtime) == "/run/m365-relay"
    assert str(found.own.state) == "/var/lib/m365-relay-coordinator"
    assert (found.log_level, found.hostname, found.warnings) == ("info", None, ())
    node = node_load(write(tmp_path, text), host="relay-b", here=False)
    assert node.coordination_hash == found.config_hash
    assert node.settings.cluster == found.cluster
    assert (node.settings.runtime, node.settings.coordinator.state) == (found.runtime, found.own.state)


def test_every_key_of_its_own(place):
    write(place, "s3", "password")
    text = (
        CLUSTER
        + """\
  ports: {node: 17711, coordinator: 17712}
  timing: fast
  fallback: false
  early_takeover: false
  prefix: /other
  login: {user: relay, password: {file: password}}
virtual_addresses:
  a: {address: 10.1.0.10, site: dc1, interface: ens192, hold: 5m}
  b: {address: "fd00::10", driver: probe, probe: {port: 8026, address: 10.1.0.11}, nodes: [relay-a]}
  c: {address: 10.1.0.12, driver: hook, hook: /bin/true, site: dc1}
runtime: run
coordinator: {state: state}
hostname: relay-a.corp
telemetry: {log_level: debug, anything: else}
"""
    )
    found = told(place, text)
    assert found.warnings == ()
    cluster, addresses = found.cluster, found.virtual_addresses
    assert (cluster.ports.node, cluster.ports.coordinator, cluster.prefix) == (17711, 17712, "/other")
    assert cluster.login.password.file == place / "password"
    assert not cluster.fallback
    assert not cluster.early_takeover
    assert (addresses["a"].interface, addresses["a"].hold) == ("ens192", 300)
    assert addresses["b"].probe.port == 8026
    assert str(addresses["c"].hook) == "/bin/true"
    assert (found.runtime, found.own.state) == (place / "run", place / "state")
    assert (found.hostname, found.log_level) == ("relay-a.corp", "debug")


def test_mistakes_in_the_nodes_parts_are_the_nodes(place):
    found = told(place, CLUSTER + "tenants: 5\nclients: {a: b}\nlimtis: {}\nlisteners: {a: {port: many}}\n")
    assert found.node == "relay-a"


ROWS = {
    "unknown key": ("  timming: fast\n", "8:3: cluster.timming: unknown key; did you mean timing?"),
    "unknown key below": ("  ports: {nod: 1}\n", "8:11: cluster.ports.nod: unknown key; did you mean node?"),
    "unknown key of an address": (
        "virtual_addresses: {a: {address: 10.1.0.9, site: dc1, nod: [x]}}",
        "virtual_addresses.a.nod: unknown key; did you mean nodes?",
    ),
    "unknown key of its own part": (
        "coordinator: {sate: x}",
        "8:15: coordinator.sate: unknown key; did you mean state?",
    ),
    "prefix": ("  prefix: m365/\n", "cluster.prefix: expected the first part of a key such as /m365-relay"),
    "port 0": ("  ports: {node: 0}\n", "cluster.ports.node: expected a value from 1, found 0"),
    "equal ports": ("  ports: {node: 7712}\n", "cluster.ports.coordinator: port 7712 is opened by cluster.ports.node"),
    "login in clear": (
        "  login: {user: relay, password: hunter2}\n",
        "cluster.login.password: expected where the secret lies",
    ),
    "login without its file": (
        "  login: {user: relay, password: {file: gone}}\n",
        "cluster.login.password: secret file gone: No such file",
    ),
    "state elsewhere": ("coordinator: {state: 5}", "coordinator.state: expected a path, found 5"),
    "log level": ("telemetry: {log_level: loud}", "telemetry.log_level: expected one of debug, info, warning, error"),
    "telemetry": ("telemetry: loud", "telemetry: expected a map"),
    "given twice": ("runtime: a\nruntime: b", "9:1: runtime: given twice; the first is at line 8"),
}
ADDRESS_ROWS = {
    "unspecified": ("{address: 0.0.0.0, site: dc1}", "a.address: 0.0.0.0 is no address but a sign for all of them"),
    "multicast": ("{address: ff02::1, site: dc1}", "a.address: ff02::1 is for many hosts at once"),
    "broadcast": ("{address: 255.255.255.255, site: dc1}", "is for many hosts at once"),
    "loopback": ("{address: 127.0.0.1, site: dc1}", "a.address: 127.0.0.1 means each machine itself"),
    "a scope": ('{address: "fe80::1%eth0", site: dc1}', "a.address: fe80::1%eth0 names an interface"),
    "link local": ('{address: "fe80::1", site: dc1}', "a: fe80::1 counts on one link only; say which by interface"),
    "a node's": ("{address: 10.2.0.11, site: dc1}", "a.address: is a node's own address"),
    "a node's as IPv6": ('{address: "::ffff:10.2.0.11", site: dc1}', "a.address: is a node's own address"),
    "unknown site": ("{address: 10.1.0.9, site: dc9}", "a.site: no node stands in dc9; sites: dc1, dc2"),
    "unknown node": ("{address: 10.1.0.9, nodes: [relay-a, relay-z]}", "a.nodes[1]: relay-z is none of the nodes"),
    "node of another site": (
        "{address: 10.1.0.9, site: dc1, nodes: [relay-b]}",
        "a.nodes[0]: relay-b does not stand in site dc1",
    ),
    "preferred of another site": (
        "{address: 10.1.0.9, site: dc1, prefer: relay-b}",
        "a.prefer: relay-b does not stand in site dc1",
    ),
    "preferred not among its nodes": (
        "{address: 10.1.0.9, nodes: [relay-a], prefer: relay-b}",
        "a.prefer: relay-b is not among its own nodes: relay-a",
    ),
    "hook without program": ("{address: 10.1.0.9, site: dc1, driver: hook}", "a: driver hook needs hook"),
    "hook that is relative": (
        "{address: 10.1.0.9, site: dc1, driver: hook, hook: bin/move}",
        "a.hook: expected the absolute path of a program, not 'bin/move'",
    ),
    "hook that climbs": (
        "{address: 10.1.0.9, site: dc1, driver: hook, hook: /opt/../move}",
        "a.hook: expected the absolute path",
    ),
    "hook that is not there": (
        "{address: 10.1.0.9, site: dc1, driver: hook, hook: /gone/move}",
        "a.hook: /gone/move is no file",
    ),
    "probe without port": ("{address: 10.1.0.9, site: dc1, driver: probe}", "a: driver probe needs probe"),
    "probe at a peers' port": (
        "{address: 10.1.0.9, site: dc1, driver: probe, probe: {port: 7712}}",
        "a.probe.port: port 7712 is opened by cluster.ports.coordinator already",
    ),
    "interface with a slash": (
        "{address: 10.1.0.9, site: dc1, interface: a/b}",
        "a.interface: expected the name of an interface such as ens192, not 'a/b'",
    ),
    "interface too long": (
        "{address: 10.1.0.9, site: dc1, interface: abcdefghijklmnop}",
        "a.interface: expected the name",
    ),
    "interface of dots": ('{address: 10.1.0.9, site: dc1, interface: ".."}', "a.interface: expected the name"),
    "hold without unit": ("{address: 10.1.0.9, site: dc1, hold: 60}", "a.hold: expected a time with its unit"),
    "hold too short": ("{address: 10.1.0.9, site: dc1, hold: 500ms}", "a.hold: expected at least 1s"),
}
CLUSTER_ROWS = {
    "same address": (("10.2.0.11", "10.1.0.11"), "cluster.nodes.relay-b.address: 10.1.0.11 is the address of relay-a"),
    "same address as IPv6": (
        ("10.2.0.11", '"::ffff:10.1.0.11"'),
        "cluster.nodes.relay-b.address: ::ffff:a01:b is the address of relay-a",
    ),
    "unspecified": (("10.2.0.11", '"::"'), "cluster.nodes.relay-b.address: :: is no address but a sign"),
    "loopback beside others": (("10.2.0.11", "127.0.0.2"), "cluster.nodes.relay-b.address: means this machine alone"),
    "link local": (("10.2.0.11", '"fe80::2"'), "cluster.nodes.relay-b.address: fe80::2 counts on one link only"),
    "name too long": (
        ("relay-b", "b" * 64),
        "expected a name of letters, digits, dots, dashes (at most 63 characters)",
    ),
    "cluster's name": (("name: corp", "name: Corp"), "cluster.name: expected a name of small letters"),
    "etcd twice": (("etcd-2", "ETCD-1:2379"), "6:18: cluster.etcd[1]: ETCD-1:2379 stands in this list already"),
    "etcd mixed": (
        ("etcd-2", "http://127.0.0.1"),
        "6:18: cluster.etcd[1]: http:// beside encrypted members; write all of them one way",
    ),
    "etcd over a network in clear": (
        ("etcd-2", "http://etcd-2"),
        "6:18: cluster.etcd[1]: http:// is for a member on this machine only",
    ),
    "etcd's port": (("etcd-2", "etcd-2:99999"), "6:18: cluster.etcd[1]: expected a member of etcd such as"),
    "no etcd": (("[etcd-1, etcd-2, etcd-3]", "[]"), "cluster.etcd: expected at least 1 entry"),
    "no pki": (("  pki: pki\n", ""), "1:1: cluster.pki: is missing"),
    "no certificates": (("pki: pki", "pki: gone"), "cluster.pki: gone: No such file or directory"),
}


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS.keys())
def test_faults(place, text, expected):
    found = told(place, CLUSTER + text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(("text", "expected"), ADDRESS_ROWS.values(), ids=ADDRESS_ROWS.keys())
def test_faults_of_an_address(place, text, expected):
    found = told(place, f"{CLUSTER}virtual_addresses:\n  a: {text}\n")
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("relay.yaml:9:")


@pytest.mark.parametrize(("change", "expected"), CLUSTER_ROWS.values(), ids=CLUSTER_ROWS.keys())
def test_faults_of_the_cluster(place, change, expected):
    found = told(place, CLUSTER.replace(*change))
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize("rows", [ROWS, ADDRESS_ROWS, CLUSTER_ROWS])
def test_the_node_finds_the_same(place, rows):
    """What the coordinator refuses, the node refuses with the same words (but for files, looked at elsewhere)."""
    for name, (row, expected) in rows.items():
        if rows is CLUSTER_ROWS:
            text = CLUSTER.replace(*row)
        else:
            text = f"{CLUSTER}virtual_addresses:\n  a: {row}\n" if rows is ADDRESS_ROWS else CLUSTER + row
        if "No such file" not in expected and "is no file" not in expected:
            found = faults(place, text + "\n" + TENANT)
            assert any(expected in fault for fault in found), (name, found)


def test_every_fault_at_once_in_the_order_of_the_file(place):
    text = CLUSTER.replace("etcd-2", "etcd-1").replace("10.2.0.11", "10.1.0.11") + (
        "virtual_addresses:\n  a: {address: 10.1.0.9, site: dc9, hold: 1ms}\nruntime: []\n"
    )
    found = told(place, text)
    assert [fault.split(": ")[1] for fault in found] == [
        "cluster.nodes.relay-b.address",
        "cluster.etcd[1]",
        "virtual_addresses.a.site",
        "virtual_addresses.a.hold",
        "runtime",
    ]


FILES = {
    "empty": ("", "the file is empty"),
    "a list": ("[]", "expected keys such as cluster:"),
    "no cluster": (TENANT, "cluster is missing: a single node coordinates itself"),
    "cluster of nothing": ("cluster:\n", "cluster is missing"),
    "no YAML": ("cluster: [", "not YAML"),
    "an alias": ("a: &a 1\ncluster: *a\n", "aliases (*name) are not taken"),
}


@pytest.mark.parametrize(("text", "expected"), FILES.values(), ids=FILES.keys())
def test_files_that_are_none(place, text, expected):
    found = told(place, text)
    assert len(found) == 1, found
    assert expected in found[0]


def test_the_nodes_name(place):
    (fault,) = told(place, CLUSTER, "relay-z")
    assert "cluster.nodes: relay-z is none of the nodes: relay-a, relay-b" in fault
    (fault,) = told(place, CLUSTER, None, host="printer.corp")
    assert "printer (its host name); say --node is none of the nodes" in fault
    (fault,) = told(place, CLUSTER, "relay-b")
    assert "pki/node.pem is relay://corp/relay-a, not relay://corp/relay-b" in fault
    assert told(place, CLUSTER, None, host="relay-a.corp.example").node == "relay-a"
    renamed = told(place, CLUSTER.replace("relay-b", "b.corp"), None, host="relay-a")
    assert renamed.node == "relay-a"


def test_doubts_are_warnings(place):
    text = CLUSTER.replace("[etcd-1, etcd-2, etcd-3]", "[localhost]") + (
        "virtual_addresses:\n  a: {address: 10.1.0.9, interface: lo, driver: hook, hook: /bin/true, probe: {port: 1}}\n"
    )
    assert [warning.split(": ", 1)[1] for warning in told(place, text).warnings] == [
        "cluster.etcd: every member is on this machine: each node would use an etcd of its own",
        "virtual_addresses.a: neither site nor nodes: any site may take it, and the others cannot route to it",
        "virtual_addresses.a.interface: is only for driver netlink, so without effect",
        "virtual_addresses.a.probe: is only for driver probe, so without effect",
    ]


def test_probes_may_share_a_listener_but_not_half_of_it(place):
    base = CLUSTER + (
        "virtual_addresses:\n"
        "  a: {address: 10.1.0.9, site: dc1, driver: probe, probe: {port: 8026}}\n"
        "  b: {address: 10.1.0.8, site: dc1, driver: probe, probe: {port: 8026%s}}\n"
    )
    assert told(place, base % "").node == "relay-a"
    (fault,) = told(place, base % ", address: 10.1.0.11")
    assert "virtual_addresses.b.probe: port 8026 is opened by a on another address; give both the same" in fault


def test_ports_of_the_cluster_are_taken_into_account_by_the_node(place):
    text = (
        TENANT + CLUSTER + "virtual_addresses: {a: {address: 10.1.0.9, site: dc1, driver: probe, probe: {port: 587}}}\n"
    )
    (fault,) = faults(place, text)
    assert "virtual_addresses.a.probe.port: port 587 is opened by listeners.submission already" in fault
    (fault,) = faults(place, TENANT + CLUSTER + "listeners: {a: {port: 7711}}\n")
    assert "cluster.ports.node: port 7711 is opened by listeners.a already" in fault
    own = "listeners: {a: {port: 7711, address: 10.1.0.12}}\n"
    assert node_load(write(place, TENANT + CLUSTER + own), node_name="relay-a", here=False)


def test_load_reads_the_file_of_this_machine(place, authority):
    path = write(place, CLUSTER.replace("relay-a", socket.gethostname().partition(".")[0]))
    authority.write(place / "pki", socket.gethostname().partition(".")[0])
    assert load(path).node == socket.gethostname().partition(".")[0]
    with pytest.raises(BadSettings, match="relay-q is none"):
        load(path, "relay-q")
    with pytest.raises(BadSettings, match="no such file"):
        load(place / "gone.yaml")
    with pytest.raises(BadSettings, match="is a directory"):
        load(place)
    os.mkfifo(place / "latin")
    (place / "latin").unlink()
    (place / "latin").write_bytes(b"cluster: \xff")
    with pytest.raises(BadSettings, match="not text in UTF-8"):
        load(place / "latin")


def cluster_of(**more) -> Cluster:
    nodes = {"relay-a": {"site": "dc1", "address": "10.1.0.11"}}
    return Cluster.model_validate({"name": "corp", "nodes": nodes, "etcd": ["etcd-1"], "pki": "/pki", **more})


def test_timing_follows_preset_fallback_and_hold():
    assert timing_of(cluster_of()) == STEADY
    assert timing_of(cluster_of(timing="fast")) == FAST
    assert timing_of(cluster_of(fallback=False)).takeover_wait_ms == 0
    address = VirtualAddress.model_validate({"address": "10.1.0.9", "hold": "90s"})
    found = timing_of(cluster_of(timing="fast"), address)
    assert (found.ttl_ms, found.hold_ms, found.takeover_wait_ms) == (5_000, 90_000, 3_000)


def test_peers_are_listened_for_at_the_nodes_own_address_or_at_another():
    assert cluster_of().bound("relay-a") == "10.1.0.11"
    assert cluster_of(bind="172.17.0.2").bound("relay-a") == "172.17.0.2"


def test_the_hash_tells_what_coordinators_must_agree_on():
    address = VirtualAddress.model_validate({"address": "10.1.0.9"})
    one = coordination_hash(cluster_of(), {"a": address})
    assert one == coordination_hash(cluster_of(copies="preferred", fallback=True), {"a": address})
    assert one == coordination_hash(cluster_of(pki="elsewhere"), {"a": address})
    assert one == coordination_hash(cluster_of(bind="0.0.0.0"), {"a": address})
    probed = [
        VirtualAddress.model_validate(
            {"address": "10.1.0.9", "driver": "probe", "probe": {"port": 8710, "address": own}}
        )
        for own in ("10.1.0.11", "10.1.0.12")
    ]
    assert len({coordination_hash(cluster_of(), {"a": each}) for each in probed}) == 1
    moved = VirtualAddress.model_validate({"address": "10.1.0.9", "hold": "90s"})
    others = [
        coordination_hash(cluster_of(fallback=False), {"a": address}),
        coordination_hash(cluster_of(), {"a": moved}),
        coordination_hash(cluster_of(), {"b": address}),
        coordination_hash(cluster_of(), {}),
    ]
    assert len({one, *others}) == 5


def test_the_node_leaves_its_own_part_out_of_the_clusters_hash(place):
    texts = [TENANT + CLUSTER + more for more in ("", "coordinator: {state: /x}\n", "virtual_addresses: {}\n")]
    hashes = {node_load(write(place, text), node_name="relay-a", here=False).cluster_hash for text in texts}
    assert len(hashes) == 1


NASTY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.sampled_from(["", "0.0.0.0", "::", "fe80::1%x", "http://", "999999999999999d", "relay-a", "/", "..", "{}"]),
    st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)  # fmt: skip
PLACES = [
    ("cluster",), ("cluster", "name"), ("cluster", "nodes"), ("cluster", "nodes", "relay-a"), ("runtime",),
    ("cluster", "nodes", "relay-a", "address"), ("cluster", "nodes", "relay-a", "site"), ("cluster", "etcd"),
    ("cluster", "etcd", 0), ("cluster", "pki"), ("cluster", "prefix"), ("cluster", "ports"), ("cluster", "timing"),
    ("cluster", "ports", "node"), ("cluster", "login"), ("cluster", "fallback"), ("telemetry",), ("coordinator",),
    ("virtual_addresses",), ("virtual_addresses", "a"), ("virtual_addresses", "a", "address"), ("hostname",),
    ("virtual_addresses", "a", "nodes"), ("virtual_addresses", "a", "hook"), ("virtual_addresses", "a", "probe"),
    ("virtual_addresses", "a", "hold"), ("virtual_addresses", "a", "interface"), ("virtual_addresses", "a", "driver"),
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_the_file_is_taken_or_refused_with_a_place(place, data):
    tree = yaml.safe_load(CLUSTER + "virtual_addresses: {a: {address: 10.1.0.9, site: dc1}}\n")
    for path in data.draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        value = data.draw(NASTY)
        with suppress(KeyError, IndexError, TypeError):  # a part drawn before may have taken the place away
            reduce(getitem, path[:-1], tree)[path[-1]] = value
    found = told(place, yaml.safe_dump(tree, allow_unicode=True))
    assert not isinstance(found, list) or all(fault.startswith("relay.yaml") and "\n" not in fault for fault in found)
