"""What a report says, as values: every text is foreign, cut and unproven."""

from enum import StrEnum

import msgspec

from node.policy.reply import Reply


class Said(StrEnum):
    """What a report says became of a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of a report."""

    final: str
    """Final-Recipient as a canonical address; empty if it is none."""
    original: str = ""
    """Original-Recipient, likewise."""
    said: Said
    status: str = ""
    """RFC 3463 code of the Status field, ``5.1.10``."""
    reply: Reply
    """What the server at fault said, out of Diagnostic-Code; code 0: it said nothing that reads as a reply."""
    remote: str = ""
    """Remote-MTA, as it stands."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A report."""

    recipients: tuple[Returned, ...]
    message_ids: tuple[str, ...] = ()
    """Message-IDs it may be about, with angle brackets: of the returned header, In-Reply-To, References."""
    queue_ids: tuple[str, ...] = ()
    """Ids in the returned header's Received fields that read as our queue ids, newest hop first."""
    addressed: tuple[str, ...] = ()
    """Addresses it was sent to, by its own header."""
    reporter: str = ""
    """Reporting-MTA, as it stands."""
    header: bytes = b""
    """The returned header, cut; empty if none came back."""
    inside: bool = False
    """Its header says that the organisation wrote it itself: ``X-MS-Exchange-Organization-AuthAs: Internal``, which
    Exchange takes off mail from elsewhere. Worth something only in a mailbox."""
    cut: bool = False
    """Something was left out at a bound."""


class NoNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is no report this parser reads."""

    why: str
    """``no_report``, ``no_recipients``, ``too_deep``: a stable word."""
