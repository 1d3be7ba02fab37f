"""What the collection decides by itself, without a host."""

import base64
import json

import pytest

from tests.ansible.support import plugin

CERTIFICATES, CONFIGURATION = plugin("filter", "certificates"), plugin("filter", "configuration")
INVENTORY, PREFLIGHT = plugin("filter", "inventory"), plugin("filter", "preflight")
WISHES = plugin("filter", "wishes")

HOSTS = {
    "a": {"relay_site": "dc1", "ansible_host": "10.1.0.11", "relay_node_name": "relay-a"},
    "b": {"relay_site": "dc1", "ansible_host": "10.1.0.12", "relay_node_name": "relay-b"},
    "c": {"relay_site": "dc2", "ansible_host": "10.2.0.11", "relay_node_name": "relay-c"},
}
ADDRESSES = [{"address": "10.1.0.10/32", "site": "dc1", "driver": "netlink"}]
LIMITS = {
    "clock_ms": 500, "fsync_ms": 50, "free_mib": 2048, "memory_mib": 900, "capabilities": ["CAP_NET_ADMIN"],
    "other_python": False,
}  # fmt: skip
SEEN = {
    "offset_ms": 12.0, "uncertain_ms": 3.0,
    "disks": {"/var/lib/etcd": {"type": "ext4", "fsync_ms": 3, "free_mib": 9000}},
    "capabilities": ["CAP_NET_ADMIN"], "listeners": {25: "relay-node"}, "python": "3.11.2", "systemd": 252,
    "memory_mib": 4000,
}  # fmt: skip


def plan(hosts=HOSTS, relays=("a", "b", "c"), members=("a", "b", "c"), cluster="corp", addresses=ADDRESSES):
    return PREFLIGHT.plan_faults(hosts, list(relays), list(members), cluster, addresses)


def test_a_change_of_authority_goes_through_trust_in_both():
    state, seen = {"issuer": 1, "trusted": [1]}, []
    for step in ("keep", "introduce", "change", "withdraw"):
        state = CERTIFICATES.authority_step(state, step)
        seen.append((state["issuer"], state["trusted"]))
    assert seen == [(1, [1]), (1, [1, 2]), (2, [1, 2]), (2, [2])]


@pytest.mark.parametrize("state", [(1, [1]), (1, [1, 2]), (2, [1, 2])])
def test_an_interrupted_change_is_taken_up_where_it_was(state):
    found = {"issuer": state[0], "trusted": state[1]}
    for step in ("introduce", "change", "withdraw"):
        found = CERTIFICATES.authority_step(found, step)
    assert found == {"issuer": 2, "trusted": [2]}


def test_an_unknown_step_is_refused():
    with pytest.raises(ValueError, match="unknown step"):
        CERTIFICATES.authority_step({"issuer": 1, "trusted": [1]}, "forget")


def test_the_cluster_comes_from_the_inventory():
    found = CONFIGURATION.with_cluster(
        {"cluster": {"timing": "fast"}, "plans": {}}, HOSTS, ["a", "c"], ["b"], "corp", ADDRESSES
    )
    assert found == {
        "cluster": {
            "name": "corp",
            "nodes": {
                "relay-a": {"site": "dc1", "address": "10.1.0.11"},
                "relay-c": {"site": "dc2", "address": "10.2.0.11"},
            },
            "etcd": ["10.1.0.12"],
            "pki": "/etc/m365-relay/pki",
            "timing": "fast",
        },
        "plans": {},
        "virtual_addresses": {"smtp-dc1": {"address": "10.1.0.10", "driver": "netlink", "site": "dc1"}},
    }


def test_what_the_inventory_knows_may_not_be_said_twice():
    with pytest.raises(ValueError, match="name, nodes"):
        CONFIGURATION.with_cluster({"cluster": {"nodes": {}, "name": "x"}}, HOSTS, ["a"], ["a"], "corp", [])


def test_addresses_of_a_site_get_names_of_their_own():
    addresses = [{"address": f"10.1.0.{n}/32", "site": "dc1"} for n in (10, 20)]
    assert list(CONFIGURATION.virtual(addresses)) == ["smtp-dc1", "smtp-dc1-2"]


def test_an_address_with_a_network_is_refused():
    with pytest.raises(ValueError, match="/32"):
        CONFIGURATION.virtual([{"address": "10.1.0.10/24", "site": "dc1"}])


@pytest.mark.parametrize(
    ("secrets", "wanted"),
    [
        ({"key": "hunter2"}, "plain text"),
        ({"key": {"from_file": "/a", "from_env": "B"}}, "exactly one"),
        ({"key": {}}, "exactly one"),
        ({"key": {"lookup": "x"}}, "term"),
        ({"../key": {"from_file": "/a"}}, "a name has"),
    ],
)
def test_a_secret_is_a_reference(secrets, wanted):
    (fault,) = CONFIGURATION.secret_faults(secrets)
    assert wanted in fault
    assert "hunter2" not in fault


def test_references_are_taken():
    assert CONFIGURATION.secret_faults({"a": {"from_file": "/a"}, "b": {"lookup": "x", "term": "y"}}) == []


def test_a_first_configuration_needs_no_restart():
    assert CONFIGURATION.restart_keys("") == []
    assert CONFIGURATION.restart_keys('{"reloadable": ["x"], "needs_restart": ["spool: a -> b"]}') == ["spool: a -> b"]


def test_a_good_plan_has_no_fault():
    assert plan() == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"members": ("a",)}, "group etcd has 1 host: needs 3 or 5"),
        ({"members": ("a", "b")}, "group etcd has 2 hosts: needs 3 or 5"),
        (
            {"members": ("a", "b", "c", "d"), "hosts": HOSTS | {"d": {"ansible_host": "10.1.0.14"}}},
            "group etcd has 4 hosts",
        ),
        ({"relays": ("a",)}, "group relay has 1 host: a cluster needs at least 2"),
        ({"cluster": None}, "relay_cluster_name: expected a name"),
        ({"cluster": "Corp Mail"}, "relay_cluster_name: expected a name"),
        (
            {"hosts": HOSTS | {"b": {"ansible_host": "10.1.0.12"}}},
            "b: relay_site: expected the name",
        ),
        ({"hosts": HOSTS | {"b": HOSTS["b"] | {"relay_site": 7}}}, "b: relay_site"),
        (
            {"hosts": HOSTS | {"b": HOSTS["b"] | {"relay_node_name": "relay-a"}}},
            "b: relay_node_name relay-a is that of a",
        ),
        ({"hosts": HOSTS | {"b": HOSTS["b"] | {"relay_node_name": "root"}}}, "etcd's administrator"),
        ({"hosts": HOSTS | {"b": HOSTS["b"] | {"ansible_host": "b.corp"}}}, "b: relay_address: expected an IP address"),
        (
            {"hosts": HOSTS | {"b": HOSTS["b"] | {"ansible_host": "10.1.0.11"}}},
            "address 10.1.0.11 is that of a as well",
        ),
        ({"addresses": "10.1.0.10"}, "relay_addresses: expected a list, not str"),
        ({"addresses": ["10.1.0.10"]}, "relay_addresses[0]: expected address, site and driver"),
        ({"addresses": [{"address": "10.1.0.10/24", "site": "dc1"}]}, "expected an address such as 10.0.0.50/32"),
        ({"addresses": [{"address": "10.1.0.10/32", "site": "dc9"}]}, "no host of group relay is in 'dc9'"),
        ({"addresses": [{"address": "10.1.0.10/32", "site": "dc1", "driver": "vrrp"}]}, "expected one of netlink"),
        ({"addresses": [{"address": "10.1.0.11/32", "site": "dc1"}]}, "is the own address of a"),
    ],
)
def test_a_plan_that_cannot_work_is_named(changes, wanted):
    found = plan(**changes)
    assert any(wanted in fault for fault in found), found


def test_every_fault_is_told_at_once():
    assert len(plan(members=("a", "b"), relays=("a",), cluster=None)) == 3


def test_a_good_host_has_no_fault():
    assert PREFLIGHT.host_faults(SEEN, LIMITS) == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"offset_ms": -5200.0}, "its clock is -5.2 s off"),
        ({"disks": {"/var/lib/etcd": {"type": "nfs4", "fsync_ms": 3, "free_mib": 9000}}}, "network file system"),
        ({"disks": {"/var/lib/etcd": {"type": "ext4", "fsync_ms": 300, "free_mib": 9000}}}, "takes 300 ms"),
        ({"disks": {"/var/lib/etcd": {"type": "ext4", "fsync_ms": 3, "free_mib": 10}}}, "10 MiB free"),
        ({"capabilities": []}, "no service here may have CAP_NET_ADMIN"),
        ({"listeners": {25: "master"}}, "port 25 is taken by master"),
        ({"python": "3.9.18"}, "3.11 or later"),
        ({"systemd": 247}, "systemd 247"),
        ({"systemd": 0}, "systemd is missing"),
        ({"memory_mib": 512}, "512 MiB of memory"),
    ],
)
def test_a_host_that_cannot_carry_it_is_named(changes, wanted):
    (fault,) = PREFLIGHT.host_faults(SEEN | changes, LIMITS)
    assert wanted in fault


def test_a_slow_answer_is_no_proof_of_a_wrong_clock():
    assert PREFLIGHT.host_faults(SEEN | {"offset_ms": 900.0, "uncertain_ms": 450.0}, LIMITS) == []


def test_an_address_somebody_else_has_is_refused_and_our_own_is_not():
    free = {"interface": "eth0", "here": False, "answered": ""}
    taken = free | {"answered": "52:54:00:00:00:01"}
    wanted = "10.1.0.10/32"
    (fault,) = PREFLIGHT.address_faults({"a": {wanted: free}, "b": {wanted: taken}, "c": {}}, ADDRESSES, HOSTS)
    assert fault.startswith("b: 10.1.0.10/32 is answered for by 52:54:00:00:00:01")
    ours = {"a": {wanted: free | {"here": True}}, "b": {wanted: taken}}
    assert PREFLIGHT.address_faults(ours, ADDRESSES, HOSTS) == []


def test_an_address_out_of_the_host_s_networks_is_refused():
    nowhere = {"interface": "", "here": False, "answered": ""}
    (fault,) = PREFLIGHT.address_faults({"a": {"10.1.0.10/32": nowhere}}, ADDRESSES, HOSTS)
    assert "lies in no network of this host" in fault


LISTED = {
    "members": [
        {"ID": 10, "name": "a", "peerURLs": ["https://10.1.0.11:2380"], "clientURLs": ["https://10.1.0.11:2379"]},
        {"ID": 255, "name": "b", "peerURLs": ["https://10.1.0.12:2380"]},
        {"ID": 11, "peerURLs": ["https://10.2.0.11:2380"]},
    ]
}


@pytest.mark.parametrize(
    ("name", "url", "wanted"),
    [
        ("a", "https://10.1.0.11:2380", {"state": "lost", "id": "a"}),
        ("b", "https://10.1.0.12:2380", {"state": "late", "id": "ff"}),
        ("c", "https://10.2.0.11:2380", {"state": "announced", "id": "b"}),
        ("d", "https://10.2.0.12:2380", {"state": "unknown", "id": ""}),
    ],
)
def test_a_host_without_data_is_known_by_what_the_cluster_says(name, url, wanted):
    assert INVENTORY.member_standing(LISTED, name, url) == wanted


def test_a_new_member_begins_with_all_that_are_listed():
    found = INVENTORY.initial_cluster(LISTED, "c", "https://10.2.0.11:2380")
    assert found == "a=https://10.1.0.11:2380,b=https://10.1.0.12:2380,c=https://10.2.0.11:2380"


def test_networks_are_told_apart_by_version():
    assert INVENTORY.of_version(["10.0.0.0/8", "fd00::1", "10.1.0.1"], 4) == ["10.0.0.0/8", "10.1.0.1"]


def wish(key, value=None, **facts):
    body = {"form": 1, "wish": json.dumps({"on": True, "until_ms": 0, **facts})} if value is None else value
    return {
        name: base64.b64encode(text.encode()).decode() for name, text in (("key", key), ("value", json.dumps(body)))
    }


def test_wishes_that_have_ended_are_found_and_what_is_not_understood_stays():
    listed = {
        "kvs": [
            wish("/c/control/hold/all"),
            wish("/c/control/drain/a", on=False),
            wish("/c/control/pause", until_ms=10_000),
            wish("/c/control/move/x", until_ms=30_000),
            wish("/c/control/park/y", value={"form": 2}),
            wish("/c/control/park/z", value="garbage"),
        ]
    }
    assert WISHES.ended_wishes(listed, now_s=20.0) == ["/c/control/drain/a", "/c/control/pause"]
    assert WISHES.ended_wishes({}, now_s=20.0) == []
