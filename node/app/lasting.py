"""How much mail stays on one machine: what is being copied at a moment is no trouble, what stays alone is."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 1.0
LOOKS: Final = 10


class Lasting:
    """The least of the last ten looks, one a second; 0 before there were ten."""

    def __init__(self, count: Callable[[], int]) -> None:
        """``count``: messages that are alone now."""
        self._count = count
        self._seen: deque[int] = deque(maxlen=LOOKS)

    @property
    def least(self) -> int:
        """So many were alone all the time."""
        return min(self._seen) if len(self._seen) == LOOKS else 0

    def look(self) -> None:
        """Count once."""
        self._seen.append(self._count())

    async def run(self) -> None:
        """Look each second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()
