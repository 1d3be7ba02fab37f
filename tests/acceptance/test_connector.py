"""Mail through a tenant's inbound connector, from the configuration to what the simulated MX took, by which right."""

import pytest

from tests.support.simulated import CLIENT, DOMAIN, SECRET, TENANT, Simulated
from tests.support.world import client, hand_in, relay, standings, until, view, wait_state, wide

APP, OUTSIDE, INSIDE = f"app@{DOMAIN}", "bob@example.com", f"carol@{DOMAIN}"
SITE = "site/contoso/connector@"


def tenant(**more) -> dict:
    spec = {"domains": [DOMAIN], **more}
    return {"tenants": {TENANT: spec}, "timing": {"time_scale": 50.0}}


BY_NAME = {"connectors": [{"certificate": DOMAIN}]}
BY_ADDRESS = {"connectors": [{"networks": ["127.0.0.0/24"]}]}


def connected(cloud: Simulated, home, *, certificate: str = DOMAIN, accounts=(), routes=("connector",), **changes):
    """A relay that leaves by the connector first; ``certificate``: the name it bears, empty: known by address."""
    both = {"internal": list(routes), "external": list(routes)}
    node = relay(cloud, home, wide(*accounts), routes=both, **changes)
    own = node.config["tenant"]
    if not accounts:
        for key in ("app", "service_accounts", "cloud"):
            del own[key]
    own["connector"] = {"host": f"localhost:{cloud.ready['mx']}"}
    if certificate:
        own["connector"]["certificate"] = {"file": cloud.ready["clients"][certificate]}
    return node


@pytest.fixture
def simulated(tmp_path):
    def make(plain: dict) -> Simulated:
        return Simulated(tmp_path / "sim", plain, "--client-certificate", DOMAIN)

    return make


def taken(cloud: Simulated) -> dict[str, tuple[str, str]]:
    """By recipient: the service that took mail for it, and by which right."""
    return {to: (one["service"], one["attribution"]) for one in cloud.receipts() for to in one["recipients"]}


def test_mail_leaves_by_the_connector_that_knows_our_certificate(simulated, tmp_path):
    with simulated(tenant(**BY_NAME)) as cloud, connected(cloud, tmp_path / "node") as node:
        queue_id = hand_in(node.port(), APP, [OUTSIDE, INSIDE])
        null = hand_in(node.port(), "", "null@example.com", mail_of(APP, "null@example.com"))
        for each in (queue_id, null):
            wait_state(node, each, "delivered")
        assert taken(cloud) == dict.fromkeys((OUTSIDE, INSIDE, "null@example.com"), ("mx", "connector"))
        assert {one["tenant"] for one in cloud.receipts()} == {TENANT}
        way = node.status()["ways"][0]
        assert (way["path"], way["account"], way["state"]) == ("connector", "contoso/connector", "healthy")


def mail_of(author: str, to: str) -> bytes:
    return f"From: {author}\r\nTo: {to}\r\nSubject: x\r\nMessage-ID: <null@{DOMAIN}>\r\n\r\ntext\r\n".encode()


def test_known_by_its_address_it_takes_no_null_sender_outside(simulated, tmp_path):
    with simulated(tenant(**BY_ADDRESS)) as cloud, connected(cloud, tmp_path / "node", certificate="") as node:
        wait_state(node, hand_in(node.port(), APP, OUTSIDE), "delivered")
        null = hand_in(node.port(), "", "null@example.com", mail_of(APP, "null@example.com"))
        until(lambda: view(node, null)["recipients"][0]["last_reason"] == "sender_not_allowed")
        said = node.ctl("route", "explain", "--from", "<>", "--to", "null@example.com", "--json", check=False).stdout
        assert "a connector without a certificate takes no mail from the null sender" in said
        assert taken(cloud) == {OUTSIDE: ("mx", "connector")}


def test_a_connector_that_stops_matching_shows_outside_and_mail_goes_another_way(simulated, tmp_path):
    plain = tenant(
        **BY_NAME,
        apps={"1b7d2c3e-0000-4000-8000-000000000000": {"secrets": ["a secret of the simulator"]}},
        mailboxes={f"relay1@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"]}},
    )
    with (
        simulated(plain) as cloud,
        connected(cloud, tmp_path / "node", accounts=("relay1",), routes=("connector", "submission")) as node,
    ):
        wait_state(node, hand_in(node.port(), APP, OUTSIDE), "delivered")
        plain["tenants"][TENANT]["connectors"] = []
        cloud.ask("/directory", "PUT", plain)
        wait_state(node, hand_in(node.port(), APP, INSIDE), "delivered")
        other = hand_in(node.port(), APP, "eve@example.com")
        wait_state(node, other, "delivered")
        assert taken(cloud) == {
            OUTSIDE: ("mx", "connector"),
            INSIDE: ("mx", "direct-send"),  # what nobody sees: it goes on as if all was well
            "eve@example.com": ("submission", ""),
        }
        assert standings(node)[SITE]["reason"] == "connector_not_matched"
        shown = node.ctl("route", "explain", "--from", APP, "--to", OUTSIDE).stdout
        assert "connector_not_matched" in shown
        assert "sent now by submission:contoso/relay1@contoso.com" in shown


def test_the_probe_finds_out_before_any_mail_does(simulated, tmp_path):
    with simulated(tenant()) as cloud:
        node = connected(cloud, tmp_path / "node")
        node.config["tenant"]["connector"]["probe"] = {"to": "probe@example.net", "every": "1m"}
        with node:
            until(lambda: SITE in standings(node), bound_s=60)
            assert standings(node)[SITE]["reason"] == "connector_not_matched"
            assert cloud.receipts() == []
            assert cloud.stats()["attributions"] == {"refused relay": 1}
            until(lambda: "the connector of tenant contoso does not match: 550 5.7.64" in node.log.read_text())
            assert node.metric("relay_connector_matches", tenant="contoso") == 0
            assert node.metric("relay_probes_total", tenant="contoso", reason="connector_not_matched") == 1


def test_direct_send_takes_insiders_until_the_tenant_rejects_it(simulated, tmp_path):
    plain = tenant()
    with simulated(plain) as cloud:
        node = relay(cloud, tmp_path / "node", {}, routes={"internal": ["direct-send"], "external": ["smarthost"]})
        own = node.config["tenant"]
        for key in ("app", "service_accounts", "cloud"):
            del own[key]
        own["direct_send"] = {"host": f"localhost:{cloud.ready['mx']}"}
        own["smarthost"] = {"host": "localhost", "port": 1}
        node.config["clients"] = {"apps": client("127.0.0.0/8", plan="quick")}
        with node:
            wait_state(node, hand_in(node.port(), APP, INSIDE), "delivered")
            assert taken(cloud) == {INSIDE: ("mx", "direct-send")}
            plain["tenants"][TENANT]["reject_direct_send"] = "data"
            cloud.ask("/directory", "PUT", plain)
            other = hand_in(node.port(), APP, f"eve@{DOMAIN}")
            until(lambda: view(node, other)["recipients"][0]["last_reason"] == "direct_send_refused")
            assert standings(node)["site/contoso/direct-send@"]["reason"] == "direct_send_refused"


READ = f"read@{DOMAIN}"


def sampled(cloud: Simulated, home, **changes):
    """A relay that sends a message by its connector to a mailbox it reads, though its mail goes by submission first."""
    node = connected(cloud, home, accounts=("relay1",), routes=("submission", "connector"), **changes)
    own = node.config["tenant"]
    own["connector"]["probe"] = {"to": "probe@example.net", "mailbox": READ, "mailbox_every": "1h"}
    own["ndrs"] = {"mailboxes": [READ], "accounts": False, "every": "1h"}
    return node


def with_mailboxes(**more) -> dict:
    apps = {CLIENT: {"secrets": [SECRET]}}
    boxes = {f"relay1@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"]}, READ: {}}
    return tenant(apps=apps, mailboxes=boxes, **more)


def test_a_running_node_looks_how_mail_by_the_connector_arrives(simulated, tmp_path):
    with simulated(with_mailboxes(**BY_NAME)) as cloud, sampled(cloud, tmp_path / "node") as node:
        until(lambda: samples(node, "arrives_as_ours") == 1, bound_s=80)
        assert node.metric("relay_connector_arrives_as_ours", tenant="contoso") == 1
        assert taken(cloud) == {READ: ("mx", "connector")}, "by the connector, whatever the routes say"
        assert "arrives as anybody's" not in node.log.read_text()


def test_a_connector_that_stopped_matching_shows_where_mail_arrives(simulated, tmp_path):
    """Inside nobody is refused when it does, after the address outside was last asked for: only the message tells."""
    with simulated(with_mailboxes(**BY_NAME)) as cloud:
        cloud.script({"at": "dot", "reply": "451 4.7.0 Temporary server error. Please try again later. PRX2"})
        with sampled(cloud, tmp_path / "node") as node:
            sample = until(lambda: [one for one in node.get("/v1/messages") if deferred(one)], bound_s=40)[0]
            cloud.ask("/directory", "PUT", with_mailboxes())
            cloud.script()
            for scope in standings(node):
                node.post("/v1/accounts/resume", account=scope)
            node.post("/v1/queue/release", filter={"ids": [sample["message"]["id"]]})
            until(lambda: samples(node, "arrives_as_anybodys") == 1, bound_s=80)
            assert node.metric("relay_connector_arrives_as_ours", tenant="contoso") == 0
            assert taken(cloud) == {READ: ("mx", "direct-send")}
            assert "mail by the connector of tenant contoso arrives as anybody's (Incoming)" in node.log.read_text()
            wait_state(node, hand_in(node.port(), APP, INSIDE), "delivered")
            assert taken(cloud)[INSIDE][0] == "submission", "no path rests for what no document says"


def deferred(one: dict) -> bool:
    return one["message"]["client"] == "(sample)" and one["recipients"][0]["state"] == "deferred"


def samples(node, reason: str) -> float:
    return node.metric("relay_samples_total", tenant="contoso", reason=reason)


def test_a_sample_that_cannot_be_looked_at_proves_nothing(simulated, tmp_path):
    plain = with_mailboxes(**BY_NAME) | {"reports": {"readable": []}}
    with simulated(plain) as cloud, sampled(cloud, tmp_path / "node") as node:
        until(lambda: taken(cloud), bound_s=80)
        until(lambda: cloud.stats()["messages"].get("mailbox_requests", 0) > 2, bound_s=80)
        assert "arrives as anybody's" not in node.log.read_text()
        told = bytearray()
        node._remote().download("/metrics", told.extend)
        assert b"relay_connector_arrives_as_ours{" not in told
