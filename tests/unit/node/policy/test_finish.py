"""What leaves the front door: hygiene, originators, loops, and the fields a message must have."""

import re
from ipaddress import ip_network

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.admission import Denial, check_mail, check_recipient
from node.policy.clients import ClientIndex, ClientRule, To
from node.policy.envelope import Direction, OnUnknown, Priority
from node.policy.facts import Facts
from node.policy.finish import DROPPED, DROPPED_PREFIXES, Finished, finish_headers, new_message
from node.policy.headers import Header, parse_header
from node.policy.patterns import PatternSet
from node.policy.rewrite import Rewriter, SenderRewrite
from node.policy.rulebook import IntakeRules, TenantDomains

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ID = "019aaf5e-0000-7000-8000-000000000001"
NOW_MS = 1_795_442_400_000
APPS = ClientRule(
    name="apps",
    networks=(ip_network("10.0.0.0/8"),),
    senders=PatternSet(("*@contoso.com", "*@fabrikam.com")),
    owner="it@contoso.com",
    plan="batch",
    priority=Priority.BULK,
    on_unknown=OnUnknown.BOUNCE,
    expire_s=600.0,
)
REWRITES = [
    SenderRewrite(senders=PatternSet(("*@*.corp.local",)), to="noreply@contoso.com"),
    SenderRewrite(senders=PatternSet(("scanner",)), to="scan@contoso.com", keep_reply_to=False),
]
RULES = IntakeRules(
    clients=ClientIndex([APPS]),
    rewriter=Rewriter(REWRITES, {}, "contoso.com"),
    domains=TenantDomains({"contoso.com": "contoso", "fabrikam.com": "fabrikam"}, "contoso"),
    hostname="relay-a.corp",
    marker="m365-relay corp",
)
BASE = (
    b"From: App <app@contoso.com>\r\nTo: x@example.com\r\nSubject: hi\r\n"
    b"Date: Mon, 23 Nov 2026 13:00:00 +0000\r\nMessage-ID: <1@app>\r\n"
)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def but(**changes):
    return msgspec.structs.replace(APPS, **changes)


def facts(client=APPS, sender="<app@contoso.com>", recipients=("<x@example.com>",), rules=RULES, **changes):
    mail = check_mail(rules, client, sender)
    assert not isinstance(mail, Denial), mail
    judged = tuple(check_recipient(rules, client, mail, item, 0) for item in recipients)
    values = {"protocol": "ESMTPSA", "helo": "app.contoso.com", "peer": "10.1.2.3", **changes}
    return Facts(id=ID, now_ms=NOW_MS, rules=rules, client=client, mail=mail, recipients=judged, **values)


def finish(raw, *args, **kwargs):
    result = finish_headers(raw + b"\r\nbody\r\n", facts(*args, **kwargs))
    assert isinstance(result, Finished), result
    return result


def refused(raw, *args, **kwargs):
    result = finish_headers(raw + b"\r\nbody\r\n", facts(*args, **kwargs))
    assert isinstance(result, Denial), result
    return f"{result.code} {result.enhanced} {result.reason}"


def after_received(finished):
    assert finished.header.startswith(b"Received: ")
    return re.sub(rb"\AReceived: [^\r]*\r\n(?:\t[^\r]*\r\n)*", b"", finished.header)


def test_a_good_message_only_gains_received():
    raw = BASE + b"X-App:  odd   spacing \r\n\tfolded\r\n"
    result = finish(raw)
    assert after_received(result) == raw + b"\r\n"
    assert result.header_from == "app@contoso.com"
    assert result.message_id == "<1@app>"
    assert result.tenant == "contoso"
    assert not result.no_bounce
    assert not result.signed
    assert not result.eight_bit


def test_received_full_and_minimal():
    full = finish(BASE, tls="TLSv1.3 TLS_AES_256_GCM_SHA384").header
    assert full.startswith(
        b"Received: from app.contoso.com ([10.1.2.3])\r\n\t(using TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tby relay-a.corp (m365-relay corp) with ESMTPSA\r\n\tid "
        + ID.encode()
        + b"; Mon, 23 Nov 2026 14:00:00 +0000\r\n"
    )
    assert b"([IPv6:2001:db8::7])" in finish(BASE, peer="2001:db8::7").header
    minimal = finish(BASE, rules=msgspec.structs.replace(RULES, received_full=False)).header
    assert minimal.startswith(b"Received: by relay-a.corp (m365-relay corp) with ESMTPSA\r\n\tid ")
    assert b"10.1.2.3" not in minimal
    assert b"app.contoso.com" not in minimal


@pytest.mark.parametrize(
    "helo", ["a\r\nBcc: x@y.z", "a) by evil (", "<script>", "x" * 5000, "ü", "", '"\\', "a b", "a\x00b", "[bad"]
)
def test_helo_cannot_inject(helo):
    header = finish(BASE, helo=helo).header
    parsed = parse_header(header)
    assert isinstance(parsed, Header)
    assert [field.name for field in parsed.fields].count(b"bcc") == 0
    assert len(parsed.fields) == 6
    assert b"from unknown" in header
    assert header.count(b"(") == header.count(b")")


def test_missing_fields_are_added():
    header = after_received(finish(b"Subject: x\r\n")).decode()
    assert header == (
        "Subject: x\r\nFrom: <app@contoso.com>\r\nMessage-ID: <" + ID + "@relay-a.corp>\r\n"
        "Date: Mon, 23 Nov 2026 14:00:00 +0000\r\n\r\n"
    )


def test_a_body_without_header_gets_one():
    raw = b"hello\r\nFrom: ceo@evil.com\r\n\r\nmore\r\n"
    result = finish_headers(raw, facts())
    assert result.body_at == 0
    assert b"evil" not in result.header
    assert result.header.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"", b" ", b" <>", b"\r\n  "])
def test_empty_from_counts_as_missing(value):
    raw = b"From:" + value + b"\r\n" if value != b"\r\n  " else b"From: <>\r\n"
    result = finish(raw)
    assert result.header.count(b"From:") == 1
    assert result.header_from == "app@contoso.com"


def test_no_from_and_null_sender():
    assert refused(b"Subject: x\r\n", sender="<>") == "550 5.6.0 no_from"


@pytest.mark.parametrize("message_id", [b"", b" ", b" garbage", b" <a b@c>", b" <>", "<ä@x>".encode()])
def test_unusable_message_id_is_replaced(message_id):
    result = finish(BASE.replace(b" <1@app>", message_id))
    assert result.message_id == f"<{ID}@relay-a.corp>"
    assert result.header.count(b"Message-ID:") == 1


def test_first_of_several_message_ids_stays():
    result = finish(BASE + b"Message-Id: <2@app>\r\n")
    assert result.message_id == "<1@app>"
    assert b"<2@app>" not in result.header


HIDDEN = [
    "Bcc",
    "bCC",
    "Resent-Bcc",
    "Return-Path",
    "X-MS-Exchange-Organization-SCL",
    "x-ms-exchange-organization-AuthAs",
    "X-MS-Exchange-CrossPremises-AuthSource",
    "X-CrossPremisesHeadersPromoted",
    "X-MS-Exchange-Forest-RulesExecuted",
    "traceparent",
    "TraceState",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_dropped(name):
    result = finish(BASE + f"{name}: secret\r\n folded-secret\r\n{name}: again\r\nX-Last: 1\r\n".encode())
    assert after_received(result) == BASE + b"X-Last: 1\r\n\r\n"


@CALM
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*HIDDEN, "X-Fine", "To", "Cc", "List-Id"]),
            st.sampled_from([":", ": ", " : ", "\t:"]),
            st.text("aB@.,:;<> \t=", max_size=20),
            st.sampled_from(["", "\r\n folded", "\r\n\tBcc: x@y.z", "\r\n  \r\n Bcc: q"]),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_no_dropped_field_ever_survives(fields, lenient):
    raw = BASE + b"".join(f"{name}{colon}{value}{fold}\r\n".encode() for name, colon, value, fold in fields)
    result = finish_headers(raw + b"\r\nbody", facts(lenient=lenient))
    if isinstance(result, Denial):
        assert not lenient, result
        return
    block = parse_header(result.header, lenient=True)
    assert isinstance(block, Header)
    assert block.body_at == len(result.header)
    for field in block.fields:
        assert field.name not in DROPPED
        assert not field.name.startswith(DROPPED_PREFIXES)
        assert field.raw[len(field.name)] == ord(":"), "names leave in the one form every reader understands"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"From: a@contoso.com\r\nFrom: ceo@contoso.com\r\n", "550 5.7.1 two_from"),
        (b"From: a@contoso.com\r\nfROM: ceo@contoso.com\r\n", "550 5.7.1 two_from"),
        (b"From: ceo@evil.com\r\n", "550 5.7.1 sender_not_allowed"),
        (b"From: a@contoso.com, b@contoso.com\r\n", "550 5.7.1 many_from"),
        (b"From: a@contoso.com <ceo@evil.com>\r\n", "550 5.7.1 bad_from"),
        (b"From: ceo@evil.com <a@contoso.com>\r\n", "550 5.7.1 bad_from"),
        (b"From: a@contoso.com (<ceo@evil.com>\r\n", "550 5.7.1 bad_from"),
        (b"From: (x) ceo@evil.com (a@contoso.com)\r\n", "550 5.7.1 sender_not_allowed"),
        (b"From: group: a@contoso.com;\r\n", "550 5.7.1 bad_from"),
        (b"From: <@evil.com:a@contoso.com>\r\n", "550 5.7.1 bad_from"),
        (b"From: Scanner Room 5\r\n", "550 5.7.1 bad_from"),
        (b"From: j\xc3\xb6rg@contoso.com\r\n", "550 5.7.1 bad_from"),
        (b"From: j\xff@contoso.com\r\n", "550 5.7.1 bad_from"),
        (b"From : a@contoso.com\r\n", "554 5.6.0 header_malformed"),
        (b"X: y\r\nFrom\r\n : a@contoso.com\r\n", "554 5.6.0 header_malformed"),
        (b"From: a@contoso.com\r\n \r\nX: y\r\n", "554 5.6.0 header_malformed"),
        (b"From: a@contoso.com\x00\r\n", "554 5.6.0 header_bad_octet"),
        (b"From: a@contoso.com\r\nSender: ceo@evil.com\r\n", "550 5.7.1 sender_not_allowed"),
        (b"From: a@contoso.com\r\nSender: b@contoso.com\r\nSender: c@contoso.com\r\n", "550 5.7.1 two_sender"),
        (b"From: a@contoso.com\r\nSender: b@contoso.com, c@contoso.com\r\n", "550 5.7.1 bad_sender"),
        (b"From: a@contoso.com\r\nSender: junk\x07\r\n", "550 5.7.1 bad_sender"),
        (b"From: a@contoso.com\r\nResent-From: ceo@evil.com\r\n", "550 5.7.1 sender_not_allowed"),
        (b"From: a@contoso.com\r\nResent-Sender: ceo@evil.com\r\n", "550 5.7.1 sender_not_allowed"),
        (
            b"From: a@contoso.com\r\nResent-From: b@contoso.com\r\nResent-From: c@evil.com\r\n",
            "550 5.7.1 sender_not_allowed",
        ),
    ],
)
def test_nobody_sends_as_another(raw, expected):
    assert refused(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@contoso.com\r\n",
        b"From:\r\n a@contoso.com\r\n",
        b'From: "CEO, <ceo@evil.com>" <a@contoso.com>\r\n',
        b"From: a@contoso.com (comment)\r\nSender: b@contoso.com\r\nResent-From: a@contoso.com, b@fabrikam.com\r\n",
    ],
)
def test_allowed_originators_keep_their_octets(raw):
    assert raw in finish(raw + BASE.partition(b"\r\n")[2]).header


def test_an_unchecked_client_may_have_several_authors_with_a_sender():
    anyone = but(senders=PatternSet(("*",)))
    raw = b"From: a@x.org, b@x.org\r\n"
    assert refused(raw, anyone) == "550 5.7.1 many_from"
    assert finish(raw + b"Sender: a@x.org\r\n", anyone).header_from == "a@x.org"
    assert refused(raw + b"From: c@x.org\r\n", anyone) == "550 5.7.1 two_from"


def test_rewriting_keeps_the_name_and_the_way_back():
    result = finish(b"From: Root of DB <root@db1.corp.local>\r\nTo: x@example.com\r\n", sender="<root@db1.corp.local>")
    assert result.header_from == "noreply@contoso.com"
    assert b"From: Root of DB <noreply@contoso.com>\r\nTo:" in result.header
    assert b"Reply-To: Root of DB <root@db1.corp.local>\r\n" in result.header


def test_rewriting_leaves_a_reply_to_alone_and_can_drop_it():
    result = finish(b"From: root@db1.corp.local\r\nReply-To: me@contoso.com\r\n")
    assert result.header.count(b"Reply-To") == 1
    dropped = finish(b"From: scanner\r\n")
    assert dropped.header_from == "scan@contoso.com"
    assert b"From: <scan@contoso.com>\r\n" in dropped.header
    assert b"Reply-To" not in dropped.header


def test_rewritten_sender_field_goes_when_it_says_no_more_than_from():
    result = finish(b"From: root@db1.corp.local\r\nSender: root@db2.corp.local\r\nX: y\r\n")
    assert b"Sender" not in result.header
    other = finish(b"From: a@contoso.com\r\nSender: root@db2.corp.local\r\n")
    assert b"Sender: <noreply@contoso.com>\r\n" in other.header


def test_bare_from_gets_the_default_domain():
    assert b"From: <app@contoso.com>\r\n" in finish(b"From: app\r\n").header


def test_a_name_readers_differ_on_leaves_quoted():
    header = finish(b"From: [Build] Server <app@contoso.com>\r\nSender: app@contoso.com <app@contoso.com>\r\n").header
    assert b'From: "[Build] Server" <app@contoso.com>\r\n' in header
    assert b"Sender" not in header, "it says no more than From"
    assert b"Reply-To" not in header, "nothing was rewritten"


def test_a_very_long_folded_name_does_not_make_a_long_line():
    name = b"\r\n ".join([b"name" * 100] * 5)
    result = finish(b"From: " + name + b" <root@db1.corp.local>\r\n")
    assert b"From: <noreply@contoso.com>\r\n" in result.header
    assert max(map(len, result.header.split(b"\r\n"))) <= 998


def test_legacy_listener_repairs():
    result = finish(b"From: Scanner Room 5 <\x07\r\nBcc : x@y.z\r\nX-A : b\r\n", lenient=True)
    assert result.header_from == "app@contoso.com"
    assert b'From: "Scanner Room 5 ??" <app@contoso.com>\r\n' in result.header
    assert b"x@y.z" not in result.header
    assert b"X-A: b\r\n" in result.header.replace(b"x-a", b"X-A")
    assert refused(b"From: a@contoso.com\r\nFrom : ceo@contoso.com\r\n", lenient=True) == "550 5.7.1 two_from"


def test_legacy_listener_drops_lines_some_readers_take_for_the_end():
    result = finish(b"Subject: x\r\n \r\n\t \r\n y\r\nFrom: a@contoso.com\r\n", lenient=True)
    assert b"Subject: x\r\n y\r\nFrom: a@contoso.com\r\n" in result.header


OWN = b"Received: from x by relay-a.corp (m365-relay corp) with ESMTP id 1; d\r\n"
OWN_OTHER_NODE = b"Received: from x\r\n\tby relay-b.corp\r\n\t(m365-relay corp) with ESMTP id 1; d\r\n"
FOREIGN = b"Received: from relay-a.corp by mx.example.com (m365-relay other) with ESMTP id 1; d\r\n"


@pytest.mark.parametrize(
    ("received", "stopped"),
    [
        (OWN, False),
        (OWN * 2, True),
        (OWN + OWN_OTHER_NODE, True),
        (OWN + FOREIGN * 10, False),
        (FOREIGN * 50, False),
        (FOREIGN * 51, True),
        (OWN.replace(b"(m365-relay corp) ", b"") * 2, True),
    ],
)
def test_loops_stop(received, stopped):
    if stopped:
        assert refused(received + BASE) == "554 5.4.6 loop"
    else:
        assert received in finish(received + BASE).header


def test_a_loop_through_this_relay_is_stopped_at_the_third_pass():
    raw = BASE + b"\r\nbody\r\n"
    for _ in range(2):
        result = finish_headers(raw, facts())
        raw = result.header + raw[result.body_at :]
    assert finish_headers(raw, facts()).reason == "loop"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("Auto-Submitted: auto-generated", True),
        ("Auto-Submitted: No", False),
        ("Auto-Submitted: no; x=y", False),
        ("Auto-Submitted: no (comment)", False),
        ("Precedence: bulk", True),
        ("Precedence: LIST", True),
        ("Precedence: first-class", False),
        ("List-Id: <x>", True),
        ("X-Auto-Response-Suppress: OOF, NDR", True),
        ("X-Auto-Response-Suppress: All", True),
        ("X-Auto-Response-Suppress: OOF", False),
    ],
)
def test_no_bounce(field, expected):
    assert finish(BASE + field.encode() + b"\r\n").no_bounce is expected


def test_null_sender_is_never_bounced():
    assert finish(BASE, sender="<>").no_bounce


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("multipart/signed; protocol=x", True),
        ("Multipart/Signed;\r\n micalg=x", True),
        ("application/pkcs7-mime", True),
        ("application/x-pkcs7-mime; smime-type=enveloped-data", True),
        ("multipart/encrypted", True),
        ("multipart/mixed", False),
        ("text/plain; x=multipart/signed", False),
    ],
)
def test_signed(value, expected):
    assert finish(BASE + f"Content-Type: {value}\r\n".encode()).signed is expected


def test_trace_context_only_of_trusted_clients():
    raw = BASE + f"TraceParent: {TRACE}\r\ntracestate: a=1\r\ntracestate: b=2\r\n".encode()
    assert (finish(raw).traceparent, finish(raw).tracestate) == ("", "")
    trusted = finish(raw, but(trace=True))
    assert (trusted.traceparent, trusted.tracestate) == (TRACE, "a=1,b=2")
    assert b"race" not in trusted.header


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        TRACE.upper(),
        "ff" + TRACE[2:],
        TRACE + "-x",
        TRACE + "\r\ntraceparent: " + TRACE,
    ],
)
def test_bad_trace_context_is_nobodys(value):
    assert finish(BASE + f"traceparent: {value}\r\n".encode(), but(trace=True)).traceparent == ""


def test_redirect_tells_whom_it_was_for():
    client = but(redirect="test@contoso.com")
    result = finish(BASE, client, recipients=("<a@example.com>", "<b@example.com>", "<a@example.com>"))
    assert b"X-Original-To: a@example.com,\r\n b@example.com\r\n" in result.header
    assert [item.address for item in result.recipients] == ["test@contoso.com"]
    assert result.recipients[0].direction is Direction.INTERNAL


def test_recipients_named_twice_count_once():
    result = finish(BASE, recipients=("<a@example.com>", "<A@example.com>", "<b@example.com>"))
    assert [item.address for item in result.recipients] == ["a@example.com", "b@example.com"]


def test_from_decides_the_tenant_and_the_direction():
    raw = b"From: a@fabrikam.com\r\n"
    result = finish(raw, recipients=("<x@contoso.com>", "<y@fabrikam.com>"))
    assert result.tenant == "fabrikam"
    assert [item.direction for item in result.recipients] == [Direction.EXTERNAL, Direction.INTERNAL]
    internal = but(to=To.INTERNAL)
    assert refused(raw, internal, recipients=("<x@contoso.com>",)) == "550 5.7.1 recipient_external"


def test_tenant_falls_back():
    anyone = but(senders=PatternSet(("*",)))
    assert finish(b"From: a@elsewhere.example\r\n", anyone, sender="<b@elsewhere.example>").tenant == "contoso"


def test_new_message_holds_everything():
    known = facts(sender="<root@db1.corp.local> RET=HDRS ENVID=e BODY=8BITMIME SMTPUTF8")
    finished = finish_headers(BASE + b"\r\nbody\r\n", known)
    message = new_message(
        known, finished, body_bytes=6, eight_bit=False, traceparent=TRACE, source="10.1.2.3:99", listener="smtp"
    )
    assert message.size_bytes == len(finished.header) + 6
    assert (message.mail_from, message.original_mail_from) == ("noreply@contoso.com", "root@db1.corp.local")
    assert (message.client, message.plan, message.owner) == ("apps", "batch", "it@contoso.com")
    assert (message.priority, message.on_unknown) == (Priority.BULK, OnUnknown.BOUNCE)
    assert message.expires_ms - message.received_ms == 600_000
    assert (message.ret, message.envid) == ("HDRS", "e")
    assert not message.eight_bit
    assert not message.smtputf8, "asked of the upstream only when something needs it"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message


def test_eight_bit_header():
    raw = BASE.replace(b"hi", "hä".encode())
    result = finish(raw)
    assert result.eight_bit
    assert after_received(result) == raw + b"\r\n"


@CALM
@given(st.binary(max_size=80), st.booleans())
def test_any_octets_give_one_block_or_a_printable_refusal(noise, lenient):
    raw = BASE + noise + b"\r\n\r\nbody"
    result = finish_headers(raw, facts(lenient=lenient))
    if isinstance(result, Denial):
        assert result.text.isprintable()
        return
    block = parse_header(result.header, lenient=True)
    assert isinstance(block, Header)
    assert block.body_at == len(result.header)
    assert sum(field.name == b"from" for field in block.fields) == 1


@CALM
@given(st.text('a@contosevil.m,<>()": \t\\', max_size=40))
def test_whatever_stands_in_from_is_a_sender_the_rule_allows(value):
    result = finish_headers(f"From: {value}\r\n\r\n".encode(), facts())
    if isinstance(result, Finished):
        assert APPS.senders.matches(result.header_from)


PARTS = [
    "app@contoso.com",
    "<app@contoso.com>",
    "ceo@evil.com",
    "<",
    ">",
    "(",
    ")",
    '"',
    ",",
    ";",
    ":",
    " ",
    "\\",
    "@",
    "[",
    "]",
]
PARTS += [
    "=?utf-8?Q?ceo=40evil.com?=",
    "\r\n ",
    "\r\n\t",
    "\r\nSender: ",
    "\r\nResent-From: ",
    "group:",
    "ü",
    "\x0b",
    ".",
]


@CALM
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=9).map("".join), st.booleans())
def test_another_reader_sees_no_other_sender(value, lenient):
    """The standard library's reader, quite another one, must find nobody in From, Sender or Resent-From we did not."""
    import email
    from email.utils import getaddresses

    result = finish_headers(f"From: {value}\r\nTo: x@y.z\r\n\r\nbody\r\n".encode(), facts(lenient=lenient))
    if isinstance(result, Denial):
        return
    message = email.message_from_bytes(result.header)
    assert len(message.get_all("From")) == 1
    for name in ("From", "Sender", "Resent-From"):
        fields = [str(field).replace("\r\n", "") for field in message.get_all(name, [])]
        found = [address for _, address in getaddresses(fields) if address]
        assert len(found) >= len(fields)
        assert all(address.lower().endswith("@contoso.com") for address in found), found
