"""Spans and metrics against a real OTLP receiver; a hanging one must not be felt."""

import threading

import pytest

from node.settings.host import TelemetrySettings
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.telemetry.assembly import build
from node.telemetry.context import parse
from node.telemetry.contract import FinishedSpan, SpanEvent
from node.telemetry.exposition import exposition
from tests.support.otlp import GrpcReceiver, HttpReceiver, attributes, connected


def settings(**telemetry):
    return Settings(
        hostname="relay-a.test",
        tenants={"t": Tenant(id="t", domains=("contoso.com",))},
        telemetry=TelemetrySettings(**telemetry),
    )


def report(telemetry, traceparent=""):
    root = telemetry.root(traceparent)
    child = telemetry.child(root)
    telemetry.span(
        FinishedSpan(
            name="relay.receive",
            context=root,
            parent_span_id=parse(traceparent).span_id if traceparent else 0,
            start_ns=10,
            end_ns=30,
            kind="server",
            attributes={"relay.queue_id": "q1", "relay.size_bytes": 7},
            events=(SpanEvent(name="stored", at_ns=20),),
        )
    )
    telemetry.span(
        FinishedSpan(
            name="relay.commit", context=child, parent_span_id=root.span_id, start_ns=11, end_ns=12, error="no"
        )
    )
    telemetry.span(
        FinishedSpan(
            name="relay.attempt", context=telemetry.root(), start_ns=40, end_ns=41, links=(root,), kind="client"
        )
    )
    return root


@pytest.mark.parametrize("receiver", [GrpcReceiver, HttpReceiver])
def test_spans_arrive_whole_and_connected(receiver):
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    protocol = "grpc" if receiver is GrpcReceiver else "http"
    with receiver() as otlp:
        telemetry = build(settings(otlp=otlp.url, protocol=protocol), role="node")
        report(telemetry, parent)
        telemetry.count("relay_messages_accepted", client="a", priority="normal")
        telemetry.observe("relay_commit_seconds", 0.01)
        telemetry.close()
        spans = otlp.received.spans
    assert {span.name for span in spans} == {"relay.receive", "relay.commit", "relay.attempt"}
    assert connected(spans)
    receive = next(span for span in spans if span.name == "relay.receive")
    assert receive.parent_span_id.hex() == "00f067aa0ba902b7"
    assert attributes(receive) == {"relay.queue_id": "q1", "relay.size_bytes": 7}
    assert receive.events[0].name == "stored"
    assert otlp.received.resources[0]["relay.node"] == "relay-a.test"
    assert {"relay_messages_accepted", "relay_commit_seconds"} <= otlp.received.metrics


def test_histograms_are_pushed_and_scraped_as_they_were_counted():
    with GrpcReceiver() as otlp:
        telemetry = build(settings(otlp=otlp.url), role="node")
        telemetry.count("relay_messages_accepted", client="a", priority="normal")
        for seconds in (0.0005, 0.02, 0.02, 9_999.0):
            telemetry.observe("relay_attempt_seconds", seconds, path="smtp")
        text = exposition().decode()
        telemetry.close()
        (point,) = otlp.received.histograms["relay_attempt_seconds"].histogram.data_points
    assert (point.count, list(point.bucket_counts)) == (4, [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert (point.min, point.max, point.sum) == (0.0005, 9_999.0, pytest.approx(9_999.0405))
    assert [(one.key, one.value.string_value) for one in point.attributes] == [("path", "smtp")]
    assert 0 < point.start_time_unix_nano <= point.time_unix_nano
    found = {line.split("{")[0]: line.split()[-1] for line in text.splitlines() if line.startswith("relay_attempt")}
    assert found["relay_attempt_seconds_count"] == "4.0"
    (bucket,) = [line for line in text.splitlines() if 'le="0.05"' in line and line.startswith("relay_attempt")]
    assert bucket.endswith(" 3.0")
    assert 'path="smtp"' in bucket


def test_a_hanging_receiver_delays_neither_reports_nor_the_end(monkeypatch):
    monkeypatch.setattr("node.telemetry.assembly.CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr("node.telemetry.sdk.EXPORT_TIMEOUT_S", 0.5)
    stall = threading.Event()
    with HttpReceiver(stall) as otlp:
        telemetry = build(settings(otlp=otlp.url, protocol="http"), role="intake")
        for _ in range(5_000):
            report(telemetry)
        telemetry.close()
        assert sum(telemetry.numbers.counts.values()) > 0  # what could not be exported is counted as dropped


def test_unsampled_spans_stay_home_unless_they_tell_of_an_error():
    with GrpcReceiver() as otlp:
        telemetry = build(settings(otlp=otlp.url, sample=0.0), role="intake")
        report(telemetry)
        telemetry.close()
        assert [span.name for span in otlp.received.spans] == ["relay.commit"]
