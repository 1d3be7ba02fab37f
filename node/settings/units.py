"""The one unit form of the configuration: ``30/min``, ``10000/24h``, ``35MiB``, ``10m``; and secrets by reference."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)")
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?(ms|s|min|m|h|d)")


class Rate(NamedTuple):
    """``amount`` in any ``window_s`` seconds."""

    amount: int
    window_s: float


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
    if match is None or int(match[1]) < 1:
        raise ValueError(f"expected an amount and a time such as 30/min, 600/s or 10000/24h, not {value!r}")
    return Rate(int(match[1]), float(match[2] or 1) * SECONDS[match[3]])


Seconds = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=str)]
Bytes = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=str)]
RateField = Annotated[
    Rate,
    BeforeValidator(parse_rate, json_schema_input_type=str),
    PlainSerializer(lambda rate: f"{rate.amount}/{rate.window_s:g}s", return_type=str),
]
