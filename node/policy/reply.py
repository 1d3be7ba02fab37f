"""One SMTP reply as a value, and the moments of a conversation at which one can arrive (RFC 5321 §4.2, RFC 3463)."""

from enum import StrEnum

import msgspec


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
