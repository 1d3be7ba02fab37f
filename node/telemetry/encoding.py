"""Finished spans as OTLP protobuf, a third of the cost of going through the SDK's span objects (docs/performance.md).

Pure translation: the messages are OpenTelemetry's own generated ones; repeated attributes (client, path, node) are
built once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from node import __version__
from node.telemetry.contract import AttributeValue, FinishedSpan, TraceContext

SCOPE: Final = "m365-relay"
CACHED_ATTRIBUTES: Final = 8_192
"""Distinct attribute values kept encoded; ids pass through, names stay."""
_KINDS: Final = {name.removeprefix("SPAN_KIND_").lower(): number for name, number in Span.SpanKind.items() if number}
_FAILED: Final = Status.STATUS_CODE_ERROR


@lru_cache(maxsize=CACHED_ATTRIBUTES)
def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def attribute(key: str, value: AttributeValue) -> KeyValue:
    """Encode one attribute."""
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))


def request_of(spans: Sequence[FinishedSpan], resource: dict[str, str]) -> ExportTraceServiceRequest:
    """Encode a batch of one process."""
    scope = ScopeSpans(
        scope=InstrumentationScope(name=SCOPE, version=__version__), spans=[_span(span) for span in spans]
    )
    attributes = [attribute(key, value) for key, value in resource.items()]
    block = ResourceSpans(resource=Resource(attributes=attributes), scope_spans=[scope])
    return ExportTraceServiceRequest(resource_spans=[block])


def _span(span: FinishedSpan) -> Span:
    encoded = Span(
        trace_id=span.context.trace_id.to_bytes(16, "big"),
        span_id=span.context.span_id.to_bytes(8, "big"),
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=[attribute(key, value) for key, value in span.attributes.items()],
    )
    if span.parent_span_id:
        encoded.parent_span_id = span.parent_span_id.to_bytes(8, "big")
    if span.events:
        encoded.events.extend(
            Span.Event(
                name=event.name,
                time_unix_nano=event.at_ns,
                attributes=[attribute(key, value) for key, value in event.attributes.items()],
            )
            for event in span.events
        )
    if span.links:
        encoded.links.extend(_link(link) for link in span.links)
    if span.error:
        encoded.status.code = _FAILED
        encoded.status.message = span.error
    return encoded


def _link(context: TraceContext) -> Span.Link:
    return Span.Link(trace_id=context.trace_id.to_bytes(16, "big"), span_id=context.span_id.to_bytes(8, "big"))
