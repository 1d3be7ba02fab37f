"""Times as operators type and read them: the console's forms, too."""

from node.settings.when import BadTimeError, show_ms, show_span, since_ms, span_s

__all__ = ["BadTimeError", "show_ms", "show_span", "since_ms", "span_s"]
