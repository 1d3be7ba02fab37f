"""Spans, metrics and log lines; never in the way of mail."""
