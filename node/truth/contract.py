"""What this room is given and what it asks: reports with how they came, the ledger of deliveries, mailboxes.

A report proves nothing by itself. What came with it decides what it may concern: a key of ours in the address it was
sent to, or the mailbox it lay in.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from node.policy.ndr.values import Notice
from node.policy.verdict import Verdict
from node.spool.contract import Accepted, Filter, MessageView, RecipientResult
from node.spool.pages import Page as History
from node.spool.pages import Spot

WINDOW_MS: Final = 7 * 86_400_000
"""How long after its delivery a recipient's failure is believed. Exchange Online gives up after 24 h (facts m365 §2.2);
other servers' reports have been seen to take five days."""
SKEW_MS: Final = 5 * 60_000
HOW_FAR: Final = ("message", "recipient", "state", "way", "window")
"""Reasons for no match, by how much fitted; the last one a report reached is told."""
NOT_YET: Final = "state"
"""The one that may pass: the message is known, and its delivery not settled."""


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """How a report came."""

    address: str = ""
    """The return address it was handed in for, by SMTP."""
    mailbox: str = ""
    """The mailbox it was read from."""
    tenant: str = ""
    """Tenant of that mailbox."""
    traceparent: str = ""

    @property
    def where(self) -> str:
        """``return_path`` or ``mailbox``, for metrics and the journey."""
        return "return_path" if self.address else "mailbox"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A report as it is judged: here, or by the node that has the message."""

    notice: Notice
    came: Came
    at_ms: int = 0
    """When it came, by the clock of the node it came to; 0: now."""


class Outcome(StrEnum):
    """What became of a report."""

    MATCHED = "matched"
    """At least one delivered recipient is bounced now."""
    REPEATED = "repeated"
    """All it says is known."""
    OTHER = "other"
    """It reports no failure: a delay, a success."""
    FORGED = "forged"
    """It was sent to a return address nobody was given."""
    UNMATCHED = "unmatched"
    """No outstanding delivery fits."""
    WAITING = "waiting"
    """None fits yet, and one may: its delivery is not settled, or a node that may have it cannot be asked."""
    NO_REPORT = "no_report"
    """No report this relay can read."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What one node made of a claim."""

    outcome: Outcome
    why: str = ""
    """For ``unmatched``: one of ``HOW_FAR``."""
    message_id: str = ""
    recipients: int = 0
    """Recipients that are bounced now."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What the other nodes made of a claim."""

    judged: tuple[Judged, ...] = ()
    silent: bool = False
    """A node of the cluster did not answer: what it has is not known."""


class Ledger(Protocol):
    """The spool, as far as this room needs it."""

    async def page(self, which: Filter, before: Spot | None = None) -> History:
        """Messages that fit, newest first, beyond a place."""
        ...

    async def journey(self, message_id: str) -> MessageView | None:
        """One message with its journey."""
        ...

    async def finish(self, message_id: str, results: Sequence[RecipientResult], now_ms: int, event: str) -> None:
        """Make the moves durable."""
        ...


class Learn(Protocol):
    """Who hears that a report speaks of more than its message: an account, a tenant."""

    def __call__(self, view: MessageView, way: str, verdict: Verdict) -> None:
        """Note it in the health of what it concerns."""
        ...


Append = Callable[[Accepted], Awaitable[None]]
"""Keeps a message of the node's own; raises what the spool's ``append`` raises."""
Elsewhere = Callable[[Claim], Awaitable[Answers]]
"""Asks the other nodes."""


INBOX: Final = "inbox"
FOLDERS: Final = (INBOX, "junkemail")
"""Where reports land (Graph's well-known names): a filter may take another server's report for junk."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One message in a mailbox, as a listing names it."""

    id: str
    received_ms: int
    sender: str
    """Address of the sender, lower-case; may be empty."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of what is new in a mailbox."""

    items: tuple[Item, ...]
    cursor: str
    """Where to go on; opaque."""
    more: bool
    """There is more at once; else ask again later with the cursor."""


class MailboxReader(Protocol):
    """Reads mailboxes. Nothing is changed in them."""

    async def changes(self, tenant: str, mailbox: str, folder: str, cursor: str, since_ms: int) -> Page:
        """Give what came into a folder since the cursor was given; with an empty one, what came since ``since_ms``.

        ``folder``: one of ``FOLDERS``. Raises MailboxUnavailable (temporary), MailboxRefused (permanent), its kind
        NotThere, CursorExpired.
        """
        ...

    async def content(self, tenant: str, mailbox: str, item: str) -> bytes:
        """Give the beginning of a message in MIME form, a megabyte at most; raises as ``changes``.

        NotThere: it was deleted meanwhile.
        """
        ...
