"""An old device, TLS 1.0 and bare line feeds: refused where modern rules hold, served on ``legacy``, and reported."""

import json
import ssl
import warnings

import pytest

from tests.support.simulated import Simulated, directory
from tests.support.smtp_client import RawSmtp
from tests.support.world import client, relay, wait_state, wide

LISTENERS = {
    "smtp": {"port": 0, "address": "127.0.0.1", "tls": "optional"},
    "printers": {"port": 0, "address": "127.0.0.1", "profile": "legacy", "networks": ["127.0.0.0/8"]},
}
MESSAGE = b"From: scan-7@contoso.com\nTo: b@example.com\nSubject: scan\n\n..dot\nbare\nfeeds\r\nmixed\r\n.\r\n"
ARRIVED = b"From: scan-7@contoso.com\r\nTo: b@example.com\r\nSubject: scan\r\n"
BODY = b"\r\n\r\n.dot\r\nbare\r\nfeeds\r\nmixed\r\n"


def old_tls() -> ssl.SSLContext:
    """What a printer of 2008 offers: TLS 1.0 and nothing newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    return context


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("legacy")
    clients = {
        "printers": client("127.0.0.1/32", plan="quick"),
        "modern": client("127.0.0.2/32", plan="quick"),
    }
    with (
        Simulated(home / "sim", directory(["relay1"]), keep=True) as cloud,
        relay(cloud, home / "node", wide("relay1"), listeners=LISTENERS, clients=clients) as node,
    ):
        yield node, cloud


def test_tls_1_0_is_refused_on_a_standard_listener(world):
    node, _ = world
    with RawSmtp(node.port("smtp")) as smtp:
        smtp.hello()
        smtp.expect("220", "STARTTLS")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            smtp.wrap(old_tls())


def test_bare_line_feeds_are_refused_on_a_standard_listener(world):
    node, cloud = world
    before = len(cloud.receipts())
    with RawSmtp(node.port("smtp")) as smtp:
        smtp.hello()
        smtp.envelope("scan-7@contoso.com", ("b@example.com",))
        smtp.send(MESSAGE)
        code, text = smtp.read()
    assert code[:1] == "5", text
    assert "line" in text.lower()
    node.wait_empty()
    assert len(cloud.receipts()) == before


def test_both_are_served_on_a_legacy_listener_and_reported(world):
    node, cloud = world
    with RawSmtp(node.port("printers")) as smtp:
        smtp.hello("PRINTER_7")
        smtp.starttls(old_tls())
        assert smtp.socket.version() == "TLSv1"
        smtp.expect("250", "EHLO PRINTER_7")
        smtp.expect("250", "MAIL FROM: <scan-7@contoso.com>")
        smtp.expect("250", "RCPT TO: <b@example.com>")
        smtp.expect("354", "DATA")
        smtp.send(MESSAGE)
        queue_id = smtp.expect("250").split()[-1]
    wait_state(node, queue_id, "delivered")
    receipt = next(one for one in cloud.receipts() if f"id {queue_id};" in one["headers"])
    octets = cloud.body(receipt)
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert ARRIVED in octets
    assert octets.endswith(BODY)
    seen = {one["client"]: one for one in json.loads(node.ctl("client", "seen", "--json").stdout)}
    weak = seen["printers"]["weaknesses"]
    assert {"old_tls", "bare_lf"} <= set(weak)
    assert seen["printers"]["addresses"] == ["127.0.0.1"]
    assert "printers" in node.ctl("client", "seen").stdout


def test_a_modern_client_is_not_reported_as_weak(world):
    node, _ = world
    with RawSmtp(node.port("smtp"), source="127.0.0.2") as smtp:
        smtp.hello()
        smtp.starttls()
        smtp.expect("250", "EHLO client.test")
        smtp.envelope()
        smtp.send(b"From: app@contoso.com\r\n\r\ntext\r\n.\r\n")
        queue_id = smtp.expect("250").split()[-1]
    wait_state(node, queue_id, "delivered")
    seen = {one["client"]: one for one in json.loads(node.ctl("client", "seen", "--json").stdout)}
    assert seen["modern"]["weaknesses"] == {}
    assert seen["modern"]["messages"] == 1
