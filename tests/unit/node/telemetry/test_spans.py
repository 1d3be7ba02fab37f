import threading

from node.telemetry import spans
from node.telemetry.contract import FinishedSpan, TraceContext
from node.telemetry.spans import SpanQueue


def span(number=1):
    return FinishedSpan(name="x", context=TraceContext(trace_id=1, span_id=number), start_ns=1, end_ns=2)


def test_everything_put_is_exported_before_close_returns():
    got, lost = [], []
    queue = SpanQueue(got.extend, lost.append)
    for number in range(1, 5001):
        queue.put(span(number))
    queue.close(10)
    assert len(got) == 5000
    assert lost == []


def test_a_stuck_exporter_drops_the_oldest_and_put_does_not_wait(monkeypatch):
    monkeypatch.setattr(spans, "QUEUE_MAX", 100)
    monkeypatch.setattr(spans, "BATCH_MAX", 10)
    stuck, got, lost = threading.Event(), [], []

    def export(batch):
        stuck.wait(30)
        got.extend(batch)

    queue = SpanQueue(export, lost.append)
    for number in range(1, 1001):
        queue.put(span(number))
    assert sum(lost) >= 880
    stuck.set()
    queue.close(10)
    assert got[-1].context.span_id == 1000
    assert sum(lost) + len(got) == 1000


def test_an_exporter_that_raises_is_counted_and_survived():
    calls, lost = [], []

    def export(batch):
        calls.append(len(batch))
        if len(calls) == 1:
            raise ValueError("broken")

    queue = SpanQueue(export, lost.append)
    for number in range(1, spans.BATCH_MAX + 11):
        queue.put(span(number))
    queue.close(10)
    assert sum(calls) == spans.BATCH_MAX + 10
    assert sum(lost) == calls[0]
