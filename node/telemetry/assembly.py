"""Builds the telemetry of one process from the settings, and takes it down within a bound."""

import socket

from node import __version__
from node.errors import ConfigurationError
from node.settings.model import Settings
from node.settings.secrets import read_secret
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
        super().__init__(numbers, queue, sample=options.sample)
        self._meters = Meters(numbers, sdk_resource, options, headers) if meters else None

    def close(self) -> None:
        """Export what is queued, at most ``CLOSE_TIMEOUT_S``; then stop everything."""
        if self._spans is not None:
            self._spans.close(CLOSE_TIMEOUT_S)
        if self._exporter is not None:
            self._exporter.shutdown()
        if self._meters is not None:
            self._meters.close()


def headers_of(settings: Settings) -> dict[str, str]:
    """Read the exporter's headers, ``name=value`` lines. Raises ConfigurationError naming the line's number only."""
    if settings.telemetry.headers is None:
        return {}
    headers = {}
    for number, line in enumerate(read_secret(settings.telemetry.headers).reveal().splitlines(), 1):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError([f"telemetry.headers: line {number} is not name=value"])
        headers[name.strip().lower()] = value.strip()
    return headers


def build(settings: Settings, *, role: str, node: str = "") -> BuiltTelemetry:
    """Make the telemetry of a process; ``role`` is ``node`` (with meters) or ``intake`` (a worker, without).

    Raises ConfigurationError when the exporter's headers cannot be read.
    """
    name = node or settings.hostname or socket.gethostname()
    resource = {
        "service.name": "m365-relay",
        "service.version": __version__,
        "service.instance.id": name,
        "relay.node": name,
        "relay.role": role,
    }
    if settings.cluster is not None:
        resource["relay.cluster"] = settings.cluster.name
    return BuiltTelemetry(settings, resource, headers_of(settings), meters=role == "node")
