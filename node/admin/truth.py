"""What the administration interface asks about mail that failed after its 250; the composition root answers."""

from typing import Protocol

import msgspec


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """A report that fitted nothing and is kept aside."""

    id: int
    at_ms: int
    outcome: str
    """``forged``, ``unmatched``, ``waiting``, ``no_report``."""
    why: str
    came: str
    """The mailbox it lay in, or the return address it was sent to."""
    size_bytes: int


class MailboxView(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox that is read for reports."""

    mailbox: str
    tenant: str
    read_ms: int
    """When it was last read to the end by this node; 0: never."""
    trouble: str
    """Why it is not; empty: all is well, or another node reads it."""


class SuppressedView(msgspec.Struct, frozen=True, kw_only=True):
    """An address that failed for good."""

    address: str
    times: int
    last_ms: int
    reason: str


class TruthView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of it in one page."""

    return_path: dict[str, str]
    """The return address by tenant; empty: mail leaves with its senders' own."""
    mailboxes: tuple[MailboxView, ...]
    kept: tuple[ReportView, ...]
    """Latest first."""
    suppression: str
    """``off``, ``observe``, ``refuse``."""
    suppressed: tuple[SuppressedView, ...]
    """Latest failure first."""


class TruthControl(Protocol):
    """The room, as the administration interface sees it."""

    async def view(self, limit: int) -> TruthView:
        """Give the page, at most ``limit`` of each list."""
        ...

    async def content(self, number: int) -> bytes | None:
        """Give the beginning of a report that is kept; None: there is none of that number."""
        ...

    async def unsuppress(self, address: str) -> bool:
        """Take an address off the suppression list; False: it is not on it."""
        ...
