"""The product's telemetry with its numbers and spans kept at hand."""

from node.telemetry.contract import FinishedSpan
from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry


class _Kept(list):
    put = list.append


class Heard(RelayTelemetry):
    """``spans`` as reported; ``counted`` and ``gauged`` by name and labels."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = _Kept()
        self._values: list[tuple[str, float]] = []
        super().__init__(Numbers(), self.spans)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._values.append((name, value))
        super().observe(name, value, **labels)

    def counted(self, name: str, **labels: str) -> int:
        return self.numbers.counts.get((name, tuple(sorted(labels.items()))), 0)

    def gauged(self, name: str, **labels: str) -> float | None:
        return self.numbers.gauges.get((name, tuple(sorted(labels.items()))))

    def values(self, name: str) -> list[float]:
        return [value for found, value in self._values if found == name]

    def named(self, name: str) -> list[FinishedSpan]:
        return [span for span in self.spans if span.name == name]
