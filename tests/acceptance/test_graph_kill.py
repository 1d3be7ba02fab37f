"""kill -9 of the node while it builds a large message at Graph: it arrives once, whole, and no draft of it stays."""

import pytest

from tests.support.large_mail import LARGE, large
from tests.support.ports import free_ports
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import QUICK, hand_in, relay, until, view, wait_state, wide

MOMENTS = {
    "draft made, nothing in it": {"at": "upload", "delay": "5s", "times": 1},
    "half uploaded": {"at": "upload", "delay": "5s", "times": 1, "skip": 2},
}


@pytest.mark.parametrize("on_unknown", ["resend", "bounce"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_between_draft_and_send(tmp_path, moment, on_unknown):

    port = free_ports(1)[0]
    plans = {"quick": {"retry": QUICK, "rebuild": True, "on_unknown": on_unknown}}
    with Simulated(tmp_path / "sim", directory(["relay1"], limits=WIDE)) as cloud:
        routes = {"internal": ["graph"], "external": ["graph"]}
        node = relay(cloud, tmp_path / "node", wide("relay1"), plans=plans, routes=routes)
        node.config["listeners"]["smtp"]["port"] = port
        with node:
            cloud.script(MOMENTS[moment])
            made = hand_in(port, f"app@{DOMAIN}", "bob@example.com", large())
            until(lambda: cloud.acted() == [1])
            node.kill()
            assert cloud.stats()["graph_drafts_open"] == 1
            node.start()
            wait_state(node, made, "delivered", 60)
            assert "bounced" not in [line["event"] for line in view(node, made)["lines"]]
        receipts = cloud.receipts()
        assert [one["recipients"] for one in receipts] == [["bob@example.com"]]
        assert receipts[0]["size_bytes"] > len(LARGE)
        assert cloud.stats()["graph_drafts_open"] == 0
        assert cloud.stats()["violations"]["total"] == 0
