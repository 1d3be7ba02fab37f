"""The one unit form of the configuration: ``30/min``, ``10000/24h``, ``35MiB``, ``10m``; read and written."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"({_NUMBER})(ms|s|min|m|h|d)", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})(B|KiB|MiB|GiB|TiB)", re.ASCII)
_RATE = re.compile(rf"(\d{{1,15}})/({_NUMBER})?(ms|s|min|m|h|d)", re.ASCII)
DURATION_PATTERN = f"^{_DURATION.pattern}$"
SIZE_PATTERN = f"^{_SIZE.pattern}$"
RATE_PATTERN = f"^{_RATE.pattern}$"


class Rate(NamedTuple):
    """``amount`` in any ``window_s`` seconds."""

    amount: int
    window_s: float

    def __str__(self) -> str:
        """Give the rate in the configuration's own form."""
        return format_rate(self)


def parse_duration(value: Any) -> float:
    """Read ``10m`` as seconds; raises ValueError naming the form expected."""
    if isinstance(value, float):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a time with its unit such as 500ms, 30s, 10m, 2h or 7d, not {value!r}")
    return float(match[1]) * SECONDS[match[2]]


def parse_size(value: Any) -> int:
    """Read ``35MiB`` as bytes; raises ValueError naming the form expected."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a size with its unit such as 256KiB, 35MiB or 2GiB, not {value!r}")
    return int(float(match[1]) * BYTES[match[2]])


def parse_rate(value: Any) -> Rate:
    """Read ``30/min`` or ``10000/24h``; raises ValueError naming the form expected."""
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) < 1 or float(match[2] or 1) <= 0:
        raise ValueError(f"expected an amount and a time such as 30/min, 600/s or 10000/24h, not {value!r}")
    return Rate(int(match[1]), float(match[2] or 1) * SECONDS[match[3]])


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that keeps a whole number: ``600.0`` becomes ``10m``."""
    for unit in ("d", "h", "m", "s", "ms"):
        if seconds and (seconds / SECONDS[unit]).is_integer():
            return f"{int(seconds / SECONDS[unit])}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def format_size(size_bytes: int) -> str:
    """Write bytes in the largest unit that keeps a whole number: ``36700160`` becomes ``35MiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % BYTES[unit] == 0:
            return f"{size_bytes // BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def format_rate(rate: Rate) -> str:
    """Write a rate: ``30/min``, ``10000/24h``, ``5/10s``."""
    usual = {1.0: "s", 60.0: "min", 3600.0: "h", 86_400.0: "24h"}
    return f"{rate.amount}/{usual.get(rate.window_s) or format_duration(rate.window_s)}"


def _with_unit(value: Any, info: ValidationInfo, form: str) -> Any:
    """Refuse a bare number in a file: 35 may mean bytes to one reader and megabytes to the next."""
    if info.context and isinstance(value, int | float):
        raise ValueError(f"expected {form}, not the bare number {value!r}")
    return value


def _duration(value: Any, info: ValidationInfo) -> float:
    return parse_duration(_with_unit(value, info, "a time with its unit such as 500ms, 30s, 10m, 2h or 7d"))


def _size(value: Any, info: ValidationInfo) -> int:
    return parse_size(_with_unit(value, info, "a size with its unit such as 256KiB, 35MiB or 2GiB"))


Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "10m", "7d"]}),
]
Bytes = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["256KiB", "35MiB"]}),
]
RateField = Annotated[
    Rate,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["30/min", "10000/24h"]}),
]
