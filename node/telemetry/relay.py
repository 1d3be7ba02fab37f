"""The telemetry object rooms hold: spans into the queue, numbers into memory; nothing here waits."""

from node.telemetry import context as trace_context
from node.telemetry.contract import FinishedSpan, Followed, TraceContext
from node.telemetry.numbers import Numbers
from node.telemetry.spans import SpanQueue
from node.telemetry.spread import Spread

SAME_TRACE_FOR_S = 300.0
"""So long after acceptance spans belong to its trace (``telemetry.same_trace_for``); later ones begin their own."""


class RelayTelemetry:
    """Implements ``Telemetry``; without a span queue it still counts."""

    def __init__(
        self,
        numbers: Numbers,
        spans: SpanQueue | None,
        *,
        sample: float = 1.0,
        same_trace_for_s: float = SAME_TRACE_FOR_S,
    ) -> None:
        """Keep where things go; ``sample`` is the share of new traces that is recorded."""
        self.numbers = numbers
        self._spans = spans
        self._sample = sample
        self._same_trace_for_ms = round(same_trace_for_s * 1000)

    def root(self, traceparent: str = "") -> TraceContext:
        """Make the context of a first span."""
        return trace_context.begin(traceparent, sample=self._sample)

    child = staticmethod(trace_context.child)

    def follow(self, accepted: str, since_ms: int, now_ms: int, *before: str) -> Followed:
        """Place a new span of a message; see the contract."""
        parent = trace_context.parse(accepted)
        links = tuple(link for link in map(trace_context.parse, before) if link is not None)
        if parent is None:
            return Followed(context=self.root(), links=links)
        return trace_context.follow(parent, links, inside=now_ms - since_ms <= self._same_trace_for_ms)

    def span(self, span: FinishedSpan) -> None:
        """Queue a finished span; unsampled ones only if they tell of an error (design §8)."""
        if self._spans is not None and (span.context.sampled or span.error):
            self._spans.put(span)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""
        self.numbers.count(name, amount, labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Keep a histogram value."""
        self.numbers.observe(name, value, labels)

    def merge(self, name: str, spread: Spread, **labels: str) -> None:
        """Keep many histogram values added up elsewhere."""
        self.numbers.merge(name, spread, labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self.numbers.gauge(name, value, labels)
