"""Reports that Microsoft lays into mailboxes: read through Graph, from either place, and through every obstacle."""

import urllib.request

import pytest

from tests.support.ndrs import exchange_ndr
from tests.support.simulated import DOMAIN, Simulated, directory
from tests.support.world import client, events, hand_in, relay, until, view, wait_state, wide

APP, RELAY1, RELAY2 = f"app@{DOMAIN}", f"relay1@{DOMAIN}", f"relay2@{DOMAIN}"
REPORTS = {"recipients": {"gone*@example.com": "5.1.10"}, "after": ["1s", "60s"]}
FAST = {"time_scale": 60.0}


def plain(**reports) -> dict:
    made = directory(["relay1", "relay2", "app"], timing=FAST)
    return {**made, "reports": {**REPORTS, **reports}}


def node_of(cloud: Simulated, home, **changes):
    node = relay(cloud, home, wide("relay1"), **changes)
    node.config["tenant"]["cloud"]["graph"] = cloud.ready["graph"]
    node.config["tenant"]["ndrs"] = {"mailboxes": [APP], "every": "1s"}
    node.config["clients"]["apps"] = client("127.0.0.0/8", plan="quick")
    node.config["bounces"] = {"digest": "0s"}
    return node


@pytest.fixture(scope="module", params=["from", "login"])
def world(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("mailboxes")
    with Simulated(home / "sim", plain(place=request.param)) as cloud, node_of(cloud, home / "node") as node:
        yield node, cloud


def post(cloud: Simulated, mailbox: str, sender: str, data: bytes) -> None:
    url = f"{cloud.ready['control']}/mailboxes/{mailbox}?sender={sender}"
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST"), timeout=10) as answer:
        assert answer.status == 200


SYSTEM = f"postmaster@{DOMAIN}"


def test_a_report_in_a_mailbox_turns_delivered_into_bounced_later(world):
    node, _ = world
    queue_id = hand_in(node.port(), APP, ["gone@example.com", "here@example.com"])
    wait_state(node, queue_id, "delivered")
    found = until(lambda: "bounced_later" in events(view(node, queue_id)) and view(node, queue_id))
    assert [one["state"] for one in found["recipients"]] == ["bounced", "delivered"]
    assert found["recipients"][0]["last_reason"] == "recipient_unknown"
    line = found["lines"][-1]
    assert (line["event"], line["detail"]["stage"]) == ("bounced_later", "ndr")
    until(lambda: node.metric("relay_reports_total", outcome="matched", came="mailbox") >= 1)


def test_stale_cursors_begin_anew_and_change_nothing_twice(world):
    node, cloud = world
    queue_id = hand_in(node.port(), APP, "gone-stale@example.com")
    until(lambda: "bounced_later" in events(view(node, queue_id)))
    repeated = node.metric("relay_reports_total", outcome="repeated")
    for mailbox in (APP, RELAY1):
        cloud.ask(f"/mailboxes/{mailbox}/cursors", "DELETE")
    until(lambda: node.metric("relay_reports_total", outcome="repeated") > repeated)
    assert events(view(node, queue_id)).count("bounced_later") == 1


def test_forged_reports_in_a_mailbox_change_nothing(world):
    node, cloud = world
    queue_id = hand_in(node.port(), APP, "forged@example.com")
    wait_state(node, queue_id, "delivered")
    before = view(node, queue_id)
    unmatched = node.metric("relay_reports_total", outcome="unmatched")
    own = before["message"]["message_id"]
    to = "forged@example.com"
    # Another message's id; a recipient it never had; a mailbox that has nothing to do with it.
    post(cloud, APP, SYSTEM, exchange_ndr(to=APP, recipient=to, message_id="<guessed@contoso.com>"))
    post(cloud, APP, SYSTEM, exchange_ndr(to=APP, recipient="other@example.com", message_id=own))
    post(cloud, RELAY1, SYSTEM, b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n")
    until(lambda: node.metric("relay_reports_total", outcome="unmatched") >= unmatched + 2)
    assert view(node, queue_id) == before


def test_people_write_to_mailboxes_and_are_not_read(world):
    node, cloud = world
    queue_id = hand_in(node.port(), APP, "person@example.com")
    found = wait_state(node, queue_id, "delivered")
    data = exchange_ndr(to=APP, recipient="person@example.com", message_id=found["message"]["message_id"])
    post(cloud, APP, "someone@example.com", data)
    asked = cloud.stats()["messages"]["mailbox_requests"]
    until(lambda: cloud.stats()["messages"]["mailbox_requests"] >= asked + 4)
    assert events(view(node, queue_id))[-1] == "delivered"


def test_the_place_is_kept_over_a_restart(world):
    node, _ = world
    queue_id = hand_in(node.port(), APP, "gone-restart@example.com")
    wait_state(node, queue_id, "delivered")
    assert node.stop() == 0
    node.start()
    until(lambda: "bounced_later" in events(view(node, queue_id)))


def test_a_mailbox_that_may_not_be_read_is_said_and_the_others_go_on(tmp_path):
    with (
        Simulated(tmp_path / "sim", plain(place="login", readable=[RELAY1])) as cloud,
        node_of(cloud, tmp_path / "node") as node,
    ):
        queue_id = hand_in(node.port(), APP, "gone@example.com")
        until(lambda: "bounced_later" in events(view(node, queue_id)))
        until(lambda: f"mailbox {APP} cannot be read" in node.log.read_text())
        assert "ErrorAccessDenied" in node.log.read_text()
        assert node.status()["readiness"]["ready"]
