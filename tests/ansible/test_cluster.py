"""The collection on real hosts: fresh machines become a cluster, that is upgraded, and loses one of them.

Each host boots its own systemd; etcd, TLS, relays, the virtual address in the kernel and ssh are real. In order, with
test_cluster_disasters.py and test_cluster_life.py: later tests take the cluster as earlier ones left it.
"""

import json

import pytest

from tests.ansible.lab_base import REASON, USABLE
from tests.ansible.world import ADDRESS, NODES
from tests.support.sending import Sending, refusals

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not USABLE, reason=REASON),
]
RATE = 100
"""Messages a second while versions change."""
BROKEN = """
raise SystemExit("this version is broken")
"""


def test_plans_that_cannot_work_are_refused_before_anything_is_done(world):
    refused = {
        "group etcd has 1 host": {"members": ("a",), "relays": ("a",)},
        "group etcd has 2 hosts": {"members": ("a", "b"), "relays": ("a", "b")},
        "a secret in plain text": {"relay_secrets": {"app-secret": "hunter2"}},
        "relay_addresses: expected a list": {"relay_addresses": ADDRESS},
        "lies in no network of this host": {"relay_addresses": [{"address": "10.99.0.1/32", "site": "dc1"}]},
    }
    for wanted, changes in refused.items():
        said = world.play("preflight.yml", **changes).refused(wanted, "Nothing was changed")
        assert said.changed == 0
        assert "hunter2" not in said.said


def test_a_host_that_cannot_carry_it_is_named(world):
    world.lab.ssh("sim", "ip", "address", "add", "10.79.1.101/32", "dev", "eth0")
    world.lab.write("b", "/usr/local/bin/date", '#!/bin/sh\nexec /bin/date -d +5sec "$@"\n', mode=0o755)
    try:
        world.play("preflight.yml").refused("b: its clock is +5.")
        world.lab.ssh("b", "rm", "/usr/local/bin/date")
        taken = [{"address": "10.79.1.101/32", "site": "dc1", "driver": "netlink"}]
        world.play("preflight.yml", relay_addresses=taken).refused("10.79.1.101/32 is answered for by")
        no_disk_can = -1  # one in memory takes 0.0
        world.play("preflight.yml", preflight_fsync_ms=no_disk_can).refused("to make a write durable", "/var/lib/etcd")
    finally:
        world.lab.ssh("b", "rm", "-f", "/usr/local/bin/date")
        world.lab.ssh("sim", "ip", "address", "del", "10.79.1.101/32", "dev", "eth0")
    world.play("preflight.yml").fine()


def test_a_host_without_the_capability_is_named(world):
    world.lab.up("d", capabilities="")
    try:
        said = world.play("preflight.yml", relays=(*NODES, "d"))
        said.refused("d: no service here may have CAP_NET_", "CAP_NET_RAW (a container?)")
    finally:
        world.lab.destroy("d")


def test_fresh_hosts_become_a_cluster_that_takes_mail_at_one_address(cluster):
    assert len(cluster.holders()) == 1
    cluster.send(5)
    cluster.arrives(5)


def test_a_second_run_changes_nothing(cluster):
    assert cluster.play("site.yml").fine().changed == 0


def test_etcd_lets_nobody_in_without_a_certificate_and_confines_relays(cluster):
    relay = "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/m365-relay/pki/ca.pem"
    mine = f"{relay} --cert=/etc/m365-relay/pki/node.pem --key=/etc/m365-relay/pki/node.key"
    assert "leader" in cluster.lab.ssh("a", f"{mine} get --prefix --keys-only /m365-relay/lab/").stdout
    assert "permission denied" in cluster.lab.ssh("a", f"{mine} get / --prefix", check=False).stderr
    assert cluster.lab.ssh("a", f"{relay} get /m365-relay/lab/leader", check=False).returncode != 0


def test_nothing_runs_as_root_and_secrets_are_not_on_the_disk(cluster):
    for unit in ("relay-node", "relay-coordinator"):
        pid = cluster.lab.ssh("a", "systemctl", "show", "--value", "--property=MainPID", unit).stdout.strip()
        assert cluster.lab.ssh("a", "stat", "-c", "%U", f"/proc/{pid}").stdout.strip() == "m365-relay"
    found = cluster.lab.ssh(
        "a", "grep", "-rl", "rehearsal-secret", "/etc", "/opt", "/usr/local", "/var/lib", check=False
    )
    assert [line for line in found.stdout.splitlines() if "site-packages" not in line] == []


def test_a_configuration_with_faults_never_counts(cluster):
    before = cluster.lab.ssh("a", "cat", "/etc/m365-relay/relay.yaml").stdout
    bad = cluster.config() | {"plans": {"x": {"rat": "10/min"}}}
    cluster.play("relays.yml", relay_config=bad).refused("relayctl config check", "plans.x.rat")
    assert cluster.lab.ssh("a", "cat", "/etc/m365-relay/relay.yaml").stdout == before
    cluster.whole()


def test_an_upgrade_under_load_loses_and_refuses_nothing_and_a_broken_version_goes_back(cluster):
    cluster.other_version("0.1.1")
    cluster.other_version("0.1.2", node__app__run=BROKEN)
    began = cluster.arrived()
    with Sending(
        cluster.work / "ledger", [f"{ADDRESS}:25"], "--sender", "app{n}@contoso.com", "--recipient", "x{n}@contoso.com",
        rate=RATE, command=cluster.lab.hub,
    ) as load:  # fmt: skip
        cluster.play("upgrade.yml", "-e", "relay_version=0.1.1").fine()
        cluster.whole()
        cluster.play("upgrade.yml", "-e", "relay_version=0.1.2").refused("a: version 0.1.2 is not in use", "runs 0.1.1")
        cluster.whole()
        counted = load.end()
    cluster.version = "0.1.1"
    assert refusals(counted) == {}
    assert {cluster.relayctl(name, "status")["version"] for name in NODES} == {"0.1.1"}
    assert counted["per_second"] > RATE * 0.9
    cluster.arrives(began + counted["accepted"], 900)
    cluster.innocent()


def test_an_older_inventory_is_sent_to_upgrade(cluster):
    cluster.play("preflight.yml", "-e", "relay_version=0.1.0").refused("runs version 0.1.1", "run upgrade.yml")


def test_a_host_lost_with_its_disk_is_made_anew(cluster):
    cluster.lab.destroy("c")
    cluster.lab.up("c")
    cluster.play("site.yml").refused("c: has no etcd data", "run replace_node.yml")
    cluster.play("replace_node.yml", "-e", "replace_host=a").refused("was not lost")
    cluster.play("replace_node.yml", "-e", "replace_host=c").fine()
    cluster.whole()
    listed = json.loads(cluster.lab.ssh("a", "relay-etcdctl member list --write-out=json").stdout)
    assert sorted(member["name"] for member in listed["members"]) == sorted(NODES)
    began = cluster.arrived()
    cluster.send(3)
    cluster.arrives(began + 3)
    assert cluster.play("site.yml").fine().changed == 0
