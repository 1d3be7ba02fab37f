"""A report that comes to another node than the one that delivered finds its message all the same."""

import smtplib

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


@pytest.mark.timeout(600)
def test_whichever_node_a_report_comes_to(tmp_path):
    with Simulated(tmp_path / "sim", {"smarthost": {"tls": "none"}}) as cloud:
        plain = config(cloud)
        changes = {key: plain[key] for key in ("tenant", "routes", "plans", "clients", "bounces")}
        changes["bounces"] = {**changes["bounces"], "accept_from": [], "digest": "0s"}
        changes["clients"]["apps"]["networks"] = ["127.0.0.0/8"]
        with RelayCluster(tmp_path, cloud, {}, **changes) as cluster:
            first, second, _ = NAMES
            queue_id = send(cluster, first, FROM, TO, mail(FROM, TO))
            node = cluster.nodes[first]
            until(lambda: view(node, queue_id)["recipients"][0]["state"] == "delivered")
            (receipt,) = cloud.receipts()
            keyed = receipt["sender"]
            assert keyed.startswith("relay-bounces+")
            forged = BASE.replace("@", "+" + "a" * 40 + "@")
            send(cluster, second, "", forged, exchange_ndr(to=forged, recipient=TO))
            assert events(view(node, queue_id))[-1] == "delivered"
            send(cluster, second, "", keyed, exchange_ndr(to=keyed, recipient=TO))
            assert events(view(node, queue_id))[-1] == "bounced_later", "the key of another node, and its mail"
            assert cluster.nodes[second].metric("relay_reports_total", outcome="matched") == 1
            send(cluster, second, "", keyed, exchange_ndr(to=keyed, recipient=TO))
            assert cluster.nodes[second].metric("relay_reports_total", outcome="repeated") == 1
