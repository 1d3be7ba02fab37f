"""The one unit form of the configuration: ``30/min``, ``10000/24h``, ``35MiB``, ``10m``; read and written."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from coordinator.settings.units import (
    DURATION_PATTERN,
    NUMBER,
    SECONDS,
    Seconds,
    format_duration,
    parse_duration,
    with_unit,
)

__all__ = (
    "BYTES",
    "DURATION_PATTERN",
    "RATE_PATTERN",
    "SECONDS",
    "SIZE_PATTERN",
    "Bytes",
    "Rate",
    "RateField",
    "Seconds",
    "format_duration",
    "format_rate",
    "format_size",
    "parse_duration",
    "parse_rate",
    "parse_size",
)
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(rf"({NUMBER})(B|KiB|MiB|GiB|TiB)", re.ASCII)
_RATE = re.compile(rf"(\d{{1,15}})/({NUMBER})?(ms|s|min|m|h|d)", re.ASCII)
SIZE_PATTERN = f"^{_SIZE.pattern}$"
RATE_PATTERN = f"^{_RATE.pattern}$"


class Rate(NamedTuple):
    """``amount`` in any ``window_s`` seconds."""

    amount: int
    window_s: float

    def __str__(self) -> str:
        """Give the rate in the configuration's own form."""
        return format_rate(self)


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


def _size(value: Any, info: ValidationInfo) -> int:
    return parse_size(with_unit(value, info, "a size with its unit such as 256KiB, 35MiB or 2GiB"))


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
