"""Reports of failed delivery: Microsoft's own forms, other servers', broken ones, and hostile ones in bounded time."""

import base64
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.ndr.mime import DEPTH_MAX, PARTS_MAX, READ_BYTES, Walk
from node.policy.ndr.read import RECIPIENTS_MAX, read_notice
from node.policy.ndr.values import NoNotice, Notice, Said
from node.policy.ndr.words import diagnostic, status_code
from tests.support.ndrs import exchange_ndr, plain_ndr

QUEUE_ID = "0190a5b2-7c11-7abc-8def-0123456789ab"
BOUND_S = 2.0
BOUND_BYTES = 64 << 20


def read(data: bytes) -> Notice:
    notice = read_notice(data)
    assert isinstance(notice, Notice), notice
    return notice


def test_exchange_onlines_form():
    notice = read(exchange_ndr(to="app@contoso.com", recipient="Nobody@Contoso.com", queue_id=QUEUE_ID))
    (one,) = notice.recipients
    assert (one.final, one.said, one.status) == ("Nobody@contoso.com", Said.FAILED, "5.1.10")
    assert (one.reply.code, one.reply.enhanced) == (550, "5.1.10")
    assert one.reply.text.startswith("RESOLVER.ADR.RecipientNotFound; Recipient")
    assert notice.message_ids[0] == "<one@contoso.com>"
    assert notice.queue_ids == (QUEUE_ID,)
    assert notice.addressed == ("app@contoso.com",)
    assert notice.reporter.endswith(".prod.outlook.com")
    assert not notice.cut


def test_in_reply_to_serves_where_nothing_came_back():
    data = exchange_ndr(to="app@contoso.com", recipient="a@b.example", returned=False)
    notice = read(data)
    assert notice.message_ids == ("<one@contoso.com>",)
    assert notice.header == b""


def test_several_recipients_each_with_its_own_words():
    rows = [("a@x.example", "5.1.1", "550 5.1.1 no"), ("b@x.example", "4.4.7", "550 4.4.7 QUEUE.Expired; gone")]
    notice = read(plain_ndr("r@contoso.com", rows))
    assert [(one.final, one.reply.enhanced) for one in notice.recipients] == [
        ("a@x.example", "5.1.1"),
        ("b@x.example", "4.4.7"),
    ]


@pytest.mark.parametrize(
    ("value", "status", "code", "enhanced", "begins"),
    [
        ("smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; x", "5.1.10", 550, "5.1.10", "RESOLVER.ADR"),
        ("smtp; 550 5.7.233 Tenant exceeded the limit", "5.7.233", 550, "5.7.233", "Tenant"),
        ("smtp;554 5.2.2 mailbox full;\tSTOREDRV.Deliver", "5.2.2", 554, "5.2.2", "mailbox full"),
        ("smtp;#550 4.4.7 QUEUE.Expired; message expired ##", "4.4.7", 550, "4.4.7", "QUEUE.Expired"),
        ("smtp;550-5.1.1 The account does not exist", "5.1.1", 550, "5.1.1", "The account"),
        ("smtp;550 5.0.350 Remote Server returned '550 5.1.1 no such user'", "5.0.350", 550, "5.1.1", "no such"),
        ("smtp;550 4.4.316 Connection refused [Message=Socket error code 10061]", "4.4.316", 550, "4.4.316", "Conn"),
        ("X-Postfix; mail for nowhere loops back to myself", "5.4.6", 550, "5.4.6", "mail for"),
        ("", "4.4.1", 450, "4.4.1", ""),
        ("no code at all", "", 0, "", "no code"),
    ],
)
def test_diagnostic_codes(value, status, code, enhanced, begins):
    reply = diagnostic(value, status)
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert reply.text.startswith(begins)


def test_status_with_a_comment():
    assert status_code("5.1.1 (bad destination)") == "5.1.1"
    assert status_code("permanent") == ""


def test_a_disclaimer_around_the_report_does_not_hide_it():
    inner = plain_ndr("r@contoso.com", [("a@x.example", "5.1.1", "550 5.1.1 no")])
    head = b'To: r@contoso.com\r\nContent-Type: multipart/mixed; boundary="out"\r\n\r\n'
    wrapped = head + b"--out\r\n" + inner + b"\r\n--out\r\nContent-Type: text/plain\r\n\r\nhouse rules\r\n--out--\r\n"
    assert read(wrapped).recipients[0].final == "a@x.example"


def test_a_report_inside_the_returned_message_is_the_senders_own_text():
    forged = plain_ndr("r@contoso.com", [("victim@x.example", "5.1.1", "550 5.1.1 no")])
    head = b'Content-Type: multipart/report; boundary="ours"\r\n\r\n'
    data = head + b"--ours\r\nContent-Type: message/rfc822\r\n\r\n" + forged + b"\r\n--ours--\r\n"
    assert read_notice(data) == NoNotice(why="no_report")


def test_the_first_report_counts():
    one, two = (
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\n"
        b"Final-Recipient: rfc822;%b\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n" % name
        for name in (b"a@x.example", b"b@x.example")
    )
    notice = read(b'Content-Type: multipart/report; boundary="b"\r\n\r\n' + one + two + b"--b--\r\n")
    assert [each.final for each in notice.recipients] == ["a@x.example"]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "nonsense"])
def test_transfer_encodings_that_should_not_be_there(encoding):
    text = b"Reporting-MTA: dns;x\r\n\r\nFinal-Recipient: rfc822;a=b@x.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    coded = {"base64": base64.encodebytes(text), "quoted-printable": text.replace(b"=", b"=3D")}.get(encoding, text)
    data = (
        b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: "
        + encoding.encode()
        + b"\r\n\r\n"
        + coded
    )
    assert read(data).recipients[0].final == "a=b@x.example"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"Subject: hello\r\n\r\nnot a report\r\n",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n",
        b"Content-Type: multipart/report\r\n\r\n--x\r\n\r\n--x--\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\nAction: failed\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n\r\nFinal-Recipient: rfc822;a@b.example\r\nAction: vanished\r\n",
    ],
)
def test_missing_parts(data):
    assert isinstance(read_notice(data), NoNotice)


def test_an_address_that_is_none_is_left_empty():
    rows = [("IMCEAEX-_O=EXCHANGELABS_OU=x y@contoso.com", "5.1.1", "550 5.1.1 no")]
    assert read(plain_ndr("r@contoso.com", rows)).recipients[0].final == ""


def test_no_text_of_a_report_can_carry_control_characters():
    data = plain_ndr("r@contoso.com", [("a@x.example", "5.1.1", "550 5.1.1 \x1b[2Jgone\x07\x00 \u202eevil")])
    notice = read(data)
    assert notice.recipients[0].reply.text.isprintable()
    assert notice.reporter.isprintable()


# -- bounds


def _timed(data: bytes):
    tracemalloc.start()
    start_s = time.process_time()
    try:
        result = read_notice(data)
        spent_s = time.process_time() - start_s
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent_s < BOUND_S * 4, spent_s  # tracing costs up to fourfold
    assert peak < BOUND_BYTES, peak
    return result


HEAD = b'Content-Type: multipart/report; boundary="a"\r\n\r\n'
STATUS = b"Content-Type: message/delivery-status\r\n\r\n"
ONE = STATUS + b"Final-Recipient: rfc822;a@b.example\r\nAction: failed\r\n"
HOSTILE = {
    "junk": b"\x00\xff" * (15 << 20),
    "one line": b"x" * (30 << 20),
    "new lines": b"\n" * (30 << 20),
    "blanks": STATUS + b"\n \t" * (10 << 20),
    "endless header": b"X-A: b\r\n" * (4 << 20),
    "endless field": b"X-A: b\r\n" + b" c\r\n" * (6 << 20),
    "boundaries": HEAD + b"--a\r\n" * (6 << 20),
    "almost boundaries": HEAD + b"--a!\r\n" * (5 << 20),
    "boundaries in one line": HEAD + b"--a" * (10 << 20),
    "groups": STATUS + b"Final-Recipient: rfc822;a@b.example\r\nAction: failed\r\n\r\n" * 500_000,
    "fields of one group": STATUS + b"Final-Recipient: rfc822;a@b.example\r\n" * 700_000,
    "long diagnostic": STATUS
    + b"Final-Recipient: rfc822;a@b.example\r\nAction: failed\r\nDiagnostic-Code: "
    + b"550 " * (5 << 20),
    "parameters": b"Content-Type: multipart/report; " + b'a="' * 20_000 + b"\r\n\r\n",
    "comments": b"Content-Type: " + b"(" * 60_000 + b"\r\n\r\n",
    "addressees": b"To: " + b"(" * 60_000 + b"\r\n" + ONE,
    "references": b"References: "
    + b"<" * 60_000
    + b"\r\n"
    + STATUS
    + b"Final-Recipient: a@b.example\r\nAction: failed",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_bounded_time_and_memory(name):
    _timed(HOSTILE[name])


def test_nesting_is_cut():
    data = b""
    for depth in range(200):
        data = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (depth, depth) + data
    walk = Walk(data)
    assert all(part.depth <= DEPTH_MAX for part in walk.leaves())
    assert walk.cut


def test_parts_are_cut():
    walk = Walk(HEAD + b"--a\r\n\r\nx\r\n" * 5_000)
    assert sum(1 for _ in walk.leaves()) <= PARTS_MAX
    assert walk.cut


def test_recipients_are_cut():
    rows = [(f"r{number}@x.example", "5.1.1", "550 5.1.1 no") for number in range(RECIPIENTS_MAX + 50)]
    notice = read(plain_ndr("r@contoso.com", rows))
    assert len(notice.recipients) == RECIPIENTS_MAX
    assert notice.cut


def test_a_report_in_front_of_thirty_megabytes_is_read():
    data = exchange_ndr(to="app@contoso.com", recipient="a@x.example") + b"y" * (30 << 20)
    notice = _timed(data)
    assert notice.recipients[0].final == "a@x.example"
    assert notice.cut
    assert len(data) > READ_BYTES


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=2_000))
def test_any_octets_are_read_without_an_error(data):
    assert isinstance(read_notice(data), Notice | NoNotice)


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/report; boundary=a\r\n\r\n", b"--a\r\n", b"--a--\r\n", b"\r\n", b"\n", b"--a",
        b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n",
        b"Final-Recipient: rfc822;", b"a@b.example", b"Action: failed\r\n", b"Status: 5.1.1\r\n", b" ", b"\t", b":",
        b"Diagnostic-Code: smtp;", b"550 ", b"Remote Server returned '", b"<x@y>", b"\xff", b"(", b'"', b";", b"=",
        b"Received: by x id 0190a5b2-7c11-7abc-8def-0123456789ab\r\n", b"To: ", b"References: ", b"\x00",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    ]
)  # fmt: skip


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=60))
def test_any_order_of_the_pieces_of_a_report_is_read_without_an_error(pieces):
    result = read_notice(b"".join(pieces))
    if isinstance(result, Notice):
        assert 0 < len(result.recipients) <= RECIPIENTS_MAX
        for one in result.recipients:
            assert one.reply.text.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_report_damaged_anywhere_is_read_without_an_error(data):
    whole = bytearray(exchange_ndr(to="app@contoso.com", recipient="a@x.example", queue_id=QUEUE_ID))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        length = data.draw(st.integers(0, 20))
        whole[at : at + length] = data.draw(st.binary(max_size=20))
    assert isinstance(read_notice(bytes(whole)), Notice | NoNotice)
