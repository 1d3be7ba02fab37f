"""What time it is at the upstream, asked now and then: one more clock to compare this host's with (operations A12)."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from node.cluster.clocks import DateSeen
from node.m365.entra import Entra

EVERY_S: Final = 120.0
"""A clock heard less often would not count as fresh (``clocks.FRESH_MS``)."""


class UpstreamDate:
    """``Date`` of ``ClockHooks``: asks the first tenant's authority, at most once in ``EVERY_S``."""

    def __init__(self, entra: Entra, authorities: Callable[[], Sequence[str]]) -> None:
        """``authorities`` are asked for at each look: a reload may change them."""
        self._entra, self._authorities = entra, authorities
        self._asked_s = -EVERY_S

    async def __call__(self) -> DateSeen | None:
        """Give a fresh reading, or None."""
        authorities = self._authorities()
        if not authorities or time.monotonic() < self._asked_s + EVERY_S:
            return None
        self._asked_s = time.monotonic()
        found = await self._entra.date(authorities[0])
        if found is None:
            return None
        return DateSeen(date_ms=found.date_ms, sent_ms=found.sent_ms, took_ms=found.took_ms)
