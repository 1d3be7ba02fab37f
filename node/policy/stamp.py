"""The trace field this relay adds, and how it knows its own again (RFC 5321 §4.4, §6.3)."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from node.policy.facts import Facts
from node.policy.rulebook import IntakeRules

HELO_CHARS = 64
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?|\[(?:IPv6:)?[0-9A-Fa-f:.]{2,45}\]")
_TLS = re.compile(r"[A-Za-z0-9._-]+(?: [A-Za-z0-9._-]+)?")
_UNSAFE = re.compile(r"[^ !#-'*-\[\]-~]")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year} {moment:%H:%M:%S} +0000"


def mail_date(now_ms: int) -> str:
    """Give the moment as RFC 5322 §3.3 wants it, in UTC."""
    return _date(now_ms // 1000)


def received_field(facts: Facts) -> bytes:
    """Give the Received field with its final CRLF; ``received: minimal`` hides the client (operations M13)."""
    rules = facts.rules
    by = f"by {rules.hostname} ({rules.marker}) with {facts.protocol}\r\n\tid {facts.id}; {mail_date(facts.now_ms)}\r\n"
    if not rules.received_full:
        return f"Received: {by}".encode("ascii")
    return f"Received: {_from(facts.helo, facts.peer, facts.tls)}\r\n\t{by}".encode("ascii")


@lru_cache(maxsize=1024)
def _from(helo: str, peer: str, tls: str) -> str:
    using = f"\r\n\t(using {tls})" if _TLS.fullmatch(tls) else ""
    return f"from {_helo(helo)}{_peer(peer)}{using}"


def is_own(rules: IntakeRules, value: bytes) -> bool:
    """Whether a Received field was written by this node or, by its marker, another one of the cluster."""
    text = b" ".join(value.lower().split())
    if f"({rules.marker.lower()})".encode() in text:
        return True
    return f"by {rules.hostname.lower()} ".encode() in b" " + text + b" "


def _peer(address: str) -> str:
    """The client's address as RFC 5321 §4.1.3 writes literals; nothing for one that is unknown."""
    if not address:
        return ""
    return f" ([IPv6:{address}])" if ":" in address else f" ([{address}])"


def _helo(text: str) -> str:
    """The client's name if it can be one; else ``unknown`` and the harmless part of it in quotes, for people."""
    if _HELO.fullmatch(text):
        return text
    quoted = _UNSAFE.sub("?", text[:HELO_CHARS])
    return f'unknown (helo "{quoted}")' if quoted else "unknown"
