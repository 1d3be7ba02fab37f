"""What is done to a cluster in its life, on real hosts: rules, authorities, levels, more hosts, fewer, none."""

import hashlib
import json

import pytest

from tests.ansible.lab_base import REASON, USABLE, run
from tests.ansible.support import REPOSITORY
from tests.ansible.world import ADDRESS, NODES
from tests.support.sending import Sending, refusals

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not USABLE, reason=REASON),
]


def serial(cluster, name, file="/etc/m365-relay/pki/node.pem"):
    return cluster.lab.ssh(name, f"openssl x509 -noout -serial -in {file}").stdout


def public_key(cluster, name, file="/etc/m365-relay/pki/node.pem"):
    return cluster.lab.ssh(name, f"openssl x509 -noout -pubkey -in {file}").stdout


@pytest.fixture(scope="module")
def filtered(cluster):
    """What switches the packet filter on, where the kernel has one."""
    there = cluster.lab.ssh("a", "apt-get -qq install nftables && nft list tables", check=False).returncode == 0
    return {"firewall_enabled": there}


def test_the_packet_filter_lets_only_the_cluster_in_and_can_be_taken_away(cluster, filtered):
    if not filtered["firewall_enabled"]:
        pytest.skip("this machine's kernel has no nf_tables")
    assert cluster.reaches("a", 2379)
    cluster.play("firewall.yml", **filtered).fine()
    for port in (2379, 2380, 7711, 7712):
        assert not cluster.reaches("a", port)
    assert cluster.reaches("a", 2379, by="b")
    assert cluster.reaches("a", 25)
    cluster.whole()
    assert cluster.play("firewall.yml", **filtered).fine().changed == 0
    cluster.play("firewall.yml").fine()
    assert cluster.reaches("a", 2379)


COLLECTOR = """#!/bin/sh
[ "$1" = validate ] && exec grep -q "endpoint:" "${2#--config=}"
touch /var/lib/m365-relay-collector/queue && exec sleep infinity
"""
"""In place of the real one, which is some hundred megabytes: what is tried is what stands around it."""


def collector(cluster):
    """Give the variables of a collector beside each relay."""
    (cluster.work / "otelcol-contrib").write_text(COLLECTOR)
    (cluster.work / "otelcol-contrib").chmod(0o755)
    archive = cluster.work / "otelcol.tar.gz"
    run("tar", "-czf", archive, "-C", cluster.work, "otelcol-contrib")
    return {
        "telemetry_collector": True,
        "telemetry_collector_version": "0.1",
        "telemetry_collector_archive": str(archive),
        "telemetry_collector_archive_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "telemetry_endpoint": "https://otel.contoso.com:4317",
    }


def test_a_collector_stands_beside_the_relay_and_can_be_taken_away(cluster):
    wanted = collector(cluster)
    cluster.play("relays.yml", **wanted | {"telemetry_endpoint": ""}).refused("a collector needs telemetry_endpoint")
    cluster.play("relays.yml", **wanted).fine()
    assert "ActiveState=active" in cluster.lab.ssh("a", "systemctl show m365-relay-collector").stdout
    assert "otel.contoso.com" in cluster.lab.ssh("a", "cat /etc/m365-relay-collector/config.yaml").stdout
    assert "queue" in cluster.lab.ssh("a", "ls /var/lib/m365-relay-collector/").stdout
    assert cluster.play("relays.yml", **wanted).fine().changed == 0
    cluster.play("relays.yml").fine()
    left = "ls -d /opt/otelcol /etc/m365-relay-collector /var/lib/m365-relay-collector"
    assert cluster.lab.ssh("a", left, check=False).stdout == ""
    cluster.whole()


def test_rules_and_dashboards_are_put_where_they_are_read(cluster):
    given = '{"telemetry_rules_directory": "/srv/rules", "telemetry_dashboards_directory": "/srv/dashboards"}'
    broken = ("-e", given, "-e", "telemetry_rules_check='false %s'")
    cluster.play("monitoring.yml", *broken).refused("failed to validate")
    assert cluster.lab.ssh("sim", "ls /srv/rules").stdout == ""
    cluster.play("monitoring.yml", "-e", given).fine()
    rules = cluster.lab.ssh("sim", "cat /srv/rules/m365-relay.rules.yaml").stdout
    assert rules == (REPOSITORY / "node/monitoring/alerts.yaml").read_text()
    boards = [json.loads(cluster.lab.ssh("sim", f"cat {file}").stdout) for file in dashboards(cluster)]
    assert len({board["uid"] for board in boards}) == len(boards) > 1
    assert cluster.play("monitoring.yml", "-e", given).fine().changed == 0


def dashboards(cluster):
    return cluster.lab.ssh("sim", "ls /srv/dashboards/*.json").stdout.split()


def test_a_whole_configuration_may_be_given_as_a_file(cluster):
    whole = cluster.work / "whole.yaml"
    whole.write_text(cluster.lab.ssh("a", "cat /etc/m365-relay/relay.yaml").stdout)
    given = {"relay_config": {}, "relay_config_file": str(whole)}
    cluster.play("relays.yml", **given).fine()
    cluster.whole()
    cluster.play("relays.yml", relay_config_file=str(whole)).refused("give either relay_config or relay_config_file")
    cluster.play("relays.yml").fine()
    cluster.whole()


def test_a_level_in_force_stays_as_it_is(cluster):
    cluster.play("finalise.yml").refused("say why")
    assert cluster.play("finalise.yml", "-e", "relay_reason=tried").fine().changed == 0


def test_secrets_and_certificates_are_made_anew(cluster):
    before, key = serial(cluster, "b"), public_key(cluster, "b")
    (cluster.work / "app-secret").write_text("rehearsal-secret")
    cluster.play("rotate_secrets.yml").fine()
    cluster.whole()
    assert serial(cluster, "b") != before
    assert public_key(cluster, "b") != key
    assert cluster.play("site.yml").fine().changed == 0


def test_authorities_are_replaced_while_mail_flows(cluster):
    cluster.lab.ssh("a", "relayctl account park relay7@contoso.com --reason 'new password'")
    cluster.play("rotate_secrets.yml", "-e", "rotate_authority=true").refused("in force and would end", "new password")
    cluster.lab.ssh("a", "relayctl account resume relay7@contoso.com --reason done")
    with Sending(
        cluster.work / "rotation", [f"{ADDRESS}:25"], "--sender", "app@contoso.com", "--recipient", "x{n}@contoso.com",
        rate=2, command=cluster.lab.hub,
    ) as load:  # fmt: skip
        cluster.play("rotate_secrets.yml", "-e", "rotate_authority=true").fine()
        cluster.whole()
        assert refusals(load.end()) == {}
    assert json.loads((cluster.work / "pki/lab/state.json").read_text()) == {"issuer": 2, "trusted": [2]}
    for file in ("/etc/m365-relay/pki/node.pem", "/etc/etcd/pki/server.pem", "/etc/etcd/root/root.pem"):
        assert "lab cluster authority 2" in cluster.lab.ssh("a", f"openssl x509 -noout -issuer -in {file}").stdout
    assert cluster.lab.ssh("a", "grep -c BEGIN /etc/m365-relay/pki/ca.pem").stdout.strip() == "1"
    cluster.lab.ssh("a", "systemctl restart relay-node")  # what it finds in etcd is judged by the new authority alone
    cluster.whole()
    assert cluster.play("site.yml").fine().changed == 0


def test_a_host_is_taken_in_and_taken_out_again(cluster, filtered):
    cluster.play("firewall.yml", **filtered).fine()  # hosts that are taken in are strangers to it
    cluster.lab.up("d")
    more = (*NODES, "d")
    cluster.play("add_node.yml", relays=more, **filtered).fine()
    cluster.whole("d")
    assert len(cluster.relayctl("a", "status")["cluster"]["nodes"]) == 4
    before = cluster.arrived()
    cluster.send(5, to=cluster.lab.hosts["d"].address)
    cluster.arrives(before + 5)
    cluster.play("remove.yml", "-e", "remove_host=d", relays=more, **filtered).fine()
    assert cluster.lab.ssh("d", "ls /opt/m365-relay /etc/m365-relay", check=False).stdout == ""
    assert cluster.play("remove.yml", "-e", "remove_host=d", relays=more, **filtered).fine()
    cluster.play("site.yml", **filtered).fine()
    cluster.whole()
    assert len(cluster.relayctl("a", "status")["cluster"]["nodes"]) == 3
    assert cluster.play("site.yml", **filtered).fine().changed == 0
    cluster.lab.destroy("d")


def test_members_of_etcd_are_taken_in_by_twos_and_out_though_one_is_gone(cluster, filtered):
    cluster.lab.up("d", "e")
    cluster.play("add_node.yml", members=(*NODES, "d", "e"), **filtered).fine()
    cluster.whole()
    assert len(members(cluster)) == 5
    cluster.play("remove.yml", "-e", "remove_host=e", members=(*NODES, "d", "e")).fine()
    cluster.lab.kill("d")
    cluster.play("remove.yml", "-e", "remove_host=d remove_lost=true", members=(*NODES, "d")).fine()
    assert members(cluster) == list(NODES)
    cluster.play("site.yml").fine()
    cluster.whole()
    assert cluster.play("site.yml").fine().changed == 0
    cluster.lab.destroy("d", "e")


def members(cluster):
    listed = json.loads(cluster.lab.ssh("a", "relay-etcdctl member list --write-out=json").stdout)
    return sorted(member["name"] for member in listed["members"])


def test_everything_is_removed(cluster):
    cluster.play("remove.yml", "-e", "remove_host=a").refused("too few without it")
    cluster.play("remove.yml", "-e", "remove_all=lab").fine()
    assert cluster.holders() == []
    left = "ls /opt/m365-relay /etc/m365-relay /etc/etcd /etc/m365-relay.nft"
    assert cluster.lab.ssh("a", left, check=False).stdout == ""
    assert "m365-relay" in cluster.lab.ssh("a", "ls /var/lib").stdout  # mail is nobody's to take away
