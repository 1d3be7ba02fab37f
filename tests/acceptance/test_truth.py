"""The truth after the 250: a report on what was delivered comes back, is believed if it fits, and is told."""

import smtplib

import pytest

from tests.support.ndrs import exchange_ndr, plain_ndr
from tests.support.relay import RelayProcess
from tests.support.simulated import DOMAIN, Simulated
from tests.support.world import QUICK, events, hand_in, until, view, wait_state

FROM, OWNER = f"app@{DOMAIN}", f"owner@{DOMAIN}"
BASE = f"relay-bounces@{DOMAIN}"
REPORTER = "127.0.0.2"
"""Microsoft's side, as the configuration names it."""


def config(cloud: Simulated, **bounces) -> dict:
    return {
        "hostname": "relay.test",
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "auth": "none"}},
        "tenant": {
            "id": "t.example",
            "domains": [DOMAIN],
            "smarthost": {"host": "127.0.0.1", "port": cloud.ready["smtp"], "tls": "none"},
        },
        "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
        "plans": {"quick": {"retry": QUICK, "outside_tenant": True}},
        "clients": {
            "apps": {
                "networks": ["127.0.0.1/32"], "senders": [f"*@{DOMAIN}"], "owner": OWNER, "plan": "quick",
            }
        },
        "bounces": {"from": BASE, "return_path": BASE, "accept_from": [f"{REPORTER}/32"], "digest": "1s", **bounces},
        "intake": {"processes": 1},
        "limits": {"disk_free_low": "1MiB", "disk_free_high": "2MiB"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("truth")
    with (
        Simulated(home / "sim", {"smarthost": {"tls": "none"}}, keep=True) as cloud,
        RelayProcess(home / "node", config(cloud)) as node,
    ):
        yield node, cloud


@pytest.fixture
def to(request) -> str:
    """An address nobody else writes to."""
    return f"r{abs(hash(request.node.name))}@example.com"


class Counted:
    """What a metric has grown by since."""

    def __init__(self, node: RelayProcess, name: str, **labels: str):
        self.ask = lambda: node.metric(name, **labels)
        self.before = self.ask()

    def __call__(self) -> float:
        return self.ask() - self.before


def report(node: RelayProcess, to: str, data: bytes, source: str = REPORTER) -> tuple[int, str]:
    with smtplib.SMTP("127.0.0.1", node.port(), timeout=30, source_address=(source, 0)) as smtp:
        smtp.ehlo("mail.example")
        code, text = smtp.mail("")
        if code == 250:
            code, text = smtp.rcpt(to)
        if code == 250:
            code, text = smtp.data(data)
    return code, text.decode()


def delivered(node: RelayProcess, cloud: Simulated, *recipients: str) -> tuple[str, str]:
    """Send one message; give its queue id and the envelope sender it left with."""
    queue_id = hand_in(node.port(), FROM, list(recipients))
    wait_state(node, queue_id, "delivered")
    (receipt,) = [one for one in cloud.receipts() if one["recipients"] == list(recipients)]
    return queue_id, receipt["sender"]


def test_a_report_to_the_return_path_turns_delivered_into_bounced_later(world, to):
    node, cloud = world
    matched = Counted(node, "relay_reports_total", outcome="matched", came="return_path")
    later = Counted(node, "relay_recipients_bounced_later_total", path="smarthost", reason="recipient_unknown")
    queue_id, sender = delivered(node, cloud, to)
    assert sender.startswith("relay-bounces+")
    assert report(node, sender, exchange_ndr(to=sender, recipient=to.upper()))[0] == 250
    found = view(node, queue_id)
    assert [one["state"] for one in found["recipients"]] == ["bounced"], "it is so when the report is answered"
    assert events(found) == ["accepted", "claimed", "delivered", "bounced_later"]
    assert found["recipients"][0]["last_reason"] == "recipient_unknown"
    assert "RESOLVER.ADR.RecipientNotFound" in found["recipients"][0]["last_reply"]
    told = node.ctl("trace", queue_id).stdout
    assert "bounced_later" in told
    assert "RecipientNotFound" in told
    assert (matched(), later()) == (1, 1)


def test_with_several_processes_at_the_door_a_report_ends_here_too(tmp_path, to):
    with Simulated(tmp_path / "sim", {"smarthost": {"tls": "none"}}, keep=True) as cloud:
        plain = config(cloud) | {"intake": {"processes": 2}}
        with RelayProcess(tmp_path / "node", plain) as node:
            queue_id, sender = delivered(node, cloud, to)
            assert report(node, sender, exchange_ndr(to=sender, recipient=to))[0] == 250
            assert events(view(node, queue_id))[-1] == "bounced_later"
            node.wait_empty()
            assert sender not in [to for one in cloud.receipts() for to in one["recipients"]]


def test_the_sender_and_the_owner_hear_of_it_once(world, to):
    node, cloud = world
    repeated = Counted(node, "relay_reports_total", outcome="repeated")
    _, sender = delivered(node, cloud, to)
    ndr = exchange_ndr(to=sender, recipient=to)
    for _ in range(3):
        assert report(node, sender, ndr)[0] == 250
    assert repeated() == 2

    def told(name: str) -> list[bytes]:
        got = [cloud.body(one) for one in cloud.receipts() if one["recipients"] == [name]]
        return [body for body in got if to.encode() in body]

    until(lambda: told(FROM) and told(OWNER))
    (to_sender,), (to_owner,) = told(FROM), told(OWNER)
    assert b"report-type=delivery-status" in to_sender
    assert f"Final-Recipient: rfc822;{to}".encode() in to_sender
    assert b"Subject: invoice" in to_sender, "the header that came back is handed on"
    assert b"bounced after delivery" in to_owner
    assert {one["sender"] for one in cloud.receipts() if one["recipients"] == [FROM]} == {""}


def test_only_the_recipient_named_is_touched(world, to):
    node, cloud = world
    queue_id, sender = delivered(node, cloud, to, f"other-{to}")
    assert report(node, sender, plain_ndr(sender, [(to, "5.1.1", "550 5.1.1 no such user")]))[0] == 250
    assert [one["state"] for one in view(node, queue_id)["recipients"]] == ["bounced", "delivered"]


def test_what_fits_nothing_is_kept_aside_and_changes_nothing(world, to):
    node, cloud = world
    count = {
        name: Counted(node, "relay_reports_total", outcome=name)
        for name in ("forged", "unmatched", "matched", "no_report")
    }
    queue_id, sender = delivered(node, cloud, to)
    before = view(node, queue_id)
    forged = BASE.replace("@", "+" + "a" * 40 + "@")
    assert report(node, forged, exchange_ndr(to=forged, recipient=to))[0] == 250
    assert report(node, BASE, exchange_ndr(to=BASE, recipient=to, queue_id=queue_id))[0] == 250
    assert report(node, sender, exchange_ndr(to=sender, recipient=f"never-{to}"))[0] == 250
    assert report(node, sender, b"Subject: no report\r\n\r\nhello\r\n")[0] == 250
    assert report(node, sender, b"X: y\r\n\r\n" + b"junk \r\n" * 200_000)[0] == 250
    assert report(node, sender, plain_ndr(sender, [(to, "4.4.1", "450 4.4.1 later")], action="delayed"))[0] == 250
    assert view(node, queue_id) == before
    assert {name: one() for name, one in count.items()} == {"forged": 1, "unmatched": 2, "matched": 0, "no_report": 2}
    assert len(cloud.receipts(to)) == 0


def test_who_is_named_for_reports_may_send_nothing_else(world, to):
    node, _ = world
    code, text = report(node, to, b"")
    assert code == 550
    assert "return path" in text
    code, _ = report(node, BASE, b"", source="127.0.0.3")
    assert code == 550


def test_a_large_report_is_read_and_its_file_goes(world, to):
    node, cloud = world
    queue_id, sender = delivered(node, cloud, to)
    ndr = exchange_ndr(to=sender, recipient=to).replace(b"Dear all", b"line of the message\r\n" * 100_000)
    assert len(ndr) > 2_000_000
    assert report(node, sender, ndr)[0] == 250
    assert events(view(node, queue_id))[-1] == "bounced_later"
    assert not list((node.home / "spool" / "incoming").glob("*"))


def test_a_report_comes_back_through_a_restart(world, to):
    node, cloud = world
    queue_id, sender = delivered(node, cloud, to)
    assert node.stop() == 0
    node.start()
    assert report(node, sender, exchange_ndr(to=sender, recipient=to))[0] == 250
    assert events(view(node, queue_id))[-1] == "bounced_later"
