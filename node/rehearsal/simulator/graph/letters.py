"""A message as Graph understood it, from MIME or from a draft: who it is from, whom it goes to, its header."""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formataddr, getaddresses
from typing import Any, Final

from node.rehearsal.simulator.graph.access import error
from node.rehearsal.simulator.headers import Headers, read_headers
from node.rehearsal.web import Answer

OWN_FIELDS: Final = 5
FIELD_CHARS: Final = 995
SUBJECT_CHARS: Final = 255
_FIELDS: Final = (b"to", b"cc", b"bcc")


@dataclass(frozen=True, slots=True)
class Attached:
    """One attachment of a draft."""

    name: str
    kind: str
    content_id: str
    inline: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of a message was, without its octets: their SHA-256 tells whether they are the same."""

    kind: str
    size_bytes: int
    sha256: str
    name: str = ""
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message on its way out."""

    headers: Headers
    head: str
    recipients: tuple[str, ...]
    size_bytes: int
    sha256: str
    properties: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    """Of a message built as a draft: its text, then its attachments."""
    bare_line_feed: bool = False

    @property
    def id(self) -> str:
        """What deliveries are counted by."""
        return self.headers.rehearsal_id or self.headers.message_id


def from_base64(text: bytes) -> bytes | None:
    """Decode strictly; None: it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def from_mime(mime: bytes) -> Letter:
    """Read a message in MIME form: its recipients are those its header names, each once."""
    block = mime.partition(b"\r\n\r\n")[0]
    return Letter(
        headers=read_headers(mime),
        head=block.decode("utf-8", "replace"),
        recipients=_recipients(block),
        size_bytes=len(mime),
        sha256=hashlib.sha256(mime).hexdigest(),
        bare_line_feed=mime.count(b"\n") != mime.count(b"\r\n"),
    )


def from_draft(value: Mapping[str, Any], attachments: list[Attached], message_id: str) -> Letter:
    """Read a message built piece by piece."""
    lists = [value.get(name) or [] for name in ("toRecipients", "ccRecipients", "bccRecipients")]
    found = [_address(one) for people in lists for one in people]
    head = "\r\n".join(_lines(value, message_id))
    body = value.get("body") or {}
    content = str(body.get("content", "")).encode()
    kind = "text/html" if str(body.get("contentType", "")).lower() == "html" else "text/plain"
    parts = [Part(kind, len(content), hashlib.sha256(content).hexdigest())]
    for one in attachments:
        digest = hashlib.sha256(one.data).hexdigest()
        parts.append(Part(one.kind, len(one.data), digest, one.name, one.content_id, one.inline))
    return Letter(
        headers=read_headers(head.encode()),
        head=head,
        recipients=tuple(dict.fromkeys(one.lower() for one in found if one)),
        size_bytes=sum(one.size_bytes for one in parts),
        sha256=parts[0].sha256,
        properties=tuple(
            (str(one.get("id")), str(one.get("value"))) for one in value.get("singleValueExtendedProperties") or []
        ),
        parts=tuple(parts),
    )


def _lines(value: Mapping[str, Any], message_id: str) -> Iterator[str]:
    """The header Exchange writes; Bcc is told to nobody."""
    yield f"From: {_named(value.get('from') or value.get('sender') or {})}"
    yield f"Message-ID: {message_id}"
    for field, name in (("To", "toRecipients"), ("Cc", "ccRecipients"), ("Reply-To", "replyTo")):
        people = value.get(name) or []
        if people:
            yield f"{field}: {', '.join(map(_named, people))}"
    yield f"Subject: {value.get('subject', '')}"
    if str(value.get("importance", "normal")) != "normal":
        yield f"Importance: {value['importance']}"
    for one in value.get("internetMessageHeaders") or []:
        yield f"{one.get('name')}: {one.get('value')}"


def _named(one: Mapping[str, Any]) -> str:
    return formataddr((str((one.get("emailAddress") or {}).get("name", "")), _address(one)), "utf-8")


def _address(one: Mapping[str, Any]) -> str:
    return str((one.get("emailAddress") or {}).get("address", ""))


def _recipients(block: bytes) -> tuple[str, ...]:
    flat = block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    values = []
    for line in flat.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in _FIELDS:
            values.append(value.strip().decode("utf-8", "replace"))
    return tuple(dict.fromkeys(address.lower() for _, address in getaddresses(values) if "@" in address))


def attached(value: Mapping[str, Any], data: bytes) -> Attached:
    """Read what was said about an attachment."""
    return Attached(
        name=str(value.get("name", "")),
        kind=str(value.get("contentType", "application/octet-stream")),
        content_id=str(value.get("contentId", "")),
        inline=value.get("isInline") is True,
        data=data,
    )


def unsound(value: Mapping[str, Any]) -> Answer | None:
    """Say what Graph does not take in a draft's header fields; None: nothing."""
    fields = value.get("internetMessageHeaders") or []
    if len(fields) > OWN_FIELDS:
        text = f"Maximum number of headers in one message should be less than or equal to {OWN_FIELDS}."
        return error(400, "InvalidInternetMessageHeaderCollection", text)
    for one in fields:
        name = str(one.get("name", ""))
        if not name.lower().startswith("x-"):
            text = f"The internet message header name '{name}' should start with 'x-' or 'X-'."
            return error(400, "InvalidInternetMessageHeader", text)
        if not one.get("value") or len(str(one["value"])) > FIELD_CHARS:
            return error(400, "InvalidInternetMessageHeader", f"The value of '{name}' is empty or too long.")
    if len(str(value.get("subject", ""))) > SUBJECT_CHARS:
        return error(400, "ErrorPropertyValidation", "The subject is too long.")
    return None
