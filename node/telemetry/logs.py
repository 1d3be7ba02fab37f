"""One JSON line per event on standard error; the only file that knows structlog.

Rooms log through the standard library with ``extra={"queue_id": ..., "trace_id": ...}``. Values of types that
redact themselves stay redacted, because they are written by ``str``.
"""

import logging
import sys
from typing import Any

import structlog

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extras(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    record: logging.LogRecord = event["_record"]
    for key, value in vars(record).items():
        if key not in _KNOWN and not key.startswith("_"):
            event[key] = value if isinstance(value, int | float | bool) else str(value)
    event["logger"] = record.name
    return event


def configure(level: str = "info", *, human: bool = False) -> None:
    """Send every log record to standard error, as JSON or, for a person at a terminal, coloured text."""
    renderer: Any = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            _extras,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "azure", "mail.log", "asyncio", "opentelemetry"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
