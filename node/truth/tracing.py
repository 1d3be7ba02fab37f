"""The spans of a report: ``relay.ndr``, in the acceptance's trace for five minutes and later linked; ``relay.bounce``.

``relay.ndr`` is linked to the attempts that had delivered and, if the report came by the return path, to its own
acceptance at the door: what Microsoft said later and what the message was are one graph.
"""

import time
from collections.abc import Sequence
from typing import Final

from node.spool.contract import MessageView, RecipientResult
from node.telemetry.bounces import bounce_span
from node.telemetry.context import recorded
from node.telemetry.contract import FinishedSpan, Followed, Telemetry, TraceContext
from node.truth.contract import Came

LINKS_MAX: Final = 16
"""Attempts a report is linked to; one of a message to many may be about more."""
_PER_MS: Final = 1_000_000


class NdrTracer:
    """Reports spans of reports."""

    def __init__(self, telemetry: Telemetry, node: str) -> None:
        """Name the node."""
        self._telemetry, self._node = telemetry, node

    @staticmethod
    def now_ns() -> int:
        """Wall clock, nanoseconds since the epoch."""
        return time.time_ns()

    def ndr(self, view: MessageView, came: Came, results: Sequence[RecipientResult], start_ns: int) -> TraceContext:
        """Report that recipients are bounced later; gives the span's context, which is always recorded."""
        message, end_ns = view.message, time.time_ns()
        indexes = {result.index for result in results}
        tried = sorted({one.last_traceparent for one in view.recipients if one.index in indexes})[:LINKS_MAX]
        place = self._telemetry.follow(
            message.traceparent, message.received_ms, end_ns // _PER_MS, *tried, came.traceparent
        )
        context = recorded(place.context)
        self._telemetry.span(
            FinishedSpan(
                name="relay.ndr",
                context=context,
                parent_span_id=place.parent_span_id,
                start_ns=start_ns,
                end_ns=end_ns,
                attributes={
                    "relay.queue_id": message.id,
                    "relay.node": self._node,
                    "relay.client": message.client,
                    "relay.came": came.where,
                    "relay.recipients": len(results),
                    "relay.reason": results[0].reason,
                },
                links=place.links,
                kind="consumer",
                error=results[0].reason,
            )
        )
        return context

    def bounce(self, place: Followed, queue_id: str, report_id: str, start_ns: int) -> None:
        """Report that what bounced later was told to its sender."""
        self._telemetry.span(bounce_span(place, queue_id, report_id, self._node, start_ns, time.time_ns()))
