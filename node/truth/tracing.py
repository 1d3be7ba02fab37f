"""The span of a report, ``relay.ndr``: in the trace of the acceptance for five minutes, else linked to it."""

import time
from collections.abc import Sequence

from node.spool.contract import MessageView, RecipientResult
from node.telemetry.context import CHILD_FOR_MS, parse
from node.telemetry.contract import FinishedSpan, Telemetry
from node.truth.contract import Came


class NdrTracer:
    """Reports spans of reports."""

    def __init__(self, telemetry: Telemetry, node: str) -> None:
        """Name the node."""
        self._telemetry, self._node = telemetry, node

    @staticmethod
    def now_ns() -> int:
        """Wall clock, nanoseconds since the epoch."""
        return time.time_ns()

    def ndr(self, view: MessageView, came: Came, results: Sequence[RecipientResult], start_ns: int) -> None:
        """Report that recipients are bounced later."""
        message, end_ns = view.message, time.time_ns()
        accepted = parse(message.traceparent)
        inside = accepted is not None and end_ns // 1_000_000 - message.received_ms <= CHILD_FOR_MS
        context = self._telemetry.child(accepted) if inside and accepted else self._telemetry.root()
        self._telemetry.span(
            FinishedSpan(
                name="relay.ndr",
                context=context,
                parent_span_id=accepted.span_id if inside and accepted else 0,
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
                links=() if inside or accepted is None else (accepted,),
                kind="consumer",
                error=results[0].reason,
            )
        )
