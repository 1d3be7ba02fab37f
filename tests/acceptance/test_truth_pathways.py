"""Reports on mail by High Volume Email and direct send: they go to the envelope sender, and are read where that is."""

import pytest

from tests.support.simulated import DOMAIN, Simulated, directory
from tests.support.world import client, events, hand_in, relay, until, view, wait_state, wide

NEWS, HVE, BASE = f"news@{DOMAIN}", f"hve1@{DOMAIN}", f"relay-bounces@{DOMAIN}"
GONE, HERE = f"gone@{DOMAIN}", f"here@{DOMAIN}"


def plain() -> dict:
    made = directory(["relay1", "news", "relay-bounces"], timing={"time_scale": 60.0}, hve={HVE: {"send_as": [NEWS]}})
    return {**made, "reports": {"recipients": {"gone*@contoso.com": "5.1.10"}, "after": ["1s", "60s"]}}


def node_of(cloud: Simulated, home, path: str, **bounces):
    node = relay(cloud, home, wide("relay1"), routes={"internal": [path], "external": ["submission"]})
    own = node.config["tenant"]
    own["ndrs"] = {"mailboxes": [NEWS, BASE], "accounts": False, "every": "1s"}
    own["hve"] = {"host": f"localhost:{cloud.ready['hve']}", "accounts": {HVE: {"send_as": [NEWS]}}}
    own["direct_send"] = {"host": f"localhost:{cloud.ready['mx']}"}
    node.config["clients"]["apps"] = client("127.0.0.0/8", plan="quick")
    node.config["bounces"] = {"digest": "0s", "from": BASE, **bounces}
    return node


@pytest.mark.parametrize(
    ("path", "bounces"),
    [("hve", {"return_path": BASE}), ("direct-send", {}), ("direct-send", {"return_path": BASE})],
    ids=["hve, which takes no return path", "direct send", "direct send with a return path"],
)
def test_a_report_is_read_where_it_lands_and_the_sender_hears_once(tmp_path, path, bounces):
    with Simulated(tmp_path / "sim", plain()) as cloud, node_of(cloud, tmp_path / "node", path, **bounces) as node:
        queue_id = hand_in(node.port(), NEWS, [GONE, HERE])
        wait_state(node, queue_id, "delivered")
        (receipt,) = [one for one in cloud.receipts() if GONE in one["recipients"]]
        keyed = path == "direct-send" and bool(bounces)
        assert receipt["sender"].startswith("relay-bounces+") is keyed
        assert (receipt["sender"] == NEWS) is not keyed
        found = until(lambda: "bounced_later" in events(view(node, queue_id)) and view(node, queue_id))
        assert [one["state"] for one in found["recipients"]] == ["bounced", "delivered"]
        assert found["recipients"][0]["last_reason"] == "recipient_unknown"
        until(lambda: node.metric("relay_recipients_bounced_later_total", path=path, reason="recipient_unknown") == 1)
        assert len(cloud.ask(f"/mailboxes/{BASE if keyed else NEWS}")) == 1, "where it lay"
        # Microsoft's report lies in the sender's mailbox; where it went to the return path ours takes its place.
        if keyed:
            until(lambda: any(one["recipients"] == [NEWS] for one in cloud.receipts()))
        node.wait_empty()
        assert sum(one["recipients"] == [NEWS] for one in cloud.receipts()) == keyed
