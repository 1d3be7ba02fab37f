"""W3C trace context as text and as numbers (Trace Context level 1, §3.2); pure but for the randomness of new ids."""

import re
from random import Random, SystemRandom

from node.telemetry.contract import Followed, TraceContext

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_random = SystemRandom()
_seeded = Random(_random.getrandbits(128))  # noqa: S311 - ids need be unlikely to meet, not secret


def new_trace_id() -> int:
    """Make a random, non-zero 128-bit trace id."""
    return _seeded.getrandbits(128) or 1


def new_span_id() -> int:
    """Make a random, non-zero 64-bit span id."""
    return _seeded.getrandbits(64) or 1


def parse(traceparent: str) -> TraceContext | None:
    """Read a ``traceparent``; None when it is not one (all-zero ids and version ``ff`` are not)."""
    match = _FORM.fullmatch(traceparent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id=trace_id, span_id=span_id, sampled=bool(int(match[4], 16) & _SAMPLED))


def render(context: TraceContext) -> str:
    """Write a context as ``traceparent``."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{1 if context.sampled else 0:02x}"


def begin(traceparent: str = "", *, sample: float = 1.0) -> TraceContext:
    """Make the context of a first span: in the caller's trace if it names a valid one, else in a new one."""
    parent = parse(traceparent) if traceparent else None
    if parent is not None:
        return TraceContext(trace_id=parent.trace_id, span_id=new_span_id(), sampled=parent.sampled)
    sampled = sample >= 1.0 or _seeded.random() < sample
    return TraceContext(trace_id=new_trace_id(), span_id=new_span_id(), sampled=sampled)


def child(parent: TraceContext) -> TraceContext:
    """Make the context of a span in the same trace."""
    return TraceContext(trace_id=parent.trace_id, span_id=new_span_id(), sampled=parent.sampled)


def follow(accepted: TraceContext, links: tuple[TraceContext, ...], *, inside: bool) -> Followed:
    """Make the context of a span of a message: in the trace of its acceptance, or in a new one linked to that.

    A new one is recorded if that was: else of a trace kept by chance only the beginning would be.
    """
    if inside:
        return Followed(context=child(accepted), parent_span_id=accepted.span_id, links=links)
    apart = TraceContext(trace_id=new_trace_id(), span_id=new_span_id(), sampled=accepted.sampled)
    return Followed(context=apart, links=(accepted, *links))


def recorded(context: TraceContext) -> TraceContext:
    """Give the same context, recorded whatever share of traces is."""
    return context if context.sampled else TraceContext(trace_id=context.trace_id, span_id=context.span_id)
