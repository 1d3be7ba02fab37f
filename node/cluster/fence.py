"""Tells delivery when this node may send and when it must stop: before its session's deadline, not at it (§1, §4).

Connections must be closed before the deadline, so that nobody is given the slot of one that is still open. The store's
silence opens the fence again once everybody's word is there, and closes it with the first word against it.
"""

import asyncio
from collections.abc import Callable

from node.cluster.place import Place
from node.cluster.silence import Silence

LEAD_MS = 400
"""So long before the deadline the fence closes: time to say QUIT and to cut what has not sent its final dot."""
PART_MS = 150
"""So long before the deadline what still waits for an answer is given up: a late one is then unknown, never missed."""
LOOK_MS = 100


def _nothing() -> None:
    """Nobody has to be told."""


class Fence:
    """Hooks of delivery, called on the loop, each only when it changes something."""

    def __init__(self, place: Place, silence: Silence) -> None:
        self._place, self._silence = place, silence
        self.on_lost: Callable[[], None] = _nothing
        """Start nothing, cut what has not sent its final dot, close idle connections."""
        self.on_part: Callable[[], None] = _nothing
        """Close every connection: what waits for an answer becomes unknown."""
        self.on_live: Callable[[], None] = _nothing
        """Go on."""
        self.open = False
        self._parted = True
        self._inc = 0
        silence.on_change(self.look)

    def left_ms(self) -> int:
        """How long this node may go on if nothing more is heard."""
        return max(self._place.session.session.left_ms(self._place.boot_ms()), self._silence.left_ms())

    def look(self) -> None:
        """Compare with what was told last."""
        left_ms, inc = self.left_ms(), self._place.session.session.inc
        if self.open and inc != self._inc:
            # One session ended and another began between two looks: connections are the former's all the same.
            self.open, self._parted = False, True
            self.on_lost()
            self.on_part()
        self._inc = inc
        if left_ms > LEAD_MS and not self.open:
            self.open, self._parted = True, False
            self.on_live()
        elif left_ms <= LEAD_MS and self.open:
            self.open = False
            self.on_lost()
        if left_ms <= PART_MS and not self._parted:
            self._parted = True
            self.on_part()

    async def run(self) -> None:
        """Look until cancelled: at every change of the session and at least every ``LOOK_MS``."""
        while True:
            self.look()
            try:
                async with asyncio.timeout(LOOK_MS / 1_000):
                    await self._place.session.changed.wait()
            except TimeoutError:
                continue
