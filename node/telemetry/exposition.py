"""The Prometheus text of this process; the only file that knows prometheus_client."""

from prometheus_client import REGISTRY, generate_latest


def exposition() -> bytes:
    """Give every metric in Prometheus's text format."""
    return generate_latest(REGISTRY)
