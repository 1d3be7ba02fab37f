"""Times as operators type and read them: ``2h`` ago, a day, an instant; shown in UTC. Pure but for the caller's now."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from node.errors import PermanentError

INSTANT_MS: Final = 10**12
"""Larger than any length of time in milliseconds that is told anywhere, and an instant of 2001."""


class BadTimeError(PermanentError):
    """A time that cannot be read; the text shows the forms that can."""


def span_s(text: str) -> float:
    """Read a length of time such as ``30m`` in seconds."""
    from node.settings.units import parse_duration  # noqa: PLC0415 - most commands show times and read none

    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadTimeError(str(error)) from None


def since_ms(text: str, now_ms: int) -> int:
    """Read ``30m``/``2h``/``3d`` as that long ago, or an ISO date or instant; 0 for empty text and before 1970."""
    if not text:
        return 0
    try:
        return max(0, now_ms - int(span_s(text) * 1000))
    except BadTimeError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadTimeError(f"{text!r}: expected 30m, 2h, 3d, 2026-11-23 or 2026-11-23T10:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000))


def show_ms(at_ms: int) -> str:
    """Show an instant in UTC to the millisecond; empty for 0, the bare number where no calendar has it."""
    if not at_ms:
        return ""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def show_span(seconds: float) -> str:
    """Show a length of time in its two largest units: ``3d 4h``, ``2m 5s``, ``0.4s``."""
    if seconds < 0:
        return f"-{show_span(-seconds)}"
    if seconds < 10:  # noqa: PLR2004 - below it the tenth matters
        return f"{seconds:.1f}s"
    parts = []
    rest = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts[:2])


def show_details(found: Mapping[str, str | int]) -> list[tuple[str, str | int]]:
    """Give a step's details as people read them; what is empty is left out."""
    return [_shown(name, value) for name, value in found.items() if value != ""]


def _shown(name: str, value: str | int) -> tuple[str, str | int]:
    """Give an instant in UTC, and its name without the unit; anything else as it is."""
    if name.endswith("_ms") and isinstance(value, int) and value >= INSTANT_MS:
        return name.removesuffix("_ms"), f"{show_ms(value)} UTC"
    return name, value
