"""Finished spans as OTLP protobuf, a third of the cost of going through the SDK's span objects (docs/performance.md).

Pure translation. Rare parts are OpenTelemetry's own generated messages. Frames and what every span has are put together
as octets (Protocol Buffers encoding, "Message structure"; opentelemetry-proto v1 trace.proto, field numbers), which the
library then parses as a whole.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from node import __version__
from node.telemetry.contract import AttributeValue, FinishedSpan, TraceContext

SCOPE: Final = "m365-relay"
CACHED: Final = 1_024
"""Names kept encoded."""
_ONE_OCTET: Final = 0x80
"""Lengths below need one octet."""
_SMALL: Final = _ONE_OCTET - 2
"""Length of a text whose value's length needs one octet too."""
FEW_CHARS: Final = 20
FEW_NUMBERS: Final = 255
"""Values up to these are kept encoded; what is longer is mostly different each time."""
_RESOURCE_SPANS: Final = b"\x0a"
"""Field 1 of the request."""
_RESOURCE: Final = b"\x0a"
_SCOPE_SPANS: Final = b"\x12"
"""Fields 1 and 2 of ResourceSpans."""
_SPANS: Final = b"\x12"
"""Field 2 of ScopeSpans."""
_TIMES: Final = struct.Struct("<BQBQ")
_KINDS: Final = {name.removeprefix("SPAN_KIND_").lower(): number for name, number in Span.SpanKind.items() if number}
_FAILED: Final = Status.STATUS_CODE_ERROR


def attribute(key: str, value: AttributeValue) -> KeyValue:
    """Encode one attribute."""
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=value))
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))


def request_of(spans: Sequence[FinishedSpan], resource: dict[str, str]) -> ExportTraceServiceRequest:
    """Encode a batch of one process."""
    scope = b"".join([_scope(), *(_field(_SPANS, _octets(span)) for span in spans)])
    block = _field(_RESOURCE, _resource(tuple(resource.items()))) + _field(_SCOPE_SPANS, scope)
    # Parsed by the library as a whole, once: so nothing but what its schema knows can leave, and no message is copied.
    request = ExportTraceServiceRequest()
    request.MergeFromString(_field(_RESOURCE_SPANS, block))
    return request


@lru_cache(maxsize=1)
def _scope() -> bytes:
    """What every batch begins with: the scope, as field 1 of ScopeSpans."""
    return _field(b"\x0a", bytes(InstrumentationScope(name=SCOPE, version=__version__).SerializeToString()))


@lru_cache(maxsize=2)
def _resource(attributes: tuple[tuple[str, str], ...]) -> bytes:
    return bytes(Resource(attributes=[attribute(key, value) for key, value in attributes]).SerializeToString())


def _field(tag: bytes, content: bytes) -> bytes:
    """A field of octets as the wire has it: tag, length, content."""
    length = len(content)
    if length < _ONE_OCTET:
        return b"%b%c%b" % (tag, length, content)
    return b"%b%b%b" % (tag, _varint(length), content)


def _varint(number: int) -> bytes:
    if _ONE_OCTET <= number < _ONE_OCTET << 7:
        return b"%c%c" % (number & 0x7F | 0x80, number >> 7)
    octets = bytearray()
    while number >= _ONE_OCTET:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


@lru_cache(maxsize=CACHED)
def _key(key: str) -> bytes:
    return _field(b"\x0a", key.encode())


@lru_cache(maxsize=CACHED)
def _kind_of(name: str, kind: str) -> bytes:
    return _field(b"\x2a", name.encode()) + b"\x30" + bytes((_KINDS[kind],))


def _attribute(key: str, value: AttributeValue) -> bytes:
    """One attribute of a span, as field 9 of it."""
    if type(value) is str:
        octets = value.encode()
        length = len(octets)
        if length < _SMALL:
            return _field(b"\x4a", b"%b\x12%c\x0a%c%b" % (_key(key), length + 2, length, octets))
        return _field(b"\x4a", _key(key) + _field(b"\x12", _field(b"\x0a", octets)))
    if type(value) is int and 0 <= value < 1 << 63:
        number = _varint(value)
        return _field(b"\x4a", b"%b\x12%c\x18%b" % (_key(key), len(number) + 1, number))
    return _field(b"\x4a", attribute(key, value).SerializeToString())


_repeated: Final = lru_cache(maxsize=CACHED, typed=True)(_attribute)
"""For values of which there are few: names and small numbers."""


def _octets(span: FinishedSpan) -> bytes:
    """A span on the wire; what only few have is left to the library."""
    context, parent = span.context, span.parent_span_id
    parts = [
        b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")),
        b"\x22\x08" + parent.to_bytes(8, "big") if parent else b"",
        _kind_of(span.name, span.kind),
        _TIMES.pack(0x39, span.start_ns, 0x41, span.end_ns),
    ]
    for key, value in span.attributes.items():
        few = len(value) <= FEW_CHARS if type(value) is str else type(value) is int and 0 <= value <= FEW_NUMBERS
        parts.append(_repeated(key, value) if few else _attribute(key, value))
    if span.events or span.links or span.error:
        parts.append(_rest(span))
    return b"".join(parts)


def _rest(span: FinishedSpan) -> bytes:
    encoded = Span(
        events=[
            Span.Event(
                name=event.name,
                time_unix_nano=event.at_ns,
                attributes=[attribute(key, value) for key, value in event.attributes.items()],
            )
            for event in span.events
        ],
        links=[_link(link) for link in span.links],
    )
    if span.error:
        encoded.status.code = _FAILED
        encoded.status.message = span.error
    return bytes(encoded.SerializeToString())


def _link(context: TraceContext) -> Span.Link:
    return Span.Link(trace_id=context.trace_id.to_bytes(16, "big"), span_id=context.span_id.to_bytes(8, "big"))
