"""Builds the telemetry of one process from the settings, and takes it down within a bound."""

import socket

from node import __version__
from node.settings.headers import headers_in
from node.settings.model import Settings
from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry
from node.telemetry.sdk import Meters, resource_of, span_exporter
from node.telemetry.spans import SpanQueue

CLOSE_TIMEOUT_S = 5.0


class BuiltTelemetry(RelayTelemetry):
    """A ``RelayTelemetry`` together with the exporters it must close."""

    def __init__(self, settings: Settings, resource: dict[str, str], headers: dict[str, str], *, meters: bool) -> None:
        """Start the exporter thread (with ``otlp``) and, in the core process, the meters."""
        numbers = Numbers()
        options = settings.telemetry
        sdk_resource = resource_of(resource)
        self._exporter = span_exporter(options, headers, resource) if options.otlp else None
        queue = None
        if self._exporter is not None:
            queue = SpanQueue(
                self._exporter.export,
                on_drop=lambda lost: numbers.count("relay_spans_dropped", lost, {}),
            )
        super().__init__(numbers, queue, sample=options.sample, same_trace_for_s=options.same_trace_for)
        self._meters = Meters(numbers, sdk_resource, options, headers) if meters else None

    def close(self) -> None:
        """Export what is queued, at most ``CLOSE_TIMEOUT_S``; then stop everything."""
        if self._spans is not None:
            self._spans.close(CLOSE_TIMEOUT_S)
        if self._exporter is not None:
            self._exporter.shutdown()
        if self._meters is not None:
            self._meters.close()


def build(settings: Settings, *, role: str, node: str = "") -> BuiltTelemetry:
    """Make the telemetry of a process; ``role`` is ``node`` (with meters) or ``intake`` (a worker, without).

    Raises ConfigurationError when the exporter's headers cannot be read.
    """
    name = node or settings.hostname or socket.gethostname()
    resource = {
        "service.name": "m365-relay",
        "service.version": __version__,
        "service.instance.id": name,
        "host.name": socket.gethostname(),
        "relay.node": name,
        "relay.role": role,
    }
    if settings.cluster is not None:
        resource["relay.cluster"] = resource["service.namespace"] = settings.cluster.name
    headers = headers_in(settings.telemetry.headers, "telemetry.headers")
    return BuiltTelemetry(settings, resource, headers, meters=role == "node")
