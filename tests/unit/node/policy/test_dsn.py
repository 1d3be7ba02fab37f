"""Delivery reports, checked with a foreign parser: structure, fields, what comes back; nothing can be injected."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.bounce_target import bounce_target, report_envelope, wanted
from node.policy.dsn import (
    MAX_FULL_BYTES,
    MAX_HEADERS_BYTES,
    Reported,
    Reporter,
    build_report,
    original_recipient,
    returns_full,
    status_of,
)
from node.policy.dsn_text import LISTED, Action
from node.policy.envelope import Direction, NewMessage, Notify, Recipient
from node.policy.parameters import encode_xtext

NOW = 1_790_000_000_000
REPORTER = Reporter(hostname="relay-a.corp", sender="relay-bounces@contoso.com")
ORIGINAL = (
    b"Received: from x ([10.0.0.1])\r\n\tby relay-a.corp\r\nFrom: app@contoso.com\r\nTo: joe@example.com\r\n"
    b"Subject: Invoice\r\n 42\r\nMessage-ID: <m1@contoso.com>\r\n\r\nSecret body\r\n.\r\n"
)


def message(**change):
    fields = {
        "id": "0193-id", "client": "apps", "plan": "", "mail_from": "app@contoso.com", "header_from": "app@contoso.com",
        "tenant": "contoso", "recipients": (), "size_bytes": len(ORIGINAL), "received_ms": NOW - 60_000,
        "expires_ms": NOW, "message_id": "<m1@contoso.com>",
    }  # fmt: skip
    return NewMessage(**{**fields, **change})


def failed(address="joe@example.com", **change):
    fields = {
        "address": address,
        "action": Action.FAILED,
        "reason": "recipient_unknown",
        "reply": "550 5.1.1 no such user",
    }
    return Reported(**{**fields, **change})


def report(*reported, original=ORIGINAL, target="app@contoso.com", reporter=REPORTER, **change):
    items = reported or (failed(),)
    built = build_report(
        message(**change), items, original, reporter=reporter, target=target, report_id="0193-rep", now_ms=NOW
    )
    assert b"\n" not in built.data.replace(b"\r\n", b"")
    assert b"\r" not in built.data.replace(b"\r\n", b"")
    assert built.eight_bit == (not built.data.isascii()) or built.smtputf8
    return built, email.message_from_bytes(built.data, policy=email.policy.default)


def parts_of(parsed):
    assert parsed.is_multipart()
    assert not parsed.defects
    parts = list(parsed.iter_parts())
    assert len(parts) == 3
    return parts


def groups_of(part):
    payload = part.get_payload()
    if isinstance(payload, str):  # message/global-delivery-status is not unpacked by the parser
        return [email.message_from_string(group, policy=email.policy.default) for group in payload.split("\r\n\r\n")]
    return [group for group in payload if group.keys()]


def test_the_frame_is_rfc_3462_and_marked_as_automatic():
    built, parsed = report(envid="env id")
    assert parsed["From"] == "Mail relay <relay-bounces@contoso.com>"
    assert parsed["To"] == "app@contoso.com"
    assert parsed["Subject"] == "Your message could not be delivered"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["X-Auto-Response-Suppress"] == "All"
    assert parsed["Message-ID"] == built.message_id == "<0193-rep@relay-a.corp>"
    assert parsed["References"] == parsed["In-Reply-To"] == "<m1@contoso.com>"
    assert parsed["Date"].datetime.timestamp() == NOW / 1000
    assert parsed["MIME-Version"] == "1.0"
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in parts_of(parsed)]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert not built.eight_bit
    assert not built.smtputf8


def test_the_machines_part_says_who_when_what():
    _, parsed = report(
        failed(
            orcpt=f"rfc822;{encode_xtext('Joe+x=y@example.com')}",
            remote="AM6.outlook.com",
            last_attempt_ms=NOW - 1000,
            will_retry_until_ms=NOW,
        ),
        envid="env id",
    )
    whole, one = groups_of(parts_of(parsed)[1])
    assert whole["Original-Envelope-Id"] == "env id"
    assert whole["Reporting-MTA"] == "dns;relay-a.corp"
    assert whole["Arrival-Date"]
    assert one["Original-Recipient"] == "rfc822;Joe+x=y@example.com"
    assert one["Final-Recipient"] == "rfc822;joe@example.com"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Remote-MTA"] == "dns;AM6.outlook.com"
    assert one["Diagnostic-Code"] == "smtp;550 5.1.1 no such user"
    assert one["Last-Attempt-Date"]
    assert one["Will-Retry-Until"] is None


def test_a_delay_says_until_when():
    late = failed(action=Action.DELAYED, reply="451 4.4.0 later", will_retry_until_ms=NOW)
    _, parsed = report(late, ret="FULL")
    one = groups_of(parts_of(parsed)[1])[1]
    assert (one["Action"], one["Status"]) == ("delayed", "4.4.0")
    assert one["Will-Retry-Until"]
    assert parsed["Subject"] == "Your message is delayed"
    assert parts_of(parsed)[2].get_content_type() == "text/rfc822-headers"


def test_people_read_the_reason_the_words_and_the_id():
    _, parsed = report()
    text = parts_of(parsed)[0].get_content()
    for piece in (
        "relay-a.corp",
        "joe@example.com",
        "There is no such address.",
        "no such user",
        "Invoice 42",
        "0193-id",
    ):
        assert piece in text


def test_headers_alone_come_back_unless_full_is_asked_for():
    _, parsed = report()
    returned = parts_of(parsed)[2].get_content()
    assert "Subject: Invoice" in returned
    assert "Secret body" not in returned
    _, full = report(ret="FULL")
    part = parts_of(full)[2]
    assert part.get_content_type() == "message/rfc822"
    assert part.get_content()["Subject"] == "Invoice 42"
    assert ORIGINAL.rstrip() in report(ret="FULL")[0].data


def test_large_originals_come_back_as_headers():
    assert returns_full(message(ret="FULL", size_bytes=MAX_FULL_BYTES), Action.FAILED)
    assert not returns_full(message(ret="FULL", size_bytes=MAX_FULL_BYTES + 1), Action.FAILED)
    assert not returns_full(message(ret="FULL"), Action.RELAYED)
    assert not returns_full(message(ret="HDRS"), Action.FAILED)
    many = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 900) for n in range(100)) + b"\r\nbody"
    returned = parts_of(report(original=many)[1])[2].get_content()
    assert MAX_HEADERS_BYTES - 1000 < len(returned) <= MAX_HEADERS_BYTES + 2
    assert report(original=b"x" * 10**6)[0].data.count(b"x") < MAX_HEADERS_BYTES + 1000
    assert report(original=b"\r\nno header")[0]


def test_eight_bit_originals_are_labelled_and_headers_made_ascii():
    raw = "Subject: café\r\n\r\ncafé\r\n".encode()
    built, _ = report(original=raw, ret="FULL")
    assert built.eight_bit
    assert b"Content-Transfer-Encoding: 8bit" in built.data.split(b"\r\n\r\n")[0]
    built, _ = report(original=raw)
    assert built.data.isascii()


def test_utf8_mail_gets_the_rfc_6533_kinds():
    built, parsed = report(failed("jø@exämple.com", orcpt="utf-8;j\\x{F8}@x"), smtputf8=True, ret="FULL")
    kinds = [part.get_content_type() for part in parts_of(parsed)]
    assert kinds == ["text/plain", "message/global-delivery-status", "message/global"]
    assert built.smtputf8
    text = built.data.decode()
    assert "Final-Recipient: utf-8;jø@exämple.com" in text
    assert "Original-Recipient: utf-8;jø@x" in text
    kinds = [part.get_content_type() for part in parts_of(report(failed("jø@x.com"))[1])]
    assert kinds[2] == "message/global-headers"


def test_many_recipients_are_all_in_the_machines_part():
    items = [failed(f"r{n}@example.com") for n in range(LISTED + 7)]
    parts = parts_of(report(*items)[1])
    assert len(groups_of(parts[1])) == 1 + len(items)
    assert "and 7 more" in parts[0].get_content()


def test_a_report_about_nobody_is_an_error():
    with pytest.raises(ValueError, match="at least one recipient"):
        build_report(message(), (), b"", reporter=REPORTER, target="a@b.c", report_id="1", now_ms=0)


def test_the_boundary_occurs_in_no_part():
    tricky = b"X: =_0193-rep.0 =_0193-rep.1\r\n\r\n--=_0193-rep.2--\r\n"
    _, parsed = report(original=tricky, ret="FULL")
    assert parsed.get_boundary() == "=_0193-rep.3"
    parts_of(parsed)


@pytest.mark.parametrize(
    ("action", "reply", "reason", "status"),
    [
        (Action.FAILED, "550 5.7.1 no", "", "5.7.1"),
        (Action.FAILED, "450 4.4.7 late", "", "4.4.7"),
        (Action.FAILED, "", "expired", "5.4.7"),
        (Action.FAILED, "550 no code, host 10.5.1.1.7", "", "5.0.0"),
        (Action.FAILED, "", "unknown_bounce", "5.4.2"),
        (Action.FAILED, "", "too_large", "5.3.4"),
        (Action.DELAYED, "550 5.2.122 per hour", "", "4.0.0"),
        (Action.RELAYED, "250 2.6.0 ok", "", "2.6.0"),
        (Action.DELIVERED, "", "", "2.0.0"),
    ],
)
def test_the_status_fits_the_action(action, reply, reason, status):
    assert status_of(Reported(address="a@b.c", action=action, reply=reply, reason=reason)) == status


@pytest.mark.parametrize(
    ("orcpt", "utf8", "shown"),
    [
        ("rfc822;a+2Bb@c.d", False, "rfc822;a+b@c.d"),
        ("rfc822;a+2B2Bb@c.d", False, "rfc822;a+2Bb@c.d"),
        ("RFC822;a@c.d", False, "rfc822;a@c.d"),
        ("rfc822;a+0D+0ABcc:x", False, ""),
        ("rfc822;a+zz", False, ""),
        ("rfc822;", False, ""),
        ("nothing", False, ""),
        ("x y;a@b", False, ""),
        ("utf-8;jø@x", True, "utf-8;jø@x"),
        ("utf-8;jø@x", False, ""),
        ("utf-8;a\\x{0A}b", True, ""),
        ("utf-8;a\\x{D800}b", True, "utf-8;a\ufffdb"),
        ("utf-8;a\\x{FFFFFF}b", True, "utf-8;a\ufffdb"),
    ],
)
def test_orcpt_is_decoded_once_or_left_out(orcpt, utf8, shown):
    assert original_recipient(orcpt, utf8=utf8) == shown


EVIL = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "a\r\nBcc: victim@x",
            "a\n\nbody",
            "a\r\n\r\n--=_0193-rep.0",
            "\x00\x1b[2J",
            "x" * 5000,
            "é" * 600,
            "a> <b",
            "\u2028x",
        ]
    ),
)
HEAD = {"from", "to", "subject", "date", "message-id", "auto-submitted", "x-auto-response-suppress", "mime-version",
        "in-reply-to", "references", "content-type", "content-transfer-encoding"}  # fmt: skip
FIELDS = {"reporting-mta", "arrival-date", "original-envelope-id", "original-recipient", "final-recipient", "action",
          "status", "remote-mta", "diagnostic-code", "last-attempt-date", "will-retry-until"}  # fmt: skip


@given(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, st.booleans())
def test_nothing_foreign_starts_a_line_of_its_own(address, reply, orcpt, envid, target, host, message_id, utf8):
    item = failed(address, reply=reply, orcpt=f"rfc822;{orcpt}", remote=host)
    reporter = Reporter(hostname=host, sender=target)
    built, _ = report(
        item, target=target, envid=envid, message_id=message_id, reporter=reporter, smtputf8=utf8,
        original=f"Subject: {reply}\r\n\r\n".encode("utf-8", "replace"),
    )  # fmt: skip
    head, _, rest = built.data.partition(b"\r\n\r\n")
    names = [
        line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))
    ]
    assert set(names) <= HEAD
    assert len(set(names)) == len(names)
    boundary = head.split(b'boundary="')[1].split(b'"')[0]
    sections = rest.split(b"--" + boundary)
    assert len(sections) == 5
    status = sections[2].partition(b"\r\n\r\n")[2]
    lines = [line for line in status.split(b"\r\n") if line and not line.startswith(b" ")]
    assert {line.partition(b":")[0].decode().lower() for line in lines} <= FIELDS
    assert status.count(b"Final-Recipient:") == 1
    assert all(len(line) <= 998 for line in built.data.split(b"\r\n") if not line.startswith(b"Subject: "))


@given(st.binary(max_size=400), st.sampled_from(["", "FULL"]))
def test_any_original_makes_a_report_a_parser_understands(original, ret):
    clean = original.replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\x00", b"")
    _, parsed = report(original=clean, ret=ret)
    assert len(list(parsed.walk())) >= 4


DOMAINS = frozenset({"contoso.com", "contoso.de"})
JOE = Recipient(address="joe@example.com", direction=Direction.EXTERNAL)


def told(*recipients, bounces="sender", owner="", fallback=None, action=Action.FAILED, **change):
    return bounce_target(
        message(**change), recipients or (JOE,), DOMAINS, owner, bounces, fallback, action=action
    ).address


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "app@contoso.com"),
        ({"mail_from": "App@CONTOSO.de"}, "App@CONTOSO.de"),
        ({"owner": "team@contoso.com"}, "app@contoso.com"),
        ({"bounces": "owner", "owner": "team@elsewhere.org"}, "team@elsewhere.org"),
        ({"bounces": "owner", "fallback": "mail@contoso.com"}, "mail@contoso.com"),
        ({"bounces": "owner"}, "app@contoso.com"),
        ({"mail_from": "x@stranger.org"}, None),
        ({"mail_from": "x@stranger.org", "bounces": "owner"}, None),
        ({"mail_from": "x@stranger.org", "owner": "team@contoso.com"}, "team@contoso.com"),
        ({"mail_from": "x@stranger.org", "fallback": "mail@contoso.com"}, "mail@contoso.com"),
        ({"mail_from": "x@contoso.com.evil.org"}, None),
        ({"mail_from": "", "owner": "team@contoso.com"}, None),
        ({"no_bounce": True, "owner": "team@contoso.com"}, None),
        ({"client": "bounce", "owner": "team@contoso.com"}, None),
    ],
)
def test_only_the_tenant_the_owner_or_the_fallback_is_told(settings, address):
    assert told(**settings) == address


def test_notify_decides():
    def asked(bits):
        return Recipient(address="a@b.c", direction=Direction.EXTERNAL, notify=bits)

    assert told(asked(Notify.NEVER)) is None
    assert told(asked(Notify.NEVER), asked(Notify.FAILURE))
    assert told(asked(Notify.SUCCESS)) is None
    assert told(asked(Notify.SUCCESS), action=Action.RELAYED)
    assert told(asked(Notify.DEFAULT), action=Action.DELAYED) is None
    assert told(asked(Notify.DELAY), action=Action.DELAYED)
    assert [wanted(Notify.DEFAULT, action) for action in Action] == [True, False, False, False]


def test_no_report_says_why():
    found = bounce_target(message(mail_from=""), (JOE,), DOMAINS, "", "sender", None)
    assert found.why == "null sender, automatic or list mail gets no report"


@given(st.emails(), st.one_of(st.just(""), st.emails()), st.sampled_from(["sender", "owner"]))
def test_never_a_stranger(sender, owner, bounces):
    address = told(mail_from=sender, owner=owner, bounces=bounces)
    assert address in (None, owner) or address.rpartition("@")[2].lower() in DOMAINS


def test_the_envelope_of_a_report_is_never_answered():
    built, _ = report()
    envelope = report_envelope(
        message(traceparent="00-1-2-01", plan="otp"), target="app@contoso.com", sender=REPORTER.sender, report_id="r1",
        message_id=built.message_id, size_bytes=len(built.data), eight_bit=False, smtputf8=False,
        tenant_domains=DOMAINS, now_ms=NOW, traceparent="00-3-4-01",
    )  # fmt: skip
    assert (envelope.client, envelope.no_bounce, envelope.traceparent) == ("bounce", True, "00-3-4-01")
    assert envelope.recipients[0].direction is Direction.INTERNAL
    assert envelope.recipients[0].notify == Notify.NEVER
    assert envelope.expires_ms == NOW + 2 * 86_400_000
    assert bounce_target(envelope, envelope.recipients, DOMAINS, "o@contoso.com", "owner", "f@x").address is None
