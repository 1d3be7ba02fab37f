"""Spans, metrics and log lines; never in the way of mail."""

from node.telemetry.assembly import build

__all__ = ["build"]
