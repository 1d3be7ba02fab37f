"""High Volume Email, ACS and the tenant's external limit, from the configuration to the simulated services."""

import json

from tests.support.simulated import CLIENT, DOMAIN, SECRET, TENANT, Simulated
from tests.support.world import client, hand_in, relay, secret_file, standings, until, view, wait_state, wide

HVE, NEWS, APP = f"hve1@{DOMAIN}", f"news@{DOMAIN}", f"app@{DOMAIN}"
SENDER = f"donotreply@{DOMAIN}"


def directory(**more) -> dict:
    spec = {
        "domains": [DOMAIN],
        "apps": {CLIENT: {"secrets": [SECRET]}},
        "mailboxes": {f"relay1@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"]}},
        "hve": {HVE: {"send_as": [NEWS]}},
        "acs": {"resource": {"senders": [SENDER]}},
        **more,
    }
    return {"tenants": {TENANT: spec}, "timing": {"time_scale": 50.0}}


def several(cloud: Simulated, home, **changes):
    """A relay with HVE first for insiders, submission and then ACS for the outside; one client may leave the tenant."""
    node = relay(
        cloud,
        home,
        wide("relay1"),
        routes={"internal": ["hve", "submission"], "external": ["submission", "acs"]},
        clients={
            "apps": client("127.0.0.0/16", plan="quick"),
            "public": client("127.1.0.0/16", plan="quick", outside_tenant=True),
        },
        **changes,
    )
    own = node.config["tenant"]
    own["hve"] = {"host": f"localhost:{cloud.ready['hve']}", "accounts": {HVE: {"send_as": [NEWS]}}}
    own["acs"] = {
        "host": f"localhost:{cloud.ready['acs']}",
        "resource": "resource",
        "senders": [SENDER],
        "secret": {"file": str(secret_file(home))},
    }
    return node


def services(cloud: Simulated) -> dict[str, str]:
    return {to: one["service"] for one in cloud.receipts() for to in one["recipients"]}


def test_hve_takes_what_is_its_own_fifty_at_a_time(tmp_path):
    with Simulated(tmp_path / "sim", directory()) as cloud, several(cloud, tmp_path / "node") as node:
        many = [f"r{number}@{DOMAIN}" for number in range(60)]
        for sender, to in ((NEWS, many), (APP, f"carol@{DOMAIN}"), (NEWS, "bob@example.com")):
            wait_state(node, hand_in(node.port(), sender, to), "delivered")
        found = services(cloud)
        assert {found[to] for to in many} == {"hve"}
        assert (found[f"carol@{DOMAIN}"], found["bob@example.com"]) == ("submission", "submission")
        assert sorted(len(one["recipients"]) for one in cloud.receipts() if one["service"] == "hve") == [10, 50]
        assert {one["account"] for one in cloud.receipts() if one["service"] == "hve"} == {HVE}
        assert cloud.stats()["violations"]["total"] == 0


def test_beyond_the_tenants_limit_only_who_may_leaves_by_acs(tmp_path):
    with (
        Simulated(tmp_path / "sim", directory(external_limit="1/24h")) as cloud,
        several(cloud, tmp_path / "node") as node,
    ):
        first = hand_in(node.port(), SENDER, "one@example.com", source="127.1.0.1")
        wait_state(node, first, "delivered")
        stays = hand_in(node.port(), SENDER, "two@example.com")
        until(lambda: view(node, stays)["recipients"][0]["last_reason"] == "tenant_external_limit")
        leaves = hand_in(node.port(), SENDER, "three@example.com", source="127.1.0.1")
        wait_state(node, leaves, "delivered")
        wait_state(node, hand_in(node.port(), APP, f"carol@{DOMAIN}"), "delivered")
        assert services(cloud) == {
            "one@example.com": "submission", "three@example.com": "acs", f"carol@{DOMAIN}": "submission",
        }  # fmt: skip
        logins = [one["account"] for one in cloud.receipts() if one["service"] == "acs"]
        assert logins == [f"resource|{CLIENT}|{TENANT}"]
        assert "tenant/contoso#external" in standings(node)
        assert "way=acs:contoso/acs (outside the tenant)" in node.ctl("trace", leaves).stdout
        public = explained(node, "public")
        assert [(way["path"], way["state"], way["outside"]) for way in public["ways"]] == [
            ("submission", "later", False), ("acs", "ready", True),
        ]  # fmt: skip
        inside = explained(node, "apps")
        assert inside["ways"][1]["why"] == "neither plan nor client allows a path outside the tenant"
        assert inside["decision"] == "wait"
        assert cloud.stats()["violations"]["total"] == 0


def explained(node, who: str) -> dict:
    asked = ("route", "explain", "--from", SENDER, "--to", "x@example.com", "--client", who, "--json")
    return json.loads(node.ctl(*asked, check=False).stdout)
