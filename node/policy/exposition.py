"""A page of metrics in Prometheus' text format, read for its totals. Pure."""

import re

_SAMPLE = re.compile(r"^([a-z_]+?)(?:_total)?(?:\{.*\})? ([0-9.eE+]+)$", re.MULTILINE | re.ASCII)


def sums(exposition: str) -> dict[str, float]:
    """Add up every metric over its labels; names without ``_total``."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(exposition):
        found[name] = found.get(name, 0.0) + float(value)
    return found
