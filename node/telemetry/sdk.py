"""The only file that knows opentelemetry: resources, OTLP exporters, meters and the Prometheus reader."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from node import __version__
from node.settings.host import TelemetrySettings
from node.telemetry.contract import FinishedSpan, TraceContext
from node.telemetry.names import CATALOGUE, Kind
from node.telemetry.numbers import Numbers

EXPORT_TIMEOUT_S = 10.0
METRIC_INTERVAL_MS = 30_000
_SCOPE = InstrumentationScope("m365-relay", __version__)
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
_OK = Status(StatusCode.UNSET)


def resource_of(attributes: dict[str, str]) -> Resource:
    """Make the resource every span and metric of this process carries."""
    return Resource(attributes)


def is_grpc(settings: TelemetrySettings) -> bool:
    """Decide the OTLP protocol: as configured, else HTTP for port 4318 or an URL with a path, gRPC otherwise."""
    if settings.protocol is not None:
        return settings.protocol == "grpc"
    url = urlsplit(settings.otlp or "")
    return url.port != 4318 and url.path in ("", "/")  # noqa: PLR2004 - the port OTLP/HTTP is registered with


def _http_endpoint(url: str, signal: str) -> str:
    return url if urlsplit(url).path not in ("", "/") else f"{url.rstrip('/')}/v1/{signal}"


def _grpc_options(settings: TelemetrySettings) -> dict[str, Any]:
    url = urlsplit(settings.otlp or "")
    if url.scheme == "http":
        return {"endpoint": url.netloc, "insecure": True}
    ca = Path(settings.ca).read_bytes() if settings.ca else None
    return {"endpoint": url.netloc, "credentials": grpc.ssl_channel_credentials(root_certificates=ca)}


def _http_options(settings: TelemetrySettings, signal: str) -> dict[str, Any]:
    options: dict[str, Any] = {"endpoint": _http_endpoint(settings.otlp or "", signal)}
    if settings.ca:
        options["certificate_file"] = str(settings.ca)
    return options


def span_exporter(settings: TelemetrySettings, headers: dict[str, str]) -> SpanExporter:
    """Make the OTLP span exporter the settings name."""
    if is_grpc(settings):
        return GrpcSpanExporter(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_grpc_options(settings))
    return HttpSpanExporter(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_http_options(settings, "traces"))


def metric_reader(settings: TelemetrySettings, headers: dict[str, str]) -> MetricReader:
    """Make the reader that pushes metrics to the same OTLP endpoint."""
    exporter: Any
    if is_grpc(settings):
        exporter = GrpcMetricExporter(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_grpc_options(settings))
    else:
        exporter = HttpMetricExporter(
            headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_http_options(settings, "metrics")
        )
    return PeriodicExportingMetricReader(exporter, METRIC_INTERVAL_MS, EXPORT_TIMEOUT_S * 1000)


def exporting(exporter: SpanExporter, resource: Resource) -> Callable[[Sequence[FinishedSpan]], None]:
    """Give the function that turns our spans into the SDK's and exports them; runs in the export thread."""

    def export(spans: Sequence[FinishedSpan]) -> None:
        exporter.export([_readable(span, resource) for span in spans])

    return export


def _context(context: TraceContext) -> SpanContext:
    flags = _SAMPLED if context.sampled else _NOT_SAMPLED
    return SpanContext(context.trace_id, context.span_id, is_remote=False, trace_flags=flags)


def _readable(span: FinishedSpan, resource: Resource) -> ReadableSpan:
    parent = None
    if span.parent_span_id:
        parent = SpanContext(span.context.trace_id, span.parent_span_id, is_remote=False, trace_flags=_SAMPLED)
    return ReadableSpan(
        span.name,
        context=_context(span.context),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(event.name, event.attributes, event.at_ns) for event in span.events],
        links=[Link(_context(link)) for link in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else _OK,
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=_SCOPE,
    )


class Meters:
    """Shows ``Numbers`` to the SDK: observable counters and gauges, histograms fed at each collection."""

    def __init__(
        self, numbers: Numbers, resource: Resource, settings: TelemetrySettings, headers: dict[str, str]
    ) -> None:
        """Register every metric of the catalogue with a Prometheus reader and, if configured, OTLP."""
        self._numbers = numbers
        self._prometheus = PrometheusMetricReader()
        readers: list[MetricReader] = [self._prometheus]
        if settings.otlp:
            readers.append(metric_reader(settings, headers))
        self._provider = MeterProvider(readers, resource)
        self._histograms: dict[str, Histogram] = {}
        self._register()

    def close(self) -> None:
        """Stop the readers; the last push is bounded by the export time-out."""
        self._provider.shutdown(timeout_millis=EXPORT_TIMEOUT_S * 1000)

    def flush_values(self) -> None:
        """Feed pending histogram values to the SDK."""
        for (name, labels), value in self._numbers.take_values():
            self._histograms[name].record(value, dict(labels))

    def _register(self) -> None:
        meter = self._provider.get_meter("m365-relay", __version__)
        for metric in CATALOGUE:
            if metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = meter.create_histogram(
                    metric.name,
                    unit=metric.unit,
                    description=metric.meaning,
                    explicit_bucket_boundaries_advisory=metric.buckets,
                )
                continue
            create = meter.create_observable_counter if metric.kind is Kind.COUNTER else meter.create_observable_gauge
            create(metric.name, [self._reader(metric.name, metric.kind)], unit=metric.unit, description=metric.meaning)

    def _reader(self, name: str, kind: Kind) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            self.flush_values()
            source = self._numbers.counts if kind is Kind.COUNTER else self._numbers.gauges
            return [Observation(value, dict(labels)) for (seen, labels), value in list(source.items()) if seen == name]

        return read
