"""The weak-client book: what was seen of each client since the start, for the report with end dates (operations M1).

Counts only; bounded by the number of client rules and a fixed number of strangers. Knows no sockets and no clock.
"""

from typing import Final

import msgspec

from node.intake.door import Sight

MAX_ENTRIES: Final = 5_000
"""Client rules are hundreds; unknown names are folded into one entry beyond this."""
OVERFLOW: Final = "(others)"
WEAK: Final = (Sight.OLD_TLS, Sight.CLEAR_AUTH, Sight.BARE_LF, Sight.LENIENT)


class Seen(msgspec.Struct, kw_only=True):
    """What was seen of one client."""

    client: str
    counts: dict[str, int]
    last_ms: int
    last_address: str
    last_weak_ms: int = 0

    @property
    def weak(self) -> bool:
        """Whether it used anything a modern listener refuses."""
        return self.last_weak_ms > 0


class SightingBook:
    """Adds up sightings per client."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def note(self, client: str, what: Sight, address: str, now_ms: int, amount: int = 1) -> None:
        """Count one thing seen of a client at an address."""
        seen = self._seen.get(client)
        if seen is None:
            if len(self._seen) >= MAX_ENTRIES:
                client = OVERFLOW
            seen = self._seen.setdefault(client, Seen(client=client, counts={}, last_ms=0, last_address=""))
        seen.counts[what] = seen.counts.get(what, 0) + amount
        seen.last_ms = now_ms
        seen.last_address = address
        if what in WEAK:
            seen.last_weak_ms = now_ms

    def report(self) -> list[Seen]:
        """Every client seen, weak ones first, then by name."""
        return sorted(self._seen.values(), key=lambda seen: (not seen.weak, seen.client))
