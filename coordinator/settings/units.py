"""Times as the configuration writes them: ``500ms``, ``30s``, ``10m``; read and written."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER: Final = r"\d{1,15}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"({NUMBER})(ms|s|min|m|h|d)", re.ASCII)
DURATION_PATTERN: Final = f"^{_DURATION.pattern}$"


def parse_duration(value: Any) -> float:
    """Read ``10m`` as seconds; raises ValueError naming the form expected."""
    if isinstance(value, float):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a time with its unit such as 500ms, 30s, 10m, 2h or 7d, not {value!r}")
    return float(match[1]) * SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that keeps a whole number: ``600.0`` becomes ``10m``."""
    for unit in ("d", "h", "m", "s", "ms"):
        if seconds and (seconds / SECONDS[unit]).is_integer():
            return f"{int(seconds / SECONDS[unit])}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def with_unit(value: Any, info: ValidationInfo, form: str) -> Any:
    """Refuse a bare number in a file: 35 may mean bytes to one reader and megabytes to the next."""
    if info.context and isinstance(value, int | float):
        raise ValueError(f"expected {form}, not the bare number {value!r}")
    return value


def _duration(value: Any, info: ValidationInfo) -> float:
    return parse_duration(with_unit(value, info, "a time with its unit such as 500ms, 30s, 10m, 2h or 7d"))


Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "10m", "7d"]}),
]
