"""When a credential's end is told: 30, 7 and 1 days before, and once it has come. Pure."""

import datetime as dt
from typing import Final

import msgspec

DAY_MS: Final = 86_400_000
WARN_DAYS: Final = (30, 7, 1, 0)
"""Days before the end at which people are told; 0: it has come."""


def end_of_ms(day: dt.date) -> int:
    """Give the midnight after a last day, UTC: Entra shows days."""
    return int(dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC).timestamp() * 1000)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Something the relay signs in with, and when it ends."""

    credential: str
    """Its place in the configuration, e.g. ``tenants.contoso.app.secret``."""
    ends_ms: int
    what: str
    """What ends, for people."""


def threshold(ends_ms: int, now_ms: int) -> int | None:
    """Give the lowest of the thresholds that was reached, in days; None: the end is far off."""
    left_ms = ends_ms - now_ms
    reached = [days for days in WARN_DAYS if left_ms <= days * DAY_MS]
    return reached[-1] if reached else None


def said(ending: Ending, now_ms: int) -> str:
    """Say it in a sentence."""
    left_ms = ending.ends_ms - now_ms
    if left_ms <= 0:
        return f"{ending.what} of {ending.credential} has ended"
    days = left_ms // DAY_MS
    when = f"in {days} day{'s' if days > 1 else ''}" if days else "within a day"
    return f"{ending.what} of {ending.credential} ends {when}"


class Told:
    """Remembers what was told, so that each threshold is told once."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[tuple[str, int], int] = {}

    def due(self, endings: list[Ending], now_ms: int) -> list[Ending]:
        """Give those to be told now; a credential that was replaced begins anew."""
        known, due = {}, []
        for ending in endings:
            reached = threshold(ending.ends_ms, now_ms)
            key = (ending.credential, ending.ends_ms)
            before = self._told.get(key)
            if reached is None:
                continue
            known[key] = reached
            if before is None or reached < before:
                due.append(ending)
        self._told = known
        return due
