"""Disasters on real hosts: etcd put back to an older copy, and a machine that comes back as an older copy of itself."""

import json
import time

import pytest

from tests.ansible import lab_disk
from tests.ansible.lab_base import REASON, USABLE
from tests.ansible.world import NODES

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not USABLE, reason=REASON),
]
STILL_S = 60
"""Longer than a lease, an adoption and the wait after a refused session."""


def backup(cluster):
    to = cluster.work / f"backup-{time.monotonic_ns()}"
    cluster.play("backup.yml", "-e", f"backup_to={to}").fine()
    (snapshot,) = to.glob("*.db")
    assert (to / "relay-a/relay.yaml").exists()
    return snapshot


def behind_their_backs(cluster, snapshot):
    """Put every member back to a snapshot, as somebody might who knows etcd and not the relay."""
    together = ",".join(f"{name}=https://{cluster.lab.hosts[name].address}:2380" for name in NODES)
    for name in NODES:
        cluster.lab.ssh(name, "systemctl stop etcd")
    for name in NODES:
        (cluster.lab.home / "hosts" / name / "root/root/older.db").write_bytes(snapshot.read_bytes())
        cluster.lab.ssh(
            name,
            "rm -rf /var/lib/etcd/lab && ETCDCTL_API=3 etcdctl snapshot restore /root/older.db"
            f" --name {name} --data-dir /var/lib/etcd/lab --initial-cluster {together} --initial-cluster-token lab"
            f" --initial-advertise-peer-urls https://{cluster.lab.hosts[name].address}:2380"
            " && chown -R etcd: /var/lib/etcd/lab && systemctl --no-block start etcd",
        )


def refused(cluster):
    """What nodes say of the etcd they find."""
    return [cluster.relayctl(name, "status")["cluster"]["refused"] for name in NODES]


def test_an_etcd_of_yesterday_is_refused_then_made_to_count_what_was_used(cluster):
    snapshot, before = backup(cluster), cluster.arrived()
    cluster.send(40)
    cluster.arrives(before + 40)
    behind_their_backs(cluster, snapshot)
    end = time.monotonic() + 120
    while not all(refused(cluster)):
        assert time.monotonic() < end, refused(cluster)
        time.sleep(1)
    arrived = cluster.arrived()
    cluster.play("rebuild.yml").refused("say why")
    assert cluster.arrived() == arrived  # nothing is sent by an etcd that is not believed
    cluster.play("rebuild.yml", "-e", "relay_reason='etcd put back'").fine()
    cluster.whole()
    assert cluster.counted() >= arrived
    cluster.send(3)
    cluster.arrives(arrived + 3)
    cluster.innocent()


def test_an_etcd_that_is_lost_is_put_back_to_a_snapshot(cluster):
    snapshot, before = backup(cluster), cluster.arrived()
    cluster.send(10)
    cluster.arrives(before + 10)
    cluster.play("restore.yml", "-e", f"restore_from={snapshot}").refused("restore_confirm=lab")
    for name in NODES:
        cluster.lab.ssh(name, "systemctl stop etcd && rm -rf /var/lib/etcd/lab")
    cluster.play("restore.yml", "-e", f"restore_from={snapshot} restore_confirm=lab").fine()
    cluster.whole()
    assert cluster.counted() >= before + 10
    cluster.send(3)
    cluster.arrives(before + 13)
    cluster.innocent()
    assert cluster.play("site.yml").fine().changed == 0


def test_a_host_put_back_to_a_snapshot_sends_nothing_twice(cluster):
    lab, before = cluster.lab, cluster.arrived()
    lab.ssh("a", "relayctl hold --reason 'to have mail in the snapshot'")
    cluster.send(10, to=lab.hosts["c"].address)
    time.sleep(12)  # the spool's sequence is noted every ten seconds
    lab.kill("c")
    copy = lab_disk.kept(lab, "c")
    lab.start("c")
    lab.ssh("a", "relayctl hold --end --reason over")
    cluster.arrives(before + 10)
    cluster.whole()
    cluster.send(10, to=lab.hosts["c"].address)
    cluster.arrives(before + 20)
    time.sleep(12)
    lab.kill("c")
    lab_disk.put_back(lab, "c", copy)
    lab.start("c")
    end = time.monotonic() + 120
    while "quarantined" not in str(cluster.relayctl("c", "status")["readiness"]["reasons"]):
        assert time.monotonic() < end, cluster.relayctl("c", "status")["readiness"]
        time.sleep(1)
    time.sleep(STILL_S)
    assert cluster.arrived() == before + 20
    cluster.innocent()
    cluster.play("replace_node.yml", "-e", "replace_host=c").refused("it was not lost", "replace_set_aside=true")
    cluster.play("replace_node.yml", "-e", "replace_host=c replace_set_aside=true").fine()
    cluster.whole()
    assert "set-aside-" in lab.ssh("c", "ls /var/lib").stdout
    assert cluster.arrived() == before + 20
    cluster.innocent()
    listed = json.loads(lab.ssh("a", "relay-etcdctl member list --write-out=json").stdout)
    assert sorted(member["name"] for member in listed["members"]) == sorted(NODES)
