"""SMTP smuggling: whatever stands for the end of data, one message never becomes two (CVE-2023-51764 and kin)."""

import pytest

from tests.support.intake_house import IntakeHouse
from tests.support.smtp_client import RawSmtp

SECOND = (
    b"MAIL FROM:<ceo@contoso.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nFrom: ceo@contoso.com\r\n\r\nevil\r\n.\r\n"
)
HEADER = b"From: app@contoso.com\r\n\r\nfirst"
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\n.\r",
    b"\0\r\n.\n",
    b"\r\n\0.\r\n",
]
LISTENERS = {
    "smtp": {"port": 0, "address": "127.0.0.1", "tls": "none"},
    "old": {"port": 0, "address": "127.0.0.1", "tls": "none", "profile": "legacy", "networks": ["127.0.0.0/8"]},
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with IntakeHouse(tmp_path_factory.mktemp("smuggling"), listeners=LISTENERS) as running:
        yield running


def attack(house, listener, octets):
    """Send everything at once; the replies to what followed DATA, and the messages kept."""
    before = {view.message.id for view in house.messages()}
    replies = []
    with RawSmtp(house.port(listener)) as smtp:
        smtp.hello()
        smtp.envelope()
        smtp.send(octets)
        smtp.socket.settimeout(2)
        try:
            while (reply := smtp.read())[0]:
                replies.append(reply[0])
                if (reply[0] == "250" and len(replies) == 1) or reply[0] in ("554", "500"):
                    smtp.socket.settimeout(0.3)
        except TimeoutError:
            pass
    return replies, [view for view in house.messages() if view.message.id not in before]


@pytest.mark.parametrize("listener", ["smtp", "old"])
@pytest.mark.parametrize("end", FALSE_ENDS)
def test_a_false_end_never_starts_a_second_message(house, listener, end):
    replies, kept = attack(house, listener, HEADER + end + SECOND + b"\r\n.\r\n")
    assert len(kept) <= 1, replies
    if kept:
        assert listener == "old"
        assert [r.address for r in kept[0].recipients] == ["someone@example.com"]
        assert b"MAIL FROM:<ceo" in house.body(kept[0].message.id)
    else:
        assert replies[0] == "554"


def test_a_true_end_lets_pipelined_commands_follow(house):
    replies, kept = attack(house, "smtp", HEADER + b"\r\n.\r\n" + SECOND)
    assert replies == ["250", "250", "250", "354", "250"] or replies[0] == "250"
    assert len(kept) == 2


def test_what_follows_a_framing_error_is_not_read(house):
    with RawSmtp(house.port()) as smtp:
        smtp.hello()
        smtp.envelope()
        smtp.send(HEADER + b"\n.\n" + SECOND)
        smtp.expect("554")
        assert smtp.closed()


def test_dots_are_unstuffed_once_and_only_at_line_starts(house):
    _, kept = attack(house, "smtp", b"From: a@contoso.com\r\n\r\n..one\r\na..b\r\n...\r\n..\r\nx.\r\n.\r\n")
    assert house.body(kept[0].message.id).endswith(b"\r\n\r\n.one\r\na..b\r\n..\r\n.\r\nx.\r\n")


def test_a_legacy_sender_of_bare_line_feeds_is_normalised(house):
    _, kept = attack(house, "old", b"From: a@contoso.com\nSubject: x\n\none\n.\ntwo\r\n.\r\n")
    body = house.body(kept[0].message.id)
    assert body.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n")
    assert b"\n" not in body.replace(b"\r\n", b"")
    seen = {entry.client: entry for entry in house.door.book.report()}
    assert seen["apps"].weak
    assert seen["apps"].counts["bare_lf"] >= 1
