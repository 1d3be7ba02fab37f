"""The short ways and the general way answer alike: the same commands and mail, however they are cut into packets."""

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.intake import conversation
from node.intake.conversation import KNOWN, KNOWN_LINES
from node.intake.incoming import DataReader
from node.intake.local import LocalDoor
from node.intake.server import IntakeServer
from node.policy import finish, survey
from node.policy.headers import parse_header
from node.settings.rules import intake_rules
from tests.support.intake_house import Ears, Purse, settings_of

HEADERS = [
    b"From: app@contoso.com\r\nDate: Wed, 25 Nov 2026 08:20:00 +0000\r\nMessage-ID: <a@b>\r\n",
    b"From: app@contoso.com\r\nDate: x\r\nMessage-ID: <a@b> <c@d>\r\nContent-Type: multipart/signed; x=y\r\n",
    b"From: app@contoso.com\r\nDate: x\r\nmessage-id:<a@b>\r\nSubject: a\r\n b\r\nX-Y: z\r\n",
    b"From: app@contoso.com\r\nDate: x\r\nMessage-ID: <a@b>\r\nBcc: secret@contoso.com\r\n",
    b"From: app@contoso.com\r\nDate: x\r\nMessage-ID: <a@b>\r\nAuto-Submitted: auto-replied\r\nList-Id: x\r\n",
    b"From: app@contoso.com\r\nSender: other@contoso.com\r\nReply-To: x@contoso.com\r\n",
    b"From: else@fabrikam.com\r\nDate: x\r\nMessage-ID: <a@b>\r\n",
    b"From: app@contoso.com\r\nFrom: app@contoso.com\r\nDate: x\r\nMessage-ID: <a@b>\r\n",
    b"Subject: no From\r\n",
    b"no header at all\r\n",
    b"",
]
LINES = [b"word", b"", b".dot", b"..", b"caf\xc3\xa9", b"x" * 997]
FAULTS = [b"nul\0", b"bare\nlf", b"bare\rcr", b"stray\r"]
"""At most one a message: which of two is named hangs on which is met first."""
COMMANDS = [
    b"MAIL FROM:<app@contoso.com>",
    b"mail from:<app@contoso.com> SIZE=100 BODY=8BITMIME",
    b"MAIL FROM:<app@contoso.com> SIZE=99999999999",
    b"MAIL FROM:<>",
    b"MAIL FROM:<else@fabrikam.com>",
    b"RCPT TO:<someone@example.com>",
    b"RCPT TO:<other@contoso.com> NOTIFY=NEVER ORCPT=rfc822;a@b",
    b"RCPT TO:<no domain>",
    b"DATA now",
    b"RSET",
    b"NOOP",
    b"NOOP \x07",
    b"EHLO again",
    b"HELO again",
    b"EHLO",
    b"QUIT",
    b"VRFY x",
    b"BDAT 3",
    b"BOGUS",
]
BODY = st.lists(st.sampled_from(LINES), max_size=5)
MAIL = st.builds(
    lambda header, *lines: header + b"\r\n" + b"".join(line + b"\r\n" for part in lines for line in part) + b".\r\n",
    st.sampled_from(HEADERS),
    BODY,
    st.just([]) | st.sampled_from(FAULTS).map(lambda line: [line]),
    BODY,
)
OPENING = (b"MAIL FROM:<app@contoso.com>\r\n", b"RCPT TO:<someone@example.com>\r\n", b"DATA\r\n")
TRANSACTION = MAIL.map(lambda mail: [*OPENING, mail])
STEPS = st.lists(TRANSACTION | st.sampled_from(COMMANDS).map(lambda line: [line + b"\r\n"]), max_size=8)
VOLATILE = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|; \w{3}, .{20} \+0000|Date: .*")


class Wire:
    """A transport that keeps what was written."""

    def __init__(self):
        self.said, self.closed = b"", False

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 4711) if name == "peername" else default

    def write(self, octets):
        assert not self.closed
        self.said += octets

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.closed = True

    close = abort = write_eof

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Store:
    """Keeps what was appended; each is durable a turn of the loop later."""

    def __init__(self):
        self.items = []

    def append_soon(self, item):
        self.items.append(item)
        loop = asyncio.get_running_loop()
        durable = loop.create_future()
        loop.call_soon(durable.set_result, None)
        return durable

    def new_body_path(self, message_id):
        return Path("/nonexistent") / message_id


async def session(made, packets, *, forget, rules=None):
    """One session fed with these packets; replies, what was stored, and what was counted."""
    store, ears, loop = Store(), Ears(), asyncio.get_running_loop()
    server = IntakeServer(made, rules or intake_rules(made, "relay.test"), LocalDoor(store, Purse()), ears)
    server._open_gates(made)
    connection, wire = server.connection("smtp", loop), Wire()
    connection.connection_made(wire)
    for packet in (b"EHLO client.test\r\n", *packets):
        if forget:
            KNOWN.clear()
            survey._shapes.clear()
            survey._known.clear()
            server.house.rules.senders._known.clear()
            server.house.rules.recipients._known.clear()
            server.house.rules.authors._known.clear()
        connection.data_received(packet)
        for _ in range(20):
            if connection._awaited is None:
                break
            await asyncio.sleep(0)
        assert connection._awaited is None
    connection.connection_lost(None)
    await server.close()
    assert server.house.transfers == 0
    stored = [
        (
            VOLATILE.sub(b"", item.body),
            item.message.mail_from,
            item.message.header_from,
            item.message.recipients,
            item.message.size_bytes,
            VOLATILE.sub(b"", item.message.message_id.encode()),
            (item.message.eight_bit, item.message.no_bounce, item.message.signed, item.message.tenant),
        )
        for item in store.items
    ]
    return VOLATILE.sub(b"", wire.said), wire.closed, stored, ears.counts


def cut(octets, places):
    at = [0, *sorted({place % (len(octets) + 1) for place in places}), len(octets)]
    return [octets[a:b] for a, b in pairwise(at) if a < b]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    listeners = {"smtp": {"port": 0, "address": "127.0.0.1", "tls": "none"}}
    return settings_of(tmp_path_factory.mktemp("ways"), listeners=listeners)


def same(made, packets, others):
    rules = intake_rules(made, "relay.test")
    first = asyncio.run(session(made, packets, forget=False, rules=rules))
    warm = asyncio.run(session(made, packets, forget=False, rules=rules))  # by now everything is known
    assert warm == first
    with (
        patch.object(finish, "glance", lambda _raw: None),
        patch.object(finish, "plain_of", lambda _header: None),
        patch.object(DataReader, "_take_whole", lambda _reader, _data: False),
    ):
        assert warm == asyncio.run(session(made, others, forget=True))
    return warm


@settings(deadline=None, max_examples=50)
@given(steps=STEPS, places=st.lists(st.integers(0, 20_000), max_size=30))
def test_packets_may_be_cut_anywhere(made, steps, places):
    packets = [packet for step in steps for packet in step]
    same(made, packets, cut(b"".join(packets), places))


@settings(deadline=None, max_examples=50)
@given(mail=MAIL)
def test_octet_by_octet(made, mail):
    packets = [*OPENING, mail, b"QUIT\r\n"]
    same(made, packets, [bytes((octet,)) for octet in b"".join(packets)])


def test_plain_mail_takes_the_short_ways(made):
    packets = [*OPENING, HEADERS[0] + b"\r\nhello\r\n.\r\n"]
    said, _, stored, _ = same(made, packets, packets)
    assert said.count(b"250 2.0.0 Ok: queued") == 1
    assert stored[0][0].endswith(VOLATILE.sub(b"", HEADERS[0]) + b"\r\nhello\r\n")
    asyncio.run(session(made, packets, forget=False))
    assert all(line in KNOWN for line in OPENING)
    names = tuple(row[1] for row in parse_header(HEADERS[0]).rows)
    assert survey.shape_of(names).plain
    assert survey.glance(HEADERS[0] + b"\r\n") is not None
    assert DataReader(1000)._take_whole(packets[3])


def test_a_line_with_a_password_is_not_remembered(made):
    asyncio.run(session(made, [b"AUTH PLAIN AGEAc2VjcmV0\r\n", b"NOOP\r\n"], forget=False))
    assert b"NOOP\r\n" in KNOWN
    assert not any(line.upper().startswith(b"AUTH") for line in KNOWN)


def test_what_is_remembered_is_bounded(made):
    packets = [b"MAIL FROM:<app@contoso.com>\r\n"]
    packets += [b"RCPT TO:<u%d@example.com>\r\n" % number for number in range(KNOWN_LINES + 50)]
    asyncio.run(session(made, packets, forget=False))
    assert len(KNOWN) <= KNOWN_LINES
    asyncio.run(session(made, [b"NOOP " + b"x" * 600 + b"\r\n"], forget=False))
    assert not any(len(line) > conversation.KNOWN_OCTETS + 2 for line in KNOWN)
    for number in range(survey.SHAPES + 5):
        survey.shape_of((b"From", b"X-%d" % number))
    assert len(survey._shapes) <= survey.SHAPES
    assert len(survey._known) <= survey.KNOWN_NAMES
    big = tuple(b"X-%d" % number for number in range(survey.SHAPE_FIELDS + 1))
    survey.shape_of(big)
    assert big not in survey._shapes
