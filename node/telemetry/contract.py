"""What rooms say about their work. Spans are reported once, finished, so that nothing is held open across a queue.

Identifiers are made by the caller (``new_span_id``) so that children and stored context can refer to a span
before it is reported. Nothing here blocks, raises, or waits for an exporter (design §8).
"""

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from node.telemetry.spread import Spread

AttributeValue = str | int | float | bool


class TraceContext(msgspec.Struct, frozen=True, kw_only=True):
    """W3C trace context; ids as integers, 0 = none."""

    trace_id: int
    span_id: int
    sampled: bool = True


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a span stands that belongs to a message accepted earlier: inside its trace, or in one linked to it."""

    context: TraceContext
    parent_span_id: int = 0
    links: tuple[TraceContext, ...] = ()


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A named moment inside a span."""

    name: str
    at_ns: int
    attributes: dict[str, AttributeValue] = msgspec.field(default_factory=dict)


class FinishedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One finished span, reported once. Times are nanoseconds since the epoch."""

    name: str
    context: TraceContext
    parent_span_id: int = 0
    start_ns: int
    end_ns: int
    attributes: dict[str, AttributeValue] = msgspec.field(default_factory=dict)
    links: tuple[TraceContext, ...] = ()
    events: tuple[SpanEvent, ...] = ()
    kind: str = "internal"
    """``internal``, ``server``, ``client``, ``producer`` or ``consumer``."""
    error: str = ""
    """Non-empty: status ERROR with this description (no address, no secret)."""


class Telemetry(Protocol):
    """Where rooms report spans and numbers."""

    def root(self, traceparent: str = "") -> TraceContext:
        """Make the context of a first span: a child of a valid incoming ``traceparent``, else a new trace.

        The returned context carries the *new* span's id; the incoming parent's id is ``parse(traceparent).span_id``.
        """
        ...

    def child(self, parent: TraceContext) -> TraceContext:
        """Make the context of a span in the same trace."""
        ...

    def follow(self, accepted: str, since_ms: int, now_ms: int, *before: str) -> Followed:
        """Place a new span of a message: ``accepted`` is its ``traceparent``, ``since_ms`` when it came.

        A child for some minutes; later a trace of its own, linked to ``accepted`` and sampled as that is. ``before``
        are contexts it is linked to in any case; what is no ``traceparent`` among them is passed over.
        """
        ...

    def span(self, span: FinishedSpan) -> None:
        """Report a finished span."""
        ...

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter; names and labels are listed in ``node/telemetry/names.py``."""
        ...

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Record a value in a histogram (seconds or bytes, unit at the end of the name)."""
        ...

    def merge(self, name: str, spread: "Spread", **labels: str) -> None:
        """Record many values in a histogram, added up elsewhere."""
        ...

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...
