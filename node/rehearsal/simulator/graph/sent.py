"""Copies in Sent Items, and the message trace, of what the simulated service took. Bounded; knows no HTTP.

A copy is there after a while, as in life; a mailbox may keep none of what it sent by SMTP (facts m365 §1.2).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from node.rehearsal.simulator.graph.letters import Part

HEAD_BYTES: Final = 64 << 10
KEPT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One message in Sent Items."""

    number: int
    at_ms: int
    message_id: str
    head: str
    """Its header as it was sent."""
    properties: tuple[tuple[str, str], ...] = ()
    """Extended properties set on the draft."""
    recipients: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    """Of a message built as a draft."""

    @property
    def id(self) -> str:
        """Give an id that must be quoted in a URL, as Graph's must."""
        return f"AAMkSent/{self.number}=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One recipient of one message in the trace."""

    at_ms: int
    tenant: str
    message_id: str
    sender: str
    recipient: str
    status: str = "delivered"


@dataclass(slots=True)
class Outbox:
    """All mailboxes' Sent Items, and all tenants' traces."""

    copies: dict[str, deque[Copy]] = field(default_factory=dict)
    traced: dict[str, deque[Traced]] = field(default_factory=dict)
    _number: int = 0

    def keep(self, mailbox: str, copy: Copy) -> None:
        """Lay a copy into a mailbox's Sent Items."""
        self.copies.setdefault(mailbox, deque(maxlen=KEPT)).append(copy)

    def number(self) -> int:
        """Give the next copy's number."""
        self._number += 1
        return self._number

    def trace(self, tenant: str, at_ms: int, message_id: str, sender: str, recipients: Iterable[str]) -> None:
        """Note a message in the tenant's trace."""
        rows = self.traced.setdefault(tenant, deque(maxlen=KEPT))
        for recipient in recipients:
            rows.append(
                Traced(at_ms=at_ms, tenant=tenant, message_id=message_id, sender=sender, recipient=recipient.lower())
            )

    def seen(self, mailbox: str, before_ms: int) -> Iterator[Copy]:
        """Give the copies that are there by then, newest first."""
        return (one for one in reversed(self.copies.get(mailbox, ())) if one.at_ms <= before_ms)

    def rows(self, tenant: str, before_ms: int) -> Iterator[Traced]:
        """Give the tenant's trace as far as it shows by then, newest first."""
        return (one for one in reversed(self.traced.get(tenant, ())) if one.at_ms <= before_ms)
