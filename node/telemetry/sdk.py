"""The only file that knows opentelemetry: resources, OTLP exporters, meters and the Prometheus reader."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    PeriodicExportingMetricReader,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource

from node import __version__
from node.settings.host import TelemetrySettings
from node.telemetry.encoding import SCOPE, request_of
from node.telemetry.names import BY_NAME, CATALOGUE, Kind
from node.telemetry.numbers import Numbers
from node.telemetry.spread import Spread

EXPORT_TIMEOUT_S = 10.0
METRIC_INTERVAL_MS = 30_000


class SpanExporter(Protocol):
    """What the export thread calls."""

    def export(self, spans: Sequence[Any]) -> Any:
        """Send one batch of finished spans; may block and may raise."""
        ...

    def shutdown(self) -> None:
        """Close the connection."""
        ...


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


def span_exporter(settings: TelemetrySettings, headers: dict[str, str], resource: dict[str, str]) -> "SpanExporter":
    """Make the OTLP exporter the settings name; it takes ``FinishedSpan`` and runs in the export thread."""
    exporter: _Grpc | _Http
    if is_grpc(settings):
        exporter = _Grpc(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_grpc_options(settings))
    else:
        exporter = _Http(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_http_options(settings, "traces"))
    exporter.resource = resource
    return exporter


def metric_reader(settings: TelemetrySettings, headers: dict[str, str]) -> "_Periodic":
    """Make the reader that pushes metrics to the same OTLP endpoint."""
    exporter: Any
    if is_grpc(settings):
        exporter = GrpcMetricExporter(headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_grpc_options(settings))
    else:
        exporter = HttpMetricExporter(
            headers=headers or None, timeout=EXPORT_TIMEOUT_S, **_http_options(settings, "metrics")
        )
    return _Periodic(exporter, METRIC_INTERVAL_MS, EXPORT_TIMEOUT_S * 1000)


class _Grpc(GrpcSpanExporter):
    """The SDK's exporter with its retries and deadlines, fed with our spans as they are."""

    resource: dict[str, str]

    def _translate_data(self, data: Sequence[Any]) -> Any:
        return request_of(data, self.resource)


class _Http(HttpSpanExporter):
    """The same over HTTP/protobuf."""

    resource: dict[str, str]

    def export(self, spans: Sequence[Any]) -> Any:
        """Send one batch."""
        return self._client.export(request_of(spans, self.resource).SerializeToString())


class _Prometheus(PrometheusMetricReader):
    """The SDK's reader, shown histograms the SDK does not keep."""

    complete: Callable[[MetricsData], MetricsData]

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> None:
        super()._receive_metrics(self.complete(metrics_data), timeout_millis, **more)


class _Periodic(PeriodicExportingMetricReader):
    """The same for what is pushed."""

    complete: Callable[[MetricsData], MetricsData]

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> None:
        super()._receive_metrics(self.complete(metrics_data), timeout_millis, **more)


class Meters:
    """Shows ``Numbers`` to the SDK: observable counters and gauges, and histograms as they were added up.

    The SDK's own histograms take values one by one, 10 µs each: a third of a second at once, at every collection.
    """

    def __init__(
        self, numbers: Numbers, resource: Resource, settings: TelemetrySettings, headers: dict[str, str]
    ) -> None:
        """Register every metric of the catalogue with a Prometheus reader and, if configured, OTLP."""
        self._numbers = numbers
        self._began_ns = time.time_ns()
        readers: list[_Prometheus | _Periodic] = [_Prometheus()]
        if settings.otlp:
            readers.append(metric_reader(settings, headers))
        for reader in readers:
            reader.complete = self._complete
        self._provider = MeterProvider(readers, resource)
        self._register()

    def close(self) -> None:
        """Stop the readers; the last push is bounded by the export time-out."""
        self._provider.shutdown(timeout_millis=EXPORT_TIMEOUT_S * 1000)

    def _complete(self, data: MetricsData) -> MetricsData:
        """Add the histograms to what a reader was given."""
        now_ns = time.time_ns()
        points: dict[str, list[HistogramDataPoint]] = {}
        for (name, labels), spread in self._numbers.spreads():
            points.setdefault(name, []).append(_point(name, labels, spread, self._began_ns, now_ns))
        histograms = [_histogram(name, several) for name, several in points.items()]
        # Beside the others of our scope: exporters keep the last block of each.
        return MetricsData(
            [
                replace(one, scope_metrics=[_joined(block, histograms) for block in one.scope_metrics])
                for one in data.resource_metrics
            ]
        )

    def _register(self) -> None:
        meter = self._provider.get_meter(SCOPE, __version__)
        for metric in CATALOGUE:
            if metric.kind is Kind.HISTOGRAM:
                continue
            create = meter.create_observable_counter if metric.kind is Kind.COUNTER else meter.create_observable_gauge
            create(metric.name, [self._reader(metric.name, metric.kind)], unit=metric.unit, description=metric.meaning)

    def _reader(self, name: str, kind: Kind) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            source = self._numbers.counts if kind is Kind.COUNTER else self._numbers.gauges
            return [Observation(value, dict(labels)) for (seen, labels), value in list(source.items()) if seen == name]

        return read


def _joined(block: ScopeMetrics, more: list[Metric]) -> ScopeMetrics:
    return replace(block, metrics=[*block.metrics, *more]) if block.scope.name == SCOPE else block


def _histogram(name: str, points: list[HistogramDataPoint]) -> Metric:
    metric = BY_NAME[name]
    return Metric(name, metric.meaning, metric.unit, Histogram(points, AggregationTemporality.CUMULATIVE))


def _point(
    name: str, labels: tuple[tuple[str, str], ...], spread: Spread, began_ns: int, now_ns: int
) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=began_ns,
        time_unix_nano=now_ns,
        count=sum(spread.counts),
        sum=spread.total,
        bucket_counts=spread.counts,
        explicit_bounds=BY_NAME[name].buckets,
        min=spread.least,
        max=spread.most,
    )
