"""When callers have waited long enough. All wait equally long, so one timer for the oldest does for thousands."""

import asyncio
from collections import deque
from typing import Final

from node.shadow.outbox import Kept, Waiting

ROOM_S: Final = 0.001
"""Times closer than this are one."""


class Deadlines:
    """Those who wait, oldest first."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiting: Waiting) -> None:
        """Tell this caller ``unprotected`` at its deadline; it is not earlier than those of others before."""
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(waiting.deadline_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            first = self._waiting[0]
            told = first.future is not None and first.future.done()
            if not told and first.deadline_s > loop.time() + ROOM_S:
                self._timer = loop.call_at(first.deadline_s, self._expire)
                return
            self._waiting.popleft().settle(Kept.UNPROTECTED)

    def clear(self) -> deque[Waiting]:
        """Take everybody out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        return waiting
