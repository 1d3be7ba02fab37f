"""A message of our own that shows how mail by the connector arrives, and what its header says there. Pure.

A connector that no longer matches goes on taking mail for mailboxes inside, as direct send (facts m365 §1.4), and
nothing in the dialogue says so. The message does: Exchange Online writes whether it counts as the organisation's own.
Seen in headers that were published: ``Originating`` where a host of the organisation handed it in by its connector,
``Incoming`` where mail came from anybody [observed, not documented]. So a header that is missing proves nothing.
"""

from email.parser import BytesHeaderParser
from enum import StrEnum
from typing import Final

import msgspec

from node.policy.envelope import Copies, Direction, NewMessage, Notify, Recipient

SAMPLE: Final = "(sample)"
"""``client`` of such mail; no client of the configuration can be called so. It goes by its path or not at all."""
PATH: Final = "connector"
EXPIRE_S: Final = 600.0
"""A sample that waits longer says nothing about now."""
DIRECTION: Final = "X-MS-Exchange-Organization-MessageDirectionality"
_SAID: Final = {"originating": True, "incoming": False}
_WORD_CHARS: Final = 80


class Arrived(StrEnum):
    """Whose a message counts as where it arrived; the values are words for logs and metrics."""

    OURS = "arrives_as_ours"
    ANYBODYS = "arrives_as_anybodys"
    UNSAID = "arrival_unsaid"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a header says."""

    arrived: Arrived
    said: str
    """The field's value, cut; empty: there is none."""


def seen_in(head: bytes) -> Seen:
    """Read the header of a message that arrived."""
    said = str(BytesHeaderParser().parsebytes(head).get(DIRECTION, "")).strip()[:_WORD_CHARS]
    ours = _SAID.get(said.lower())
    arrived = Arrived.UNSAID if ours is None else Arrived.OURS if ours else Arrived.ANYBODYS
    return Seen(arrived=arrived, said=said)


def sample_of(
    *, queue_id: str, message_id: str, tenant: str, sender: str, mailbox: str, size_bytes: int, now_ms: int
) -> NewMessage:
    """Give its envelope; nobody hears of its failure, and it is kept on one machine."""
    return NewMessage(
        id=queue_id,
        client=SAMPLE,
        plan="",
        mail_from=sender,
        header_from=sender,
        tenant=tenant,
        recipients=(Recipient(address=mailbox, direction=Direction.INTERNAL, notify=Notify.NEVER.value),),
        size_bytes=size_bytes,
        received_ms=now_ms,
        expires_ms=now_ms + round(EXPIRE_S * 1000),
        message_id=message_id,
        copies=Copies.ONE,
        no_bounce=True,
    )
