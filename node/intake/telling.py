"""What telemetry and the weak-client book hear of an accepted message: two spans, four numbers, one sighting."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from node.intake.door import Sight
from node.telemetry.contract import FinishedSpan

if TYPE_CHECKING:
    from node.intake.conversation import Conversation
    from node.policy.envelope import NewMessage
    from node.telemetry.contract import TraceContext

SPAN_ID_HEX: Final = slice(36, 52)
"""Where the span id stands in a ``traceparent``."""
_MESSAGE: Final = Sight.MESSAGE  # a member asked of its class costs ten times a name


def tell(
    session: Conversation, message: NewMessage, context: TraceContext, parent: str, started_ns: int, dot_ns: int
) -> None:
    """Report a message that is durable: ``relay.receive`` in the caller's trace ``parent``, ``relay.commit`` in it."""
    telemetry = session.house.telemetry
    end_ns = time.time_ns()
    recipients = len(message.recipients)
    telemetry.span(
        FinishedSpan(
            name="relay.commit",
            context=telemetry.child(context),
            parent_span_id=context.span_id,
            start_ns=dot_ns,
            end_ns=end_ns,
        )
    )
    telemetry.span(
        FinishedSpan(
            name="relay.receive",
            context=context,
            parent_span_id=int(parent[SPAN_ID_HEX], 16) if parent else 0,
            start_ns=started_ns,
            end_ns=end_ns,
            kind="server",
            attributes={
                "relay.id": message.id,
                "relay.client": message.client,
                "relay.listener": message.listener,
                "relay.size_bytes": message.size_bytes,
                "relay.recipients": recipients,
                "relay.tls": session.tls_version,
            },
        )
    )
    telemetry.count("relay_messages_accepted", client=message.client, priority=message.priority.value)
    telemetry.count("relay_recipients_accepted", recipients, client=message.client)
    telemetry.observe("relay_message_size_bytes", message.size_bytes)
    telemetry.observe("relay_commit_seconds", (end_ns - dot_ns) / 1e9)
    session.house.door.sighting(message.client, _MESSAGE, session.ip)
