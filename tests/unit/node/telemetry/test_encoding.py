"""Spans put together as octets say the same as the library's own messages."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from node.telemetry.contract import FinishedSpan, SpanEvent, TraceContext
from node.telemetry.encoding import attribute, request_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = TEXT | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.booleans()
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=5)
CONTEXTS = st.builds(TraceContext, trace_id=st.integers(0, (1 << 128) - 1), span_id=st.integers(0, (1 << 64) - 1))
TIMES = st.integers(0, (1 << 64) - 1)
SPANS = st.builds(
    FinishedSpan,
    name=TEXT,
    context=CONTEXTS,
    parent_span_id=st.integers(0, (1 << 64) - 1),
    start_ns=TIMES,
    end_ns=TIMES,
    attributes=ATTRIBUTES,
    links=st.lists(CONTEXTS, max_size=2).map(tuple),
    events=st.lists(st.builds(SpanEvent, name=TEXT, at_ns=TIMES, attributes=ATTRIBUTES), max_size=2).map(tuple),
    kind=st.sampled_from(["internal", "server", "client", "producer", "consumer"]),
    error=TEXT,
)


def octets(number, size):
    return number.to_bytes(size, "big")


def by_the_library(span):
    return Span(
        trace_id=octets(span.context.trace_id, 16),
        span_id=octets(span.context.span_id, 8),
        parent_span_id=octets(span.parent_span_id, 8) if span.parent_span_id else b"",
        name=span.name,
        kind=Span.SpanKind.Value(f"SPAN_KIND_{span.kind.upper()}"),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=[attribute(key, value) for key, value in span.attributes.items()],
        events=[
            Span.Event(
                name=event.name,
                time_unix_nano=event.at_ns,
                attributes=[attribute(key, value) for key, value in event.attributes.items()],
            )
            for event in span.events
        ],
        links=[Span.Link(trace_id=octets(one.trace_id, 16), span_id=octets(one.span_id, 8)) for one in span.links],
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else None,
    )


@given(st.lists(SPANS, max_size=4))
def test_the_request_says_what_the_library_would_say(spans):
    sent = request_of(spans, {"relay.node": "a"}).SerializeToString()
    (block,) = ExportTraceServiceRequest.FromString(sent).resource_spans
    assert [pair.key for pair in block.resource.attributes] == ["relay.node"]
    (scope,) = block.scope_spans
    assert scope.scope.name == "m365-relay"
    assert list(scope.spans) == [by_the_library(span) for span in spans]
