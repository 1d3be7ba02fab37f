"""Bad input at the front door: each kind gets a clear reply, and nothing refused is kept."""

import base64
import contextlib
import socket
import time

import pytest

from tests.support.intake_house import IntakeHouse
from tests.support.smtp_client import RawSmtp

HEADER = b"From: app@contoso.com\r\nSubject: x\r\n"
GOOD = HEADER + b"\r\nhello\r\n.\r\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with IntakeHouse(
        tmp_path_factory.mktemp("bad"),
        limits={"size": "2MiB", "errors_per_session": 10, "idle": "20s"},
        plans={"small": {"max_recipients": 3}},
        clients={"apps": {"networks": ["127.0.0.0/8"], "senders": ["*@contoso.com"], "plan": "small"}},
    ) as running:
        yield running


@pytest.fixture
def smtp(house):
    with RawSmtp(house.port()) as client:
        client.hello()
        yield client


def data(smtp, octets):
    smtp.envelope()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        smtp.send(octets)
    return smtp.read()


@pytest.mark.parametrize(
    ("line", "code", "enhanced"),
    [
        (b"MAIL FROM:<a\rb@contoso.com>", "500", "5.5.2"),
        (b"MAIL FROM:<a\0b@contoso.com>", "500", "5.5.2"),
        (b"MAIL FROM:<a b@contoso.com>", "553", "5.1.7"),
        (b"MAIL FROM:<a<b@contoso.com>", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com>x", "501", "5.5.4"),
        (b"MAIL FROM: <a@contoso.com>", "501", "5.5.4"),
        (b"MAIL FROM:a@contoso.com", "501", "5.5.4"),
        (b"MAIL TO:<a@contoso.com>", "501", "5.5.4"),
        (b"MAIL", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> SIZE=x", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> SIZE=1 SIZE=2", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> SIZE=99999999", "552", "5.3.4"),
        (b"MAIL FROM:<a@contoso.com> BODY=BINARYMIME", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> ENVID=a+0Ab", "501", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> WHAT=1", "555", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com> AUTH=a+ZZ", "501", "5.5.4"),
        (b"MAIL FROM:<a@elsewhere.com>", "550", "5.7.1"),
        ("MAIL FROM:<ä@contoso.com>".encode(), "553", "5.6.7"),
        (b"MAIL FROM:<\xff@contoso.com>", "500", "5.5.2"),
        (b"RCPT TO:<b@example.com>", "503", "5.5.1"),
        (b"DATA", "503", "5.5.1"),
        (b"BDAT 5 LAST", "502", "5.5.1"),
        (b"EXPN list", "502", "5.5.1"),
        (b"FROBNICATE", "500", "5.5.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "500", "5.5.1"),
        (b"EHLO a_b<c", "501", "5.5.4"),
        (b"NOOP " + b"x" * 4000, "500", "5.5.2"),
        (b"AUTH PLAIN AAAA", "538", "5.7.11"),
    ],
)
def test_commands_are_refused(smtp, line, code, enhanced):
    got, text = smtp.say(line)
    assert (got, text.split(" ")[0]) == (code, enhanced)


@pytest.mark.parametrize(
    ("line", "code", "enhanced"),
    [
        (b"RCPT TO:<b@exa mple.com>", "553", "5.1.3"),
        (b"RCPT TO:<b@example.com\r>", "500", "5.5.2"),
        (b"RCPT TO:<>", "553", "5.1.3"),
        (b"RCPT TO:<@>", "553", "5.1.3"),
        (b"RCPT TO:<b@example.com> NOTIFY=NEVER,DELAY", "501", "5.5.4"),
        (b"RCPT TO:<b@example.com> ORCPT=rfc822;a+0D+0Ab", "501", "5.5.4"),
        (b"RCPT TO:<b@example.com> SIZE=3", "555", "5.5.4"),
        (b"MAIL FROM:<a@contoso.com>", "503", "5.5.1"),
        (b"DATA", "503", "5.5.1"),
        (b"STARTTLS", "503", "5.5.1"),
    ],
)
def test_recipients_and_order_are_refused(smtp, line, code, enhanced):
    smtp.expect("250", "MAIL FROM:<app@contoso.com>")
    got, text = smtp.say(line)
    assert (got, text.split(" ")[0]) == (code, enhanced)


def test_too_many_recipients(smtp):
    smtp.expect("250", "MAIL FROM:<app@contoso.com>")
    for n in range(3):
        smtp.expect("250", f"RCPT TO:<b{n}@example.com>")
    assert smtp.expect("452", "RCPT TO:<b9@example.com>").startswith("4.5.3")


@pytest.mark.parametrize(
    ("octets", "code", "enhanced", "closes"),
    [
        (HEADER + b"\r\nbare\nline\r\n.\r\n", "554", "5.6.0", True),
        (HEADER + b"\r\nbare\rreturn\r\n.\r\n", "554", "5.6.0", True),
        (HEADER + b"\r\nnul\0\r\n.\r\n", "554", "5.6.0", False),
        (HEADER + b"\r\n" + b"x" * 70_000 + b"\r\n.\r\n", "554", "5.6.0", False),
        (HEADER + b"X-Long: " + b"x" * 1000 + b"\r\n\r\nb\r\n.\r\n", "554", "5.6.0", False),
        (b"X-Endless: y\r\n" * 30_000 + b"\r\n.\r\n", "552", "5.3.4", False),
        (HEADER + b"\r\n" + (b"x" * 70 + b"\r\n") * 32_000 + b".\r\n", "552", "5.3.4", False),
        (b"From: a@contoso.com\r\nFrom: b@contoso.com\r\n\r\nb\r\n.\r\n", "550", "5", False),
        (b"From: ceo@elsewhere.com\r\n\r\nb\r\n.\r\n", "550", "5.7.1", False),
        (HEADER + b"this is no field\r\n\r\nb\r\n.\r\n", "554", "5.6.0", False),
    ],
)
def test_data_is_refused(house, smtp, octets, code, enhanced, closes):
    before = len(house.messages())
    got, text = data(smtp, octets)
    assert got == code, text
    assert text.startswith(enhanced), text
    if closes:
        assert smtp.closed()
    else:
        smtp.expect("250", "NOOP")  # the session goes on in step
    assert len(house.messages()) == before


def test_eight_bit_without_8bitmime_is_taken_and_flagged(house, smtp):
    code, text = data(smtp, HEADER + "\r\nGrüße\r\n.\r\n".encode())
    assert code == "250"
    view = next(v for v in house.messages() if v.message.id in text)
    assert view.message.eight_bit


def test_malformed_mime_is_passed_on(house, smtp):
    body = b'Content-Type: multipart/mixed; boundary="x\r\nContent-Type: a/b\r\n\r\n--y\r\n--\r\n.\r\n'
    code, text = data(smtp, HEADER + body)
    assert code == "250"
    assert house.body(text.split()[-1]).endswith(b"--y\r\n--\r\n")


def test_an_endless_command_line_is_refused_once_and_skipped(smtp):
    smtp.send(b"NOOP " + b"x" * 30_000)
    assert smtp.expect("500").startswith("5.5.2")
    smtp.send(b"y" * 30_000 + b"\r\n")
    smtp.expect("250", "NOOP")


def test_a_bare_line_feed_after_a_command_closes(smtp):
    smtp.send(b"NOOP\n")
    assert smtp.expect("500").startswith("5.5.2")
    assert smtp.closed()


def test_too_many_errors_close_the_session(house, smtp):
    for _ in range(9):
        smtp.expect("500", "FROBNICATE")
    smtp.expect("500", "FROBNICATE")
    assert smtp.expect("421").startswith("4.7.0")
    assert smtp.closed()


def test_half_closed_socket_still_hears_its_reply(house, smtp):
    smtp.envelope()
    smtp.send(GOOD)
    smtp.socket.shutdown(socket.SHUT_WR)
    text = smtp.expect("250")
    assert smtp.closed()
    assert any(v.message.id == text.split()[-1] for v in house.messages())


def test_a_socket_closed_in_the_middle_of_data_leaves_nothing(house, smtp):
    before = len(house.messages())
    smtp.envelope()
    smtp.send(HEADER + b"\r\nhalf")
    smtp.close()
    house.until(lambda: house.server.house.transfers == 0)
    assert len(house.messages()) == before


def test_commands_before_the_banner_are_answered_in_order(house):
    with RawSmtp(house.port()) as smtp:
        smtp.send(b"EHLO client.test\r\nNOOP\r\n")
        smtp.expect("220")
        smtp.expect("250")
        smtp.expect("250")


def test_commands_ahead_of_the_tls_handshake_are_thrown_away(house):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.send(b"STARTTLS\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<evil@example.com>\r\n")
        smtp.expect("220")
        smtp.wrap()
        smtp.expect("503", "RCPT TO:<b@example.com>")
        smtp.expect("250", "EHLO client.test")


def test_tls_garbage_closes_the_connection(house):
    before = house.ears.refused("tls_handshake")
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.expect("220", "STARTTLS")
        smtp.send(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while smtp.socket.recv(100):
                pass
    house.until(lambda: house.ears.refused("tls_handshake") == before + 1)


@pytest.mark.parametrize(
    ("line", "code", "enhanced"),
    [
        (b"AUTH PLAIN !!!!", "501", "5.5.2"),
        (b"AUTH PLAIN " + base64.b64encode(b"only-one-part"), "501", "5.5.2"),
        (b"AUTH PLAIN AAAA BBBB", "501", "5.5.4"),
        (b"AUTH CRAM-MD5", "504", "5.5.4"),
        (b"AUTH", "501", "5.5.4"),
        (b"AUTH PLAIN " + b"A" * 12_300, "500", "5.5.2"),
        (b"AUTH PLAIN " + base64.b64encode(b"\0nobody\0wrong"), "535", "5.7.8"),
    ],
)
def test_rubbish_in_auth(house, line, code, enhanced):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.starttls()
        smtp.expect("250", "EHLO client.test")
        got, text = smtp.say(line)
        assert (got, text.split(" ")[0]) == (code, enhanced)


def test_rubbish_in_the_lines_of_auth(house):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.starttls()
        smtp.expect("250", "EHLO client.test")
        smtp.expect("334", "AUTH LOGIN")
        assert smtp.expect("501", "*").startswith("5.7.0")
        smtp.expect("334", "AUTH LOGIN")
        assert smtp.expect("501", "ä".encode()).startswith("5.5.2")
        smtp.expect("334", "AUTH PLAIN")
        assert smtp.expect("500", "A" * 13_000).startswith("5.5.6")
        assert smtp.expect("421", "AUTH LOGIN").startswith("4.7.0")  # the fourth try of three
        assert smtp.closed()


def test_slow_senders_are_cut_off(tmp_path):
    with IntakeHouse(tmp_path, limits={"data_idle": "400ms", "idle": "600ms"}) as house:
        with RawSmtp(house.port()) as smtp:
            smtp.hello()
            smtp.envelope()
            end = time.monotonic() + 5
            with contextlib.suppress(OSError):
                while time.monotonic() < end:  # an octet now and then is no progress
                    smtp.send(b"x")
                    time.sleep(0.05)
            assert smtp.expect("421").startswith("4.4.2")
        with RawSmtp(house.port()) as smtp:
            smtp.expect("220")
            assert smtp.expect("421").startswith("4.4.2")
            assert smtp.closed()


def test_full_disk_is_a_temporary_refusal(tmp_path):
    from node.intake.door import DoorState

    with IntakeHouse(tmp_path) as house, RawSmtp(house.port()) as smtp:
        smtp.hello()
        house.call(house.door.set_state, DoorState(accepting=False, reason="disk"))
        assert smtp.expect("452", "MAIL FROM:<app@contoso.com>").startswith("4.3.1")
        house.call(house.door.set_state, DoorState())
        smtp.expect("250", "MAIL FROM:<app@contoso.com>")
