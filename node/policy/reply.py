"""One SMTP reply as a value, and the moments of a conversation at which one can arrive (RFC 5321 §4.2, RFC 3463)."""

import re
from enum import StrEnum
from typing import Final

import msgspec

MAX_TEXT_CHARS: Final = 4096
"""Longest text kept of one reply: Exchange's longest seen is under 1,000; RFC 5321 allows 512 a line."""
PRINTABLE_CHARS: Final = 512
"""Longest upstream text shown in reports and stored (operations §5)."""
NOT_SENT: Final = "not_sent"
"""First word of an HTTP failure that happened before the message could have been sent."""

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")
_BRACKET = re.compile(r"\s*\[[^\[\]]*\]\s*$")


class Stage(StrEnum):
    """What the reply answered, or what failed. Transport failures have no reply but do have a stage."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    TOKEN = "token"  # noqa: S105 - the name of a stage
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    HTTP = "http"
    NDR = "ndr"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as received: ``550``, ``5.7.64``, and the text joined with spaces, enhanced code removed."""

    code: int
    """Three digits; 0 when the connection failed instead of answering."""
    enhanced: str = ""
    text: str = ""

    def __str__(self) -> str:
        """Give the reply as one line, for people."""
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


def said(code: int, enhanced: str, text: str) -> str:
    """Write an answer for people; one with code 0 is none, and the text says what happened instead."""
    parts = (str(code), enhanced, text) if code else ("no answer:", text or "connection lost")
    return " ".join(part for part in parts if part)


def printable(text: str, limit: int = PRINTABLE_CHARS) -> str:
    """Make foreign text safe to show: one line, no control or direction characters, at most ``limit`` characters."""
    safe = "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text[:limit])
    return safe.strip()


def reply_from(code: int, message: str | bytes) -> Reply:
    """Build a reply from the lines an SMTP client read, the enhanced code of every line split off (RFC 2034 §4).

    ``code`` 0 means the connection failed and ``message`` names how (``timeout``, ``refused``, ``tls``, ``closed``).
    The trailing bracket with the server's name stays in the text: support asks for it; ``stripped`` leaves it out.
    """
    decoded = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    enhanced, parts = "", []
    for line in decoded[:MAX_TEXT_CHARS].splitlines():
        match = _ENHANCED.match(line.lstrip())
        if match is not None and enhanced in ("", match[1]):
            enhanced = match[1]
            parts.append(line.lstrip()[match.end() :])
        else:
            parts.append(line)
    text = " ".join(part for part in (printable(part, MAX_TEXT_CHARS) for part in parts) if part)
    return Reply(code=code, enhanced=enhanced, text=text)


def stripped(text: str) -> str:
    """Give a reply's text without the server's trailing brackets (facts m365 §4.1, rule 3)."""
    bare = _BRACKET.sub("", text)
    return stripped(bare) if bare != text else bare
