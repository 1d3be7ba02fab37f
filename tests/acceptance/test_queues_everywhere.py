"""What operators see and do from any node of a real cluster, also when another node is lost or came back too old."""

import json
import shutil
import smtplib
import time

import pytest

from tests.acceptance.test_copies import protected, three_nodes
from tests.support.relay_cluster import NAMES
from tests.support.simulated import DOMAIN
from tests.support.world import events, mail, until

SENDER = f"app@{DOMAIN}"
BRISK = {"latency": "20ms", "latency_longest": "100ms"}


def hand_in(cluster, name: str, recipient: str) -> str:
    with smtplib.SMTP(cluster.address(name), cluster.nodes[name].port(), timeout=30) as smtp:
        smtp.ehlo("client.test")
        smtp.mail(SENDER)
        smtp.rcpt(recipient)
        code, text = smtp.data(mail(SENDER, recipient))
    assert code == 250, text
    return text.decode().split()[-1]


def listed(node, **query: str) -> dict[str, dict]:
    found = node.get("/v1/everywhere/messages", **query)
    assert found["missing"] == {}
    return {each["message"]["id"]: each for each in found["messages"]}


def traced(node, queue_id: str) -> dict:
    """The journey as the node's command would show it; ``node`` is empty when nobody has it."""
    best, *others = node.get(f"/v1/everywhere/messages/{queue_id}")["messages"] or [
        {"node": "", "lines": [], "place": ""}
    ]
    return {**best, "elsewhere": [(each["node"], each["place"]) for each in others]}


def kept_as(node, queue_id: str) -> tuple[str, str]:
    """As what a node has a message for another one, and how its recipient stands."""
    found = node.get(f"/v1/everywhere/messages/{queue_id}", here="true")["messages"]
    return (found[0]["place"], found[0]["recipients"][0]["state"]) if found else ("", "")


def steps(found: dict) -> list[str]:
    """What happened to a message, but for how often it was put off while all mail was held."""
    return [event for event in events(found) if event != "postponed"]


def nodes_of(node) -> dict[str, dict]:
    return {each["node"]: each for each in node.get("/v1/cluster")["nodes"]}


@pytest.mark.timeout(120)
def test_a_message_is_seen_and_acted_on_from_any_node_also_after_its_own_is_destroyed(tmp_path):
    lost, asked, third = NAMES
    with three_nodes(tmp_path, timing=BRISK) as (cluster, cloud):
        nodes = cluster.nodes
        until(lambda: all(protected(cluster, name) for name in NAMES), 30)
        nodes[asked].post("/v1/wishes", kind="hold", what="all", reason="all mail waits")
        until(lambda: all(nodes_of(nodes[asked])[name]["shadow"] for name in NAMES), 20)
        queue_id = hand_in(cluster, lost, "bob@example.com")
        found = until(lambda: (one := listed(nodes[asked]).get(queue_id)) and one["protected"] and one, 20)
        assert (found["node"], found["place"]) == (lost, "spool")
        assert listed(nodes[asked], here="true") == {}
        before = traced(nodes[asked], queue_id)
        assert (before["node"], before["protected"], steps(before)) == (lost, True, ["accepted"])
        (copy,) = before["elsewhere"]
        shadow = nodes[lost].status()["copies"]["shadow"]
        assert copy == (shadow, "copy")

        nodes[asked].ctl("queue", "hold", queue_id, "--reason", "looked at")
        held = traced(nodes[third], queue_id)
        assert held["recipients"][0]["state"] == "held"
        (line,) = [line for line in held["lines"] if line["event"] == "held"]
        assert line["detail"]["actor"].endswith(f" at {asked}")
        refused = nodes[asked].ctl("disaster", "declare-dead", lost, "--reason", "x", check=False)
        assert (refused.returncode, "answers, so it is not dead" in refused.stderr) == (2, True)

        until(lambda: kept_as(nodes[shadow], queue_id) == ("copy", "held"), 20)
        nodes[lost].kill()
        shutil.rmtree(nodes[lost].home / "spool")
        killed_s = time.monotonic()
        nodes[asked].ctl("disaster", "declare-dead", lost, "--reason", "its disk is gone")
        copied = traced(nodes[asked], queue_id)
        assert (copied["node"], copied["place"]) in {(shadow, "copy"), (shadow, "spool")}
        after = until(lambda: (one := traced(nodes[asked], queue_id))["place"] == "spool" and one, 30)
        took_s = time.monotonic() - killed_s
        assert after["node"] == shadow
        assert steps(after) == ["accepted", "held", "adopted"]
        shown = nodes[asked].ctl("queue", "list", "--json", check=False)
        assert (shown.returncode, f"not asked: {lost}" in shown.stderr) == (1, True)
        assert [(each["message"]["id"], each["node"]) for each in json.loads(shown.stdout)] == [(queue_id, shadow)]
        assert nodes_of(nodes[asked])[lost]["answered"] is False

        done = nodes[third].ctl("queue", "release", queue_id, "--reason", "fine", check=False)
        assert (done.returncode, "1 recipient(s) changed" in done.stdout) == (1, True)  # the lost one was not asked
        nodes[third].post("/v1/wishes", kind="hold", what="all", on=False, reason="go on")
        until(lambda: steps(traced(nodes[third], queue_id))[-1:] == ["delivered"], 20)
        assert cloud.stats()["messages"]["accepted"] == 1
        over = traced(nodes[asked], queue_id)
        assert steps(over) == ["accepted", "held", "adopted", "released", "claimed", "delivered"]
    print(f"\nadopted {took_s:.1f} s after the node was killed and declared dead")


@pytest.mark.timeout(120)
def test_a_spool_put_back_to_an_older_state_is_seen_as_such_everywhere_and_used_only_on_an_operators_word(tmp_path):
    name, asked, _ = NAMES
    with three_nodes(tmp_path, timing=BRISK) as (cluster, cloud):
        node, other = cluster.nodes[name], cluster.nodes[asked]
        until(lambda: protected(cluster, name), 30)
        refused = other.ctl("disaster", "release-spool", "--reason", "x", check=False)
        assert (refused.returncode, "is not quarantined" in refused.stderr) == (1, True)
        node.kill()
        spool, older = node.home / "spool", node.home / "older"
        shutil.copytree(spool, older)
        node.start()
        until(lambda: protected(cluster, name), 30)  # mail that is delivered before it is copied nobody else hears of
        queue_id = hand_in(cluster, name, "bob@example.com")
        until(lambda: steps(traced(node, queue_id))[-1:] == ["delivered"], 20)
        # Killed before the other end hears of it, the message would be sent again by whoever takes it over.
        shadow = cluster.nodes[node.status()["copies"]["shadow"]]
        until(lambda: kept_as(shadow, queue_id) == ("past", "delivered"), 20)
        node.kill()
        shutil.rmtree(spool)
        shutil.copytree(older, spool)
        node.start(wait=False)

        seen = until(lambda: (one := nodes_of(other)[name])["quarantined"] and one, 30)
        assert "quarantined" in seen["quarantined"]
        shown = other.ctl("status", check=False)
        assert (shown.returncode, f"node {name} does not use its spool" in shown.stdout) == (1, True)
        reasons = node.status()["readiness"]["reasons"]
        assert any(each.startswith("door shut: quarantined") for each in reasons), reasons
        hold = other.ctl("queue", "hold", "--all", check=False)
        assert (hold.returncode, f"not asked: {name}" in hold.stderr) == (1, True)

        node.ctl("disaster", "release-spool", "--reason", "the copy is the better one")
        until(lambda: node.status()["readiness"]["ready"], 20)
        assert nodes_of(other)[name]["quarantined"] == ""
        assert "the copy is the better one" in node.log.read_text()
        again = hand_in(cluster, name, "carol@example.com")
        until(lambda: steps(traced(other, again))[-1:] == ["delivered"], 20)
        assert cloud.stats()["messages"]["accepted"] == 2
