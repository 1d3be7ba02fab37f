"""A delivery report as bytes (RFC 3464 in the frame of RFC 3462, parameters of RFC 3461, RFC 6533 beyond ASCII).

Pure: date, id and the original's bytes are handed in. Every foreign text passes ``one_line`` before it becomes a header
field, so nothing a client or an upstream wrote can start a line of its own.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from node.policy.addresses import needs_utf8
from node.policy.dsn_text import SUBJECTS, Action, default_status, one_line, report_text
from node.policy.envelope import NewMessage
from node.policy.parameters import ParameterError, decode_xtext
from node.policy.reply import printable
from node.policy.stamp import mail_date

MAX_HEADERS_BYTES: Final = 32 << 10
"""Longest header returned; cut at a line."""
MAX_FULL_BYTES: Final = 1 << 20
"""Larger originals are returned as headers only, even with RET=FULL (RFC 3461 §4.3 allows it)."""
_FOLD_AT: Final = 76
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")
_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,990}>")
_HOST: Final = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9.:\]-]{0,254}")
_UTF8_ESCAPE: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_MAX_CODE_POINT: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)
_ANGLES: Final = str.maketrans("", "", "<> \t")


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of a report."""

    address: str
    action: Action
    reason: str = ""
    reply: str = ""
    """The upstream's words as one line: ``550 5.1.1 User unknown``; empty when there were none."""
    orcpt: str = ""
    """RFC 3461 ORCPT as the client gave it: ``type;xtext``."""
    remote: str = ""
    """Host name that answered."""
    last_attempt_ms: int = 0
    will_retry_until_ms: int = 0


class Reporter(msgspec.Struct, frozen=True, kw_only=True):
    """Who reports."""

    hostname: str
    sender: str
    """From of the report: ``bounces.from`` or an account's address."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A finished report, lines ended by CRLF."""

    data: bytes
    eight_bit: bool
    smtputf8: bool
    message_id: str


def returns_full(message: NewMessage, action: Action) -> bool:
    """Tell whether the whole original comes back: asked for, failed (RFC 3461 §4.3), and not too large."""
    return message.ret == "FULL" and action is Action.FAILED and message.size_bytes <= MAX_FULL_BYTES


def build_report(
    message: NewMessage,
    reported: Sequence[Reported],
    original: bytes,
    *,
    reporter: Reporter,
    target: str,
    report_id: str,
    now_ms: int,
) -> Report:
    """Write the report about recipients that share one action.

    ``original`` is the stored message or its beginning (at least the header; the whole if ``returns_full``).
    ``report_id`` is the report's own id and makes Message-ID and boundary. Raises ValueError without recipients.
    """
    if not reported:
        raise ValueError("a report needs at least one recipient")
    action = reported[0].action
    utf8 = message.smtputf8 or any(needs_utf8(text) for text in (target, *(item.address for item in reported)))
    full = returns_full(message, action) and len(original) <= MAX_FULL_BYTES
    returned = original if full else _headers_of(original, utf8=utf8)
    parts = [
        _text_part(message, reported, original, reporter, utf8=utf8),
        _status_part(message, reported, reporter, utf8=utf8),
        _returned_part(returned, full=full, utf8=utf8),
    ]
    boundary = _boundary(report_id, parts)
    eight_bit = any(not part.isascii() for part in parts)
    message_id = f"<{_token(report_id)}@{_host(reporter.hostname)}>"
    fields = _fields(message, action, reporter, target, message_id, now_ms)
    fields.append(f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"')
    fields.append(f"Content-Transfer-Encoding: {'8bit' if eight_bit else '7bit'}")
    head = "".join(f"{field}\r\n" for field in fields).encode("utf-8" if utf8 else "ascii", "replace")
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    data = b"%b\r\n%b--%b--\r\n" % (head, body, boundary.encode())
    return Report(data=data, eight_bit=eight_bit, smtputf8=utf8, message_id=message_id)


def status_of(item: Reported) -> str:
    """Give the RFC 3463 code of a recipient: the upstream's where its class fits the action, else the reason's."""
    classes = {Action.FAILED: "45", Action.DELAYED: "4"}.get(item.action, "2")
    found = _STATUS.search(item.reply[:64])
    return found[0] if found and found[1] in classes else default_status(item.action, item.reason)


def original_recipient(orcpt: str, *, utf8: bool) -> str:
    """Give ORCPT as the Original-Recipient field shows it, xtext decoded exactly once; empty if it is unusable."""
    kind, _, text = orcpt.partition(";")
    if kind.lower() == "utf-8":
        decoded = _UTF8_ESCAPE.sub(lambda match: _char(match[1]), text)
        return f"utf-8;{decoded}" if utf8 and decoded.isprintable() and decoded else ""
    try:
        decoded = decode_xtext(text)
    except ParameterError:
        return ""
    return f"{kind.lower()};{decoded}" if kind.isascii() and kind.replace("-", "").isalnum() and decoded else ""


def _fields(
    message: NewMessage, action: Action, reporter: Reporter, target: str, message_id: str, now_ms: int
) -> list[str]:
    fields = [
        f"From: Mail relay <{one_line(reporter.sender).translate(_ANGLES)}>",
        f"To: <{one_line(target).translate(_ANGLES)}>",
        f"Subject: {SUBJECTS[action]}",
        f"Date: {mail_date(now_ms)}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-replied",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
    ]
    if _MESSAGE_ID.fullmatch(message.message_id):
        fields += [f"In-Reply-To: {message.message_id}", f"References: {message.message_id}"]
    return fields


def _text_part(
    message: NewMessage, reported: Sequence[Reported], original: bytes, reporter: Reporter, *, utf8: bool
) -> bytes:
    rows = [(item.address, item.reason, item.reply) for item in reported]
    text = report_text(reported[0].action, _host(reporter.hostname), message.id, _subject(original), rows)
    wrapped = "\r\n".join(_wrap(line) for line in text.split("\n"))
    data = wrapped.encode("utf-8") if utf8 else wrapped.encode("ascii", "replace")
    return _part("text/plain; charset=utf-8" if utf8 else "text/plain; charset=us-ascii", data)


def _status_part(message: NewMessage, reported: Sequence[Reported], reporter: Reporter, *, utf8: bool) -> bytes:
    groups = [[f"Reporting-MTA: dns;{_host(reporter.hostname)}", f"Arrival-Date: {mail_date(message.received_ms)}"]]
    if message.envid:
        groups[0].insert(0, f"Original-Envelope-Id: {one_line(message.envid)}")
    groups += [_recipient_fields(item, utf8=utf8) for item in reported]
    text = "\r\n".join("".join(f"{_fold(field)}\r\n" for field in group) for group in groups)
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    return _part(kind, text.encode("utf-8") if utf8 else text.encode("ascii", "replace"))


def _recipient_fields(item: Reported, *, utf8: bool) -> list[str]:
    kind = "utf-8" if needs_utf8(item.address) else "rfc822"
    original = original_recipient(item.orcpt, utf8=utf8) if item.orcpt else ""
    fields = [f"Original-Recipient: {one_line(original)}"] if original else []
    fields += [
        f"Final-Recipient: {kind};{one_line(item.address)}",
        f"Action: {item.action.value}",
        f"Status: {status_of(item)}",
    ]
    if item.remote:
        fields.append(f"Remote-MTA: dns;{_host(item.remote)}")
    if item.reply:
        fields.append(f"Diagnostic-Code: smtp;{one_line(item.reply)}")
    if item.last_attempt_ms:
        fields.append(f"Last-Attempt-Date: {mail_date(item.last_attempt_ms)}")
    if item.will_retry_until_ms and item.action is Action.DELAYED:
        fields.append(f"Will-Retry-Until: {mail_date(item.will_retry_until_ms)}")
    return fields


def _returned_part(returned: bytes, *, full: bool, utf8: bool) -> bytes:
    if full:
        return _part("message/global" if utf8 else "message/rfc822", returned)
    return _part("message/global-headers" if utf8 else "text/rfc822-headers", returned)


def _part(kind: str, data: bytes) -> bytes:
    encoding = "7bit" if data.isascii() else "8bit"
    ended = data if data.endswith(b"\r\n") else data + b"\r\n"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + ended


def _headers_of(original: bytes, *, utf8: bool) -> bytes:
    """Give the header of the original, cut at a line, octets beyond ASCII replaced unless the report is UTF-8."""
    if original.startswith(b"\r\n"):
        return b""
    header = original.partition(b"\r\n\r\n")[0][: MAX_HEADERS_BYTES + 2]
    if len(header) > MAX_HEADERS_BYTES:
        header = header[: header.rfind(b"\r\n") if b"\r\n" in header else MAX_HEADERS_BYTES]
    text = _BARE.sub(b" ", header).decode("utf-8", "replace") + "\r\n"
    return text.encode("utf-8") if utf8 else text.encode("ascii", "replace")


def _subject(original: bytes) -> str:
    """Give the original's Subject for people, still encoded, unfolded; empty if there is none."""
    header = b"\r\n" + original[:MAX_HEADERS_BYTES].partition(b"\r\n\r\n")[0]
    found = re.search(rb"\r\nSubject[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", header, re.IGNORECASE)
    return printable(found[1].replace(b"\r\n", b"").decode("utf-8", "replace"), 200) if found else ""


def _boundary(report_id: str, parts: Sequence[bytes]) -> str:
    base, number = f"=_{_token(report_id)}", 0
    while any(f"{base}.{number}".encode() in part for part in parts):
        number += 1
    return f"{base}.{number}"


def _token(text: str) -> str:
    return "".join(char for char in text if char.isascii() and (char.isalnum() or char in "-."))[:40] or "report"


def _host(text: str) -> str:
    return text if _HOST.fullmatch(text) else "unknown.invalid"


def _char(digits: str) -> str:
    r"""Give the character of a \x{...} escape (RFC 6533 §3); what is none becomes the replacement character."""
    code = int(digits, 16)
    return chr(code) if code <= _MAX_CODE_POINT and code not in _SURROGATES else "\ufffd"


def _fold(field: str) -> str:
    """Fold a field at spaces (RFC 5322 §2.2.3); a run longer than a line stays whole, 512 characters at most."""
    lines, line = [], ""
    for word in field.split(" "):
        if line.strip() and len(line) + 1 + len(word) > _FOLD_AT:
            lines.append(line)
            line = f" {word}"
        else:
            line = f"{line} {word}" if line else word
    return "\r\n".join([*lines, line])


def _wrap(line: str) -> str:
    """Wrap a line of the part for people, its indent kept."""
    words = line.lstrip()
    indent = line[: len(line) - len(words)]
    return indent + _fold(words).replace("\r\n ", f"\r\n{indent}")
