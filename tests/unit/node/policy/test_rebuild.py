"""Large mail taken apart for Graph: what comes out the same is taken apart, everything else stays whole."""

from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from node.policy.marker import DRAFT_PROPERTY, MARKER, MARKER_PROPERTY
from node.policy.parts import UnbuildableError
from node.policy.rebuild import rebuilt

QUEUE_ID = "018f0000-0000-7000-8000-000000000001"
MARK = f"{QUEUE_ID} 0-2"


def mail(**fields) -> EmailMessage:
    made = EmailMessage()
    values = {"From": "App <app@contoso.com>", "To": "Bob <bob@example.com>", "Subject": "Größe"} | fields
    for name, value in values.items():
        made[name.replace("_", "-")] = value
    return made


def apart(made: EmailMessage | bytes, mark: str = MARK):
    raw = made if isinstance(made, bytes) else made.as_bytes()
    return rebuilt(BytesParser().parsebytes(raw), QUEUE_ID, mark)


def people(found):
    return [one["emailAddress"]["address"] for one in found]


def test_text_attachments_and_fields_come_out_the_same():
    made = mail(
        Cc="eve@example.com", Bcc="al@example.org", Reply_To='"Desk, Help" <desk@contoso.com>', Importance="High",
        X_Case="4711", Date="Mon, 23 Nov 2026 10:00:00 +0000", Message_ID="<1@contoso.com>",
    )  # fmt: skip
    made.set_content("plain äöü")
    made.add_attachment(b"\x00\xff" * 500, "application", "octet-stream", filename="blob ä.bin")
    made.add_attachment("a;b\n", "csv", filename="t.csv")
    found = apart(made)
    value = found.value
    assert value["subject"] == "Größe"
    assert value["body"] == {"contentType": "text", "content": "plain äöü\n"}
    assert people([value["from"]]) == ["app@contoso.com"]
    assert people(value["toRecipients"]) == ["bob@example.com"]
    assert value["toRecipients"][0]["emailAddress"]["name"] == "Bob"
    assert people(value["ccRecipients"]) == ["eve@example.com"]
    assert people(value["bccRecipients"]) == ["al@example.org"]
    assert value["replyTo"] == [{"emailAddress": {"address": "desk@contoso.com", "name": "Desk, Help"}}]
    assert value["importance"] == "high"
    assert value["internetMessageHeaders"] == [{"name": MARKER, "value": MARK}, {"name": "X-Case", "value": "4711"}]
    assert {"id": MARKER_PROPERTY, "value": QUEUE_ID} in value["singleValueExtendedProperties"]
    assert DRAFT_PROPERTY in [one["id"] for one in value["singleValueExtendedProperties"]]
    assert [(one.name, one.kind, one.inline, one.data()) for one in found.pieces] == [
        ("blob ä.bin", "application/octet-stream", False, b"\x00\xff" * 500),
        ("t.csv", "text/csv", False, b"a;b\n"),
    ]


def test_html_and_its_images():
    made = mail()
    made.set_content("<p>äöü <img src='cid:pic'></p>", subtype="html")
    made.add_related(b"\x89PNG", "image", "png", cid="<pic>", filename="pic.png")
    made.add_attachment(b"%PDF", "application", "pdf", filename="a.pdf")
    found = apart(made)
    assert found.value["body"]["contentType"] == "html"
    assert "äöü" in found.value["body"]["content"]
    assert [(one.name, one.content_id, one.inline) for one in found.pieces] == [
        ("pic.png", "pic", True),
        ("a.pdf", "", False),
    ]


def test_mail_that_is_only_an_attachment():
    made = mail()
    made.set_content(b"%PDF", "application", "pdf", disposition="attachment", filename="a.pdf")
    found = apart(made)
    assert found.value["body"] == {"contentType": "text", "content": ""}
    assert [one.name for one in found.pieces] == ["a.pdf"]


@pytest.mark.parametrize("number", [0, 4])
def test_four_fields_of_the_senders_own_fit(number):
    made = mail(**{f"X_Own_{one}": str(one) for one in range(number)})
    made.set_content("text")
    assert len(apart(made).value["internetMessageHeaders"]) == number + 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({f"X_Own_{number}": "1" for number in range(5)}, "more than 4"),
        ({"DKIM_Signature": "v=1"}, "it is signed"),
        ({"ARC_Seal": "i=1"}, "it is signed"),
        ({"List_Id": "<l.contoso.com>"}, "drop List-Id"),
        ({"Auto_Submitted": "auto-generated"}, "drop Auto-Submitted"),
        ({"In_Reply_To": "<1@x>"}, "drop In-Reply-To"),
        ({"Sender": "desk@contoso.com"}, "drop Sender"),
        ({"X_MS_Exchange_Organization_SCL": "-1"}, "drop X-MS"),
        ({"Importance": "urgent"}, "Importance"),
        ({MARKER: MARK}, "went this way before"),
        ({"X_Long": "x" * 1000}, "too long"),
        ({"Subject": "s" * 256}, "subject"),
        ({"From": "a@contoso.com, b@contoso.com"}, "not one author"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_fields_that_would_be_lost(fields, why):
    made = mail(**fields)
    made.set_content("text")
    with pytest.raises(UnbuildableError, match=why):
        apart(made)


HEAD = b"From: app@contoso.com\r\nTo: bob@example.com\r\nMIME-Version: 1.0\r\n"


def multipart(subtype: bytes, *parts: bytes) -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return HEAD + b"Content-Type: multipart/" + subtype + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"


PLAIN = b"Content-Type: text/plain\r\n\r\nhello"
HTML = b"Content-Type: text/html\r\n\r\n<p>hello"
NAMED = b"Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n"
WHOLE = {
    "signed": multipart(b"signed", PLAIN, b"Content-Type: application/pkcs7-signature\r\n\r\nx"),
    "detached": multipart(b"mixed", PLAIN, b"Content-Type: application/pgp-signature; name=s.asc\r\n\r\nx"),
    "encrypted": multipart(b"encrypted", PLAIN),
    "report": multipart(b"report", PLAIN),
    "alternatives": multipart(b"alternative", PLAIN, HTML),
    "invitation": multipart(b"mixed", PLAIN, b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR"),
    "forwarded": multipart(b"mixed", PLAIN, b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny"),
    "nested": multipart(b"mixed", PLAIN, b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--"),
    "two texts": multipart(b"mixed", PLAIN, PLAIN),
    "no base64": multipart(b"mixed", PLAIN, NAMED + b"Content-Transfer-Encoding: base64\r\n\r\n#A"),
    "encoding": multipart(b"mixed", PLAIN, NAMED + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nA"),
    "nothing in it": multipart(b"mixed", PLAIN, NAMED + b"\r\n"),
    "no name": multipart(b"mixed", PLAIN, b"Content-Type: image/png\r\n\r\nA"),
    "described": multipart(b"mixed", PLAIN, NAMED + b"Content-Description: A\r\n\r\nA"),
    "no picture": multipart(b"related", PLAIN, NAMED + b"\r\nA"),
    "cut": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + PLAIN + b"\r\n",
    "S/MIME": HEAD + b"Content-Type: application/pkcs7-mime\r\n\r\nx",
    "PGP": HEAD + b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nx",
    "flowed": HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\nx",
    "charset": HEAD + b"Content-Type: text/plain; charset=klingon\r\n\r\nx",
    "eight bit": HEAD + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff",
    "raw field": HEAD + b"Subject: Gr\xc3\xb6\xc3\x9fe\r\n\r\nx",
    "subject twice": HEAD + b"Subject: a\r\nSubject: b\r\n\r\nx",
    "encoded": HEAD + b"Subject: =?klingon?q?a?=\r\n\r\nx",
    "address": HEAD.replace(b"bob@", b"a:b@c,") + b"\r\nx",
    "long text": HEAD + b"\r\n" + b"x" * 3_600_000,
}


def octets(raw: bytes) -> list[bytes]:
    return [piece.data() for piece in apart(raw).pieces]


@pytest.mark.parametrize("name", WHOLE)
def test_what_must_stay_whole(name):
    with pytest.raises(UnbuildableError):
        octets(WHOLE[name])


def test_a_mark_too_long_for_a_field():
    made = mail()
    made.set_content("text")
    with pytest.raises(UnbuildableError, match="found again"):
        apart(made, "1, 3, " * 300)
