"""Mail through a tenant's inbound connector, from the configuration to what the simulated MX took, by which right."""

import pytest

from tests.support.simulated import DOMAIN, TENANT, Simulated
from tests.support.world import client, hand_in, relay, standings, until, view, wait_reason, wait_state

APP, OUTSIDE, INSIDE = f"app@{DOMAIN}", "bob@example.com", f"carol@{DOMAIN}"


def tenant(**more) -> dict:
    return {"tenants": {TENANT: {"domains": [DOMAIN], **more}}, "timing": {"time_scale": 50.0}}


BY_NAME = {"connectors": [{"certificate": DOMAIN}]}
BY_ADDRESS = {"connectors": [{"networks": ["127.0.0.0/24"]}]}


def connected(cloud: Simulated, home, *, certificate: str = DOMAIN, routes=("connector",), **changes):
    """A relay whose only way out is the connector, unless told otherwise."""
    node = relay(cloud, home, {}, routes={"internal": list(routes), "external": list(routes)}, **changes)
    own = node.config["tenant"]
    for key in ("app", "service_accounts", "cloud"):
        del own[key]
    own["connector"] = {"host": f"localhost:{cloud.ready['mx']}"}
    if certificate:
        own["connector"]["certificate"] = {"file": cloud.ready["clients"][certificate]}
    return node


@pytest.fixture
def simulated(tmp_path):
    def make(plain: dict, *names: str):
        options = [part for name in (DOMAIN, *names) for part in ("--client-certificate", name)]
        return Simulated(tmp_path / "sim", plain, *options)

    return make


def test_mail_leaves_by_the_connector_that_knows_our_certificate(simulated, tmp_path):
    with simulated(tenant(**BY_NAME)) as cloud, connected(cloud, tmp_path / "node") as node:
        queue_id = hand_in(node.port(), APP, [OUTSIDE, INSIDE])
        wait_state(node, queue_id, "delivered")
        taken = cloud.receipts()
        assert {(one["service"], one["attribution"], one["tenant"]) for one in taken} == {("mx", "connector", TENANT)}
        assert {recipient for one in taken for recipient in one["recipients"]} == {OUTSIDE, INSIDE}
        assert {one["account"] for one in taken} == {""}
        assert cloud.stats()["attributions"] == {"connector": 2}
