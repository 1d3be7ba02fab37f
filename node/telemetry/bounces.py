"""``relay.bounce``: a report put into the queue, whether an attempt or a report from outside led to it. Pure."""

from node.telemetry.contract import FinishedSpan, Followed


def bounce_span(place: Followed, queue_id: str, report_id: str, node: str, start_ns: int, end_ns: int) -> FinishedSpan:
    """Make the span; the report carries ``place.context`` as its own ``traceparent``."""
    return FinishedSpan(
        name="relay.bounce",
        context=place.context,
        parent_span_id=place.parent_span_id,
        start_ns=start_ns,
        end_ns=max(start_ns, end_ns),
        attributes={"relay.queue_id": queue_id, "relay.report_id": report_id, "relay.node": node},
        links=place.links,
        kind="producer",
    )
