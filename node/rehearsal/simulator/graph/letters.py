"""A message as Graph understood it, from MIME or from a draft: who it is from, whom it goes to, its header."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import getaddresses
from typing import Any, Final

from node.rehearsal.simulator.headers import Headers, read_headers

_FIELDS: Final = (b"to", b"cc", b"bcc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message on its way out."""

    headers: Headers
    head: str
    recipients: tuple[str, ...]
    size_bytes: int
    sha256: str
    properties: tuple[tuple[str, str], ...] = ()
    attachments: tuple[tuple[str, int, str], ...] = ()
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


def from_draft(value: Mapping[str, Any], attachments: list[tuple[str, bytes]], message_id: str) -> Letter:
    """Read a message built piece by piece."""
    lists = [value.get(name) or [] for name in ("toRecipients", "ccRecipients", "bccRecipients")]
    found = [_address(one) for people in lists for one in people]
    lines = [f"From: {_address(value.get('from') or value.get('sender') or {})}", f"Message-ID: {message_id}"]
    names = ("To", "Cc")
    lines += [f"{name}: {', '.join(map(_address, people))}" for name, people in zip(names, lists, strict=False)]
    lines += [f"Subject: {value.get('subject', '')}"]
    lines += [f"{one.get('name')}: {one.get('value')}" for one in value.get("internetMessageHeaders") or []]
    head = "\r\n".join(lines)
    content = str((value.get("body") or {}).get("content", "")).encode()
    digest = hashlib.sha256(content)
    return Letter(
        headers=read_headers(head.encode()),
        head=head,
        recipients=tuple(dict.fromkeys(one.lower() for one in found if one)),
        size_bytes=len(content) + sum(len(data) for _, data in attachments),
        sha256=digest.hexdigest(),
        properties=tuple(
            (str(one.get("id")), str(one.get("value"))) for one in value.get("singleValueExtendedProperties") or []
        ),
        attachments=tuple((name, len(data), hashlib.sha256(data).hexdigest()) for name, data in attachments),
    )


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
