"""A report that comes to another node than the one that delivered finds its message all the same."""

import smtplib
from contextlib import contextmanager

import pytest

from tests.acceptance.test_truth import BASE, config
from tests.support.ndrs import exchange_ndr
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import DOMAIN, Simulated
from tests.support.world import events, mail, until, view

FROM, TO = f"app@{DOMAIN}", "gone@example.com"


def send(cluster: RelayCluster, name: str, sender: str, to: str, data: bytes) -> str:
    with smtplib.SMTP(cluster.address(name), cluster.nodes[name].port(), timeout=60) as smtp:
        smtp.ehlo("client.test")
        assert smtp.mail(sender)[0] == 250
        assert smtp.rcpt(to)[0] == 250
        code, text = smtp.data(data)
    assert code == 250, text
    return text.decode().split()[-1]


@contextmanager
def cluster_of(home):
    """Three nodes that send by a smart host, each with a key of its own for return paths."""
    with Simulated(home / "sim", {"smarthost": {"tls": "none"}}) as cloud:
        plain = config(cloud)
        changes = {key: plain[key] for key in ("tenant", "routes", "plans", "clients", "bounces")}
        changes["bounces"] = {**changes["bounces"], "accept_from": [], "digest": "0s"}
        changes["clients"]["apps"]["networks"] = ["127.0.0.0/8"]
        with RelayCluster(home, cloud, {}, **changes) as cluster:
            yield cluster, cloud


def delivered(cluster: RelayCluster, cloud: Simulated, name: str) -> tuple[str, str]:
    """Send one message by a node; its queue id and the return path it left with."""
    queue_id = send(cluster, name, FROM, TO, mail(FROM, TO))
    until(lambda: view(cluster.nodes[name], queue_id)["recipients"][0]["state"] == "delivered")
    (receipt,) = cloud.receipts()
    assert receipt["sender"].startswith("relay-bounces+")
    return queue_id, receipt["sender"]


@pytest.mark.timeout(600)
def test_whichever_node_a_report_comes_to(tmp_path):
    with cluster_of(tmp_path) as (cluster, cloud):
        first, second, _ = NAMES
        queue_id, keyed = delivered(cluster, cloud, first)
        node = cluster.nodes[first]
        forged = BASE.replace("@", "+" + "a" * 40 + "@")
        send(cluster, second, "", forged, exchange_ndr(to=forged, recipient=TO))
        assert events(view(node, queue_id))[-1] == "delivered"
        send(cluster, second, "", keyed, exchange_ndr(to=keyed, recipient=TO))
        assert events(view(node, queue_id))[-1] == "bounced_later", "the key of another node, and its mail"
        assert cluster.nodes[second].metric("relay_reports_total", outcome="matched") == 1
        send(cluster, second, "", keyed, exchange_ndr(to=keyed, recipient=TO))
        assert cluster.nodes[second].metric("relay_reports_total", outcome="repeated") == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_node_that_was_away_hears_of_it_when_it_is_back(tmp_path):
    with cluster_of(tmp_path) as (cluster, cloud):
        first, second, _ = NAMES
        queue_id, keyed = delivered(cluster, cloud, first)
        cluster.nodes[first].kill()
        send(cluster, second, "", keyed, exchange_ndr(to=keyed, recipient=TO))
        asked = cluster.nodes[second]
        assert asked.metric("relay_reports_total", outcome="waiting") == 1
        assert [(one["outcome"], one["why"]) for one in asked.get("/v1/reports")["kept"]] == [("waiting", "silent")]
        asked.kill()
        asked.start()
        cluster.nodes[first].start()
        until(lambda: events(view(cluster.nodes[first], queue_id))[-1] == "bounced_later", 120)
        until(lambda: asked.metric("relay_reports_total", outcome="matched") == 1)
        assert asked.get("/v1/reports")["kept"] == []
