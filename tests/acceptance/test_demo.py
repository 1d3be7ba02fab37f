"""``relayctl run`` without a configuration, used as its welcome says: what arrives is what was sent, in one trace.

Runs in a network of its own, since the demonstration's ports are fixed.
"""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from node.cli.remote import Remote
from tests.support.netns import REASON, USABLE, Namespace
from tests.support.otlp import GrpcReceiver, attributes, connected
from tests.support.smtp_client import RawSmtp
from tests.support.world import until

pytestmark = pytest.mark.skipif(not USABLE, reason=REASON)
ROOT = Path(__file__).parents[2]
PORT = 2525
SENDER, RECIPIENT = "app@contoso.com", "someone@example.com"
RECEIVED = re.compile(
    rb"Received: from [^\r]+\r\n\tby relay\.demo\.test \(m365-relay [^\r]+\) with ESMTP\r\n"
    rb"\tid [0-9a-f-]{36}; [^\r]+\r\n"
)
HEAD = (
    b"From: App <app@contoso.com>\r\nTo: someone@example.com\r\nSubject: hello\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <one@contoso.com>\r\n"
)


class Demo:
    """The demonstration in a directory and a network of its own."""

    def __init__(self, home: Path, net: Namespace, otlp: str):
        self.home, self.net, self.otlp = home, net, otlp

    def __enter__(self):
        self.log = (self.home / "log").open("ab")
        self.process = subprocess.Popen(
            [*self.net.command, sys.executable, "-m", "node", "run"],
            cwd=self.home, stdout=self.log, stderr=self.log, env=self.environment(OTLP=self.otlp),
        )  # fmt: skip
        until(self.ready, 40)
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            assert self.process.wait(40) == 0
        finally:
            self.process.kill()
            self.log.close()

    def environment(self, **more: str) -> dict:
        return {**{k: v for k, v in os.environ.items() if k != "RELAY_SOCKET"}, "PYTHONPATH": str(ROOT), **more}

    def said(self) -> str:
        return (self.home / "log").read_text()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            with self.net.inside(), urllib.request.urlopen("http://127.0.0.1:8025/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ctl(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.net.command, sys.executable, "-m", "node", *arguments],
            cwd=self.home, env=self.environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def journey(self, queue_id: str) -> dict:
        return Remote(self.home / "var" / "run" / "admin.sock").get(f"/v1/messages/{queue_id}")

    def delivered(self, queue_id: str) -> bool:
        return self.journey(queue_id)["recipients"][0]["state"] == "delivered"

    def arrived(self, queue_id: str) -> bytes:
        """The message with this queue id, as the simulated Microsoft wrote it down."""
        until(lambda: self.delivered(queue_id))
        receipt = until(lambda: self.receipt(queue_id))
        file = self.home / "var" / "received" / receipt["file"]
        until(lambda: file.stat().st_size == receipt["size_bytes"])
        octets = file.read_bytes()
        assert hashlib.sha256(octets).hexdigest() == receipt["sha256"]
        return octets

    def receipt(self, queue_id: str) -> dict:
        control = re.search(r"(http://[^ ]+)/receipts", self.said())[1]
        with self.net.inside(), urllib.request.urlopen(f"{control}/receipts?limit=10000", timeout=5) as answer:
            return next((one for one in json.load(answer) if f"id {queue_id};" in one["headers"]), {})

    def send(self, message: bytes, *parameters: str) -> str:
        """Say it on the wire as it is (dots stuffed here); give the queue id."""
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        with self.net.inside():
            smtp = RawSmtp(PORT)
        with smtp:
            smtp.hello()
            smtp.expect("250", " ".join((f"MAIL FROM:<{SENDER}>", *parameters)))
            smtp.expect("250", f"RCPT TO:<{RECIPIENT}>")
            smtp.expect("354", "DATA")
            smtp.send(stuffed + b".\r\n")
            return smtp.expect("250").split()[-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    with Namespace() as net:
        with net.inside():
            receiver = GrpcReceiver().__enter__()
        try:
            with Demo(home, net, receiver.url) as demo:
                yield demo, receiver.received
        finally:
            receiver.__exit__()


def split(octets: bytes) -> tuple[bytes, bytes]:
    """Our Received, and the rest; there is exactly one of ours, on top."""
    match = RECEIVED.match(octets)
    assert match, octets[:400]
    rest = octets[match.end() :]
    assert b"relay.demo.test" not in rest.partition(b"\r\n\r\n")[0].replace(b"@relay.demo.test", b"")
    return match[0], rest


def _bodies() -> dict[str, bytes]:
    rng = random.Random(5)
    attachment = base64.encodebytes(rng.randbytes(5 << 20)).replace(b"\n", b"\r\n")
    return {
        "plain": b"text\r\n",
        "empty": b"",
        "one empty line": b"\r\n",
        "leading dots": b".\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n \r\n.",
        "longest lines": (b"x" * 998 + b"\r\n") * 50,
        "trailing blanks": b"text \t\r\n\r\n\r\n \r\n",
        "8-bit": "Grüße, 日本語\r\n".encode() + bytes(range(128, 256)) + b"\r\n",
        "a line for each count": b"".join(b"." * n + b"\r\n" for n in range(200)),
        "5 MB attachment": attachment,
    }


BODIES = _bodies()


@pytest.mark.parametrize("name", BODIES)
def test_what_arrives_is_what_was_sent(world, name):
    demo, _ = world
    body = BODIES[name]
    sent = HEAD + b"\r\n" + body + (b"" if body.endswith(b"\r\n") or not body else b"\r\n")
    queue_id = demo.send(sent, *(["BODY=8BITMIME"] if name == "8-bit" else []))
    _, rest = split(demo.arrived(queue_id))
    assert rest == sent


def test_documented_header_changes_and_no_others(world):
    demo, _ = world
    kept = (
        b"Received: from elsewhere by before.test; Mon, 23 Nov 2026 09:00:00 +0000\r\n"
        b"From: App <app@contoso.com>\r\nto:someone@example.com,\r\n\tanother@example.com\r\n"
        b"X-Odd:   spaces   kept  \r\nSubject: =?utf-8?q?hello?=\r\n folded\r\n"
    )
    dropped = (
        b"Bcc: hidden@example.com,\r\n more@example.com\r\nReturn-Path: <old@example.com>\r\n"
        b"X-MS-Exchange-Organization-SCL: -1\r\nX-MS-Exchange-Organization-AuthAs: Internal\r\n"
    )
    queue_id = demo.send(kept + dropped + b"\r\nbody\r\n")
    _, rest = split(demo.arrived(queue_id))
    assert rest.startswith(kept)
    added, blank, body = rest.removeprefix(kept).partition(b"\r\n\r\n")
    assert (blank, body) == (b"\r\n\r\n", b"body\r\n")
    lines = added.split(b"\r\n")
    assert len(lines) == 2
    assert lines[0] == f"Message-ID: <{queue_id}@relay.demo.test>".encode()
    assert re.fullmatch(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", lines[1])


def test_a_body_without_a_final_newline_gets_one(world):
    demo, _ = world
    with demo.net.inside():
        smtp = smtplib.SMTP("127.0.0.1", PORT, timeout=20)
    with smtp:
        smtp.ehlo("client.test")
        smtp.mail(SENDER)
        smtp.rcpt(RECIPIENT)
        code, text = smtp.data(HEAD + b"\r\nno newline")
    assert code == 250
    _, rest = split(demo.arrived(text.decode().split()[-1]))
    assert rest == HEAD + b"\r\nno newline\r\n"


def test_one_trace_from_the_client_to_the_final_reply(world):
    demo, received = world
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    given = f"traceparent: 00-{trace_id}-{parent}-01\r\ntracestate: vendor=1\r\n".encode()
    queue_id = demo.send(HEAD + given + b"\r\ntext\r\n")
    _, rest = split(demo.arrived(queue_id))
    assert rest == HEAD + b"\r\ntext\r\n", "the context must not leave the house"
    names = {"relay.receive", "relay.commit", "relay.queue", "relay.attempt", "relay.permit", "relay.transfer"}
    spans = until(
        lambda: (
            names <= {span.name for span in received.trace(bytes.fromhex(trace_id))}
            and received.trace(bytes.fromhex(trace_id))
        )
    )
    assert connected(spans)
    assert [span.name for span in spans if span.parent_span_id.hex() == parent] == ["relay.receive"]
    assert {attributes(span).get("relay.queue_id", queue_id) for span in spans} == {queue_id}
    assert trace_id in demo.ctl("trace", queue_id)


def test_the_first_message_also_tells_connecting_and_login(world):
    """Some message opened the first connection: its graph has every span of the design, and is connected."""
    demo, received = world
    demo.arrived(demo.send(HEAD + b"\r\ntext\r\n"))
    opening = until(lambda: received.by_name("relay.auth") and received.by_name("relay.connect"))
    spans = until(
        lambda: (
            (found := received.trace(opening[0].trace_id))
            and {"relay.receive", "relay.attempt"} <= {span.name for span in found}
            and found
        )
    )
    assert connected(spans)
    wanted = {"receive", "commit", "queue", "attempt", "permit", "connect", "auth", "transfer"}
    assert {f"relay.{name}" for name in wanted} <= {span.name for span in spans}


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
def test_as_the_readme_says_with_swaks(world):
    demo, _ = world
    done = subprocess.run(
        [*demo.net.command, "swaks", "--server", f"127.0.0.1:{PORT}", "--from", SENDER, "--to", RECIPIENT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    queue_id = re.search(r"<-  250 2\.\d\.\d .*?([0-9a-f-]{36})", done.stdout)[1]
    demo.arrived(queue_id)
    shown = until(lambda: (text := demo.ctl("trace", queue_id)) and "delivered" in text and text)
    assert "accepted" in shown
    assert "claimed" in shown
    assert RECIPIENT in shown


def test_it_serves_nobody_else(world):
    """Both ports are open on loopback only."""
    demo, _ = world
    with demo.net.inside():
        subprocess.run(["ip", "-n", demo.net.name, "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        for port in (PORT, 8025):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("192.0.2.1", port), timeout=5)
