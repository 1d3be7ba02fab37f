"""The upstream misbehaves: an answer lost after the final dot, an account refused, content taken for spam."""

import json
from email import message_from_bytes

import pytest

from tests.support.simulated import WIDE, Simulated, directory
from tests.support.world import (
    QUICK,
    client,
    events,
    hand_in,
    mail,
    relay,
    standings,
    states,
    until,
    view,
    wait_state,
    wide,
)  # fmt: skip

FROM, TO = "app@contoso.com", "someone@example.com"
ACCOUNTS = ("relay1", "relay2", "relay3")
SOURCES = {"resend": "127.0.0.2", "bounce": "127.0.0.3", "verify": "127.0.0.4"}
VERIFY = {"settle": "2s", "patience": "10s"}
AT_ONCE = 3
"""Sessions of an account: so many messages may be under way when it is refused, however slow the machine is."""
SUSPECT, HONEST = "127.0.0.5", "127.0.0.6"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("faults")
    plans = {name: {"on_unknown": name, "retry": QUICK} for name in SOURCES}
    clients = {f"by-{name}": client(f"{source}/32", plan=name) for name, source in SOURCES.items()}
    clients |= {
        "suspect": client(f"{SUSPECT}/32", plan="resend"),
        "honest": client(f"{HONEST}/32", plan="resend"),
    }
    accounts = {name: {"limits": {**one["limits"], "sessions": AT_ONCE}} for name, one in wide(*ACCOUNTS).items()}
    with (
        Simulated(home / "sim", directory(list(ACCOUNTS), limits=WIDE), keep=True) as cloud,
        relay(cloud, home / "node", accounts, plans=plans, clients=clients, verify=VERIFY) as node,
    ):
        yield node, cloud


@pytest.fixture
def clean(world):
    """The world with nothing resting, nothing scripted and nothing waiting."""
    node, cloud = world
    cloud.script()
    yield world
    cloud.script()
    for scope in standings(node):
        node.post("/v1/accounts/resume", account=scope)
    node.post("/v1/queue/delete", filter={}, all=True)


def copies(cloud: Simulated, queue_id: str) -> list[dict]:
    return [one for one in cloud.receipts() if f"id {queue_id};" in one["headers"]]


def lose_the_answer(world, kind: str, sender: str, *, accepted: bool) -> str:
    node, cloud = world
    cloud.script({"at": "dot", "when": {"sender": sender}, "cut": True, "times": 1, "accepted": accepted})
    queue_id = hand_in(node.port(), sender, TO, source=SOURCES[kind])
    until(lambda: cloud.acted() == [1])
    return queue_id


@pytest.mark.parametrize("accepted", [True, False])
def test_resend_repeats_and_says_so(clean, accepted):
    node, cloud = clean
    queue_id = lose_the_answer(clean, "resend", f"resend-{accepted}@contoso.com", accepted=accepted)
    found = wait_state(node, queue_id, "delivered")
    assert len(copies(cloud, queue_id)) == 1 + accepted
    assert [name for name in events(found) if name in ("unknown", "resent", "delivered")] == [
        "unknown", "resent", "delivered",
    ]  # fmt: skip


def test_bounce_never_repeats_and_reports(clean):
    node, cloud = clean
    sender = "bounce@contoso.com"
    queue_id = lose_the_answer(clean, "bounce", sender, accepted=True)
    found = wait_state(node, queue_id, "bounced")
    assert "unknown" in events(found)
    assert found["recipients"][0]["last_reason"] == "unknown_bounce"
    [report] = until(lambda: [one for one in cloud.receipts() if one["recipients"] == [sender]])
    parsed = message_from_bytes(until(lambda: cloud.body(report)))
    assert parsed.get_content_type() == "multipart/report"
    status = parsed.get_payload()[1].as_string()
    assert f"Final-Recipient: rfc822;{TO}" in status
    assert "Action: failed" in status
    assert len(copies(cloud, queue_id)) == 1


@pytest.mark.parametrize("accepted", [True, False])
def test_verify_finds_out_what_became_of_it(clean, accepted):
    """Its copy is found, or it is sent again once mail that left later is found and it is not."""
    node, cloud = clean
    sender = f"verify-{accepted}@contoso.com"
    queue_id = lose_the_answer(clean, "verify", sender, accepted=accepted)
    for _ in ACCOUNTS:
        wait_state(node, hand_in(node.port(), sender, TO, source=SOURCES["verify"]), "delivered")
    found = wait_state(node, queue_id, "delivered")
    told = [name for name in events(found) if name in ("unknown", "resent", "delivered")]
    assert told == (["unknown", "delivered"] if accepted else ["unknown", "resent", "delivered"])
    assert len(copies(cloud, queue_id)) == 1


def test_verify_waits_for_a_person_where_it_cannot_look(clean):
    node, cloud = clean
    sender = "nobody-looks@contoso.com"
    cloud.script(
        {"at": "dot", "when": {"sender": sender}, "cut": True, "times": 1, "accepted": True},
        {"at": "look", "reply": "403 ErrorAccessDenied: no"},
    )
    queue_id = hand_in(node.port(), sender, TO, source=SOURCES["verify"])
    found = wait_state(node, queue_id, "held")
    assert found["recipients"][0]["last_reason"] == "unknown_unproven"
    assert len(copies(cloud, queue_id)) == 1
    listed = json.loads(node.ctl("queue", "list", "--state", "held", "--json").stdout)
    assert [one["message"]["id"] for one in listed] == [queue_id]


def test_an_intent_is_durable_before_the_dot(clean):
    """What is under way at kill -9: verify is looked for, bounce bounces, resend is sent again."""
    node, cloud = clean
    cloud.script({"at": "dot", "delay": "2s", "times": 3})
    port = node.port()
    queue_ids = {
        kind: hand_in(port, f"killed-{kind}@contoso.com", TO, source=source) for kind, source in SOURCES.items()
    }
    until(lambda: cloud.acted() == [3])
    node.kill()
    node.start()
    found = wait_state(node, queue_ids["resend"], "delivered")
    assert "unknown" in events(found)
    wait_state(node, queue_ids["bounce"], "bounced")
    wait_state(node, queue_ids["verify"], "delivered")
    assert len(copies(cloud, queue_ids["verify"])) == 1


def test_mail_of_a_refused_account_goes_by_another(clean):
    node, cloud = clean
    reply = "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients"
    when = {"account": "relay1@contoso.com", "sender": "failover*"}
    cloud.script({"at": "dot", "when": when, "reply": reply})
    port = node.port()
    queue_ids = [hand_in(port, f"failover{n}@contoso.com", TO, source=SOURCES["resend"]) for n in range(30)]
    for queue_id in queue_ids:
        wait_state(node, queue_id, "delivered")
        [copy] = copies(cloud, queue_id)
        assert copy["account"] != "relay1@contoso.com"
    until(lambda: "contoso/relay1@contoso.com" in standings(node))
    resting = standings(node)
    assert set(resting) == {"contoso/relay1@contoso.com"}
    assert resting["contoso/relay1@contoso.com"]["reason"] == "account_daily_recipients"
    switched = [
        queue_id
        for queue_id in queue_ids
        if any(line["detail"].get("reason") == "account_daily_recipients" for line in view(node, queue_id)["lines"])
    ]
    assert switched, "nobody tried the account"
    assert len(switched) <= AT_ONCE, "a resting account is left alone"
    assert cloud.acted()[0] == len(switched)


def test_content_taken_for_spam_stops_instead_of_spreading(clean):
    node, cloud = clean
    cloud.ask("/reset", "POST")
    cloud.script({"at": "dot", "when": {"subject": "offer"}, "reply": "550 5.1.8 Access denied, bad outbound sender"})
    port = node.port()
    sender = "suspect@contoso.com"
    first = hand_in(port, sender, TO, mail(sender, TO, "offer"), source=SUSPECT)
    found = wait_state(node, first, "held")
    blocked = found["recipients"][0]["last_way"].partition(":")[2]
    more = [hand_in(port, sender, TO, mail(sender, TO, "offer"), source=SUSPECT) for _ in range(5)]
    honest = [hand_in(port, FROM, TO, source=HONEST) for _ in range(5)]
    for queue_id in honest:
        found = wait_state(node, queue_id, "delivered")
        assert found["recipients"][0]["last_way"].partition(":")[2] != blocked
    assert cloud.acted() == [1], "the content went to another account"
    for queue_id in more:
        assert states(node, queue_id)[0] in ("held", "queued", "deferred")
        assert "claimed" not in events(view(node, queue_id))
    assert {scope: way["state"] for scope, way in standings(node).items()} == {
        blocked: "parked", "client/suspect": "parked",
    }  # fmt: skip

    cloud.script()  # a person has looked: harmless after all
    node.ctl("account", "resume", blocked, "--reason", "harmless")
    node.ctl("account", "resume", "client/suspect", "--reason", "harmless")
    node.ctl("queue", "release", first, *more, "--reason", "harmless")
    for queue_id in (first, *more):
        wait_state(node, queue_id, "delivered")


@pytest.mark.timeout(150)
def test_somebody_else_in_the_mailbox_costs_a_session_not_the_mail(tmp_path):
    """The mailbox has room for one session of ours: the refused one is closed, not asked again and again."""
    limits = {**WIDE, "sessions": 1}
    timing = {"latency": "150ms", "latency_spread": 0.1}
    account = {"limits": {**WIDE, "sessions": 3}}
    with (
        Simulated(tmp_path / "sim", directory(["relay1"], limits=limits, timing=timing)) as cloud,
        relay(cloud, tmp_path / "node", {"relay1": account}) as node,
    ):
        port = node.port()
        for number in range(6):
            # Two at once after one alone: the younger connection is the surplus one and the last to be given back.
            hand_in(port, f"app{number}@contoso.com", TO)
            if number == 0:
                node.wait_empty()
        node.wait_empty(45)
        stats = cloud.stats()["accounts"]["relay1@contoso.com"]
        assert stats["sessions_peak"] == 2
        assert stats["accepted"] == 6
        assert 1 <= stats["refused"] <= 2
