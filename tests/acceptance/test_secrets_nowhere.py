"""Planted secrets, passwords, tokens, bodies and addresses are in no log, span, metric, page, audit or bundle."""

import hashlib
import json
import smtplib
import tarfile
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from google.protobuf.json_format import MessageToJson

from tests.support.otlp import GrpcReceiver
from tests.support.ports import free_ports
from tests.support.simulated import SECRET, Simulated, directory
from tests.support.world import hand_in, relay, until, wait_state, wide

PERSON, OTHER = "jane.q.recipient", "john.q.sender"
BODY = "the-body-nobody-may-see-7731"
SUBJECT = "the-subject-nobody-may-see-4402"
PASSWORD = "wrong-password-of-a-client-9917"
TOKEN = "the-operators-token-5526"


def guess(port: int) -> None:
    """A client shows a password, which is wrong."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.ehlo("client.test")
        smtp.docmd("AUTH PLAIN", "AGpvaG4=")
        smtp.docmd(f"AUTH PLAIN {PASSWORD}")


def test_nothing_planted_is_found_anywhere(tmp_path):
    until_day = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    held = {"hash": f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}", "role": "admin", "until": until_day}
    with ExitStack() as stack:
        receiver = stack.enter_context(GrpcReceiver())
        cloud = stack.enter_context(Simulated(tmp_path / "sim", directory(["relay1"])))
        node = relay(cloud, tmp_path / "node", wide("relay1"), telemetry={"otlp": receiver.url, "log_level": "debug"})
        node.config["admin"] = {"port": free_ports(1)[0], "tokens": {"ops": held}}
        stack.enter_context(node)
        port = node.port()
        body = f"Subject: {SUBJECT}\r\nFrom: {OTHER}@contoso.com\r\nTo: {PERSON}@example.com\r\n\r\n{BODY}\r\n".encode()
        delivered = hand_in(port, f"{OTHER}@contoso.com", f"{PERSON}@example.com", body)
        wait_state(node, delivered, "delivered")
        cloud.script({"at": "rcpt", "reply": f"550 5.1.1 <{PERSON}@example.com> no such user"})
        bounced = hand_in(port, f"{OTHER}@contoso.com", f"{PERSON}@example.com", body)
        until(lambda: node.get(f"/v1/messages/{bounced}")["recipients"][0]["state"] == "bounced")
        guess(port)
        asked = urllib.request.Request(
            f"http://127.0.0.1:{node.config['admin']['port']}/v1/erase",
            data=json.dumps({"address": f"{PERSON}@example.org"}).encode(),
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
        node.ctl("support", str(tmp_path / "bundle.tar.gz"), "--config", str(node.file), "--log", str(node.log))
        until(lambda: len(receiver.received.spans) >= 4, 30)
        metrics = bytearray()
        node._remote().download("/metrics", metrics.extend)
        spans = "".join(MessageToJson(span) for span in list(receiver.received.spans))
        places = {
            "log": node.log.read_text(),
            "spans": spans,
            "metrics": metrics.decode(),
            "status": json.dumps(node.status()),
            "audit": "".join(file.read_text() for file in (node.home / "spool" / "audit").iterdir()),
        }
        with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
            for member in bundle.getmembers():
                places[f"bundle {member.name}"] = bundle.extractfile(member).read().decode()
    assert any(name.endswith("status.json") for name in places)
    assert not [name for name in places if "missing" in name]
    for name, text in places.items():
        for planted in (SECRET, BODY, SUBJECT, PASSWORD, TOKEN, PERSON, OTHER):
            assert planted not in text, f"{planted} in {name}"
