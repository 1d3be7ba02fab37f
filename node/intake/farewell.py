"""Sees the sessions of one process out: empties what the kernel has queued, then takes each through the stages.

Decides nothing: leaving.py says who is asked to leave when.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from node.intake.house import House
from node.intake.leaving import Grace, Stage
from node.intake.sockets import hold_back, let_come, queued

if TYPE_CHECKING:
    from node.intake.protocol import Link

STEP_S: Final = 0.05
SETTLE_S: Final = 0.25
"""So long a handshake that began before newcomers were held back may take: the way to the client and back."""
EMPTY_S: Final = 2.0
"""Nobody comes behind who is queued, so the queue empties in a moment; longer only where nobody can be held back."""


class Farewell:
    """What a stop does with the listening sockets and the sessions of one process."""

    def __init__(self, house: House, links: "Collection[Link]") -> None:
        """``links``: the open ones, as they come and go."""
        self._house, self._links = house, links
        self._listening: list[socket.socket] = []
        self._hurried = asyncio.Event()

    def listens(self, opened: socket.socket) -> None:
        """Keep an own descriptor of a listening socket: the loop's belongs to the loop."""
        self._listening.append(opened.dup())

    def hold_back(self) -> None:
        """Let newcomers wait."""
        held = [hold_back(opened) for opened in self._listening]
        if any(held):
            self._house.hears = True
            for link in self._links:
                link.hear()

    def let_come(self) -> None:
        """Let them in again."""
        for opened in self._listening:
            let_come(opened)

    async def emptied(self, settle_s: float = SETTLE_S) -> None:
        """Wait until nobody is queued, and nobody can be any more; newcomers are held back."""
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        until_s = last_s + EMPTY_S
        while (now_s := loop.time()) < until_s and now_s < last_s + settle_s:
            if any(queued(opened) for opened in self._listening):
                last_s = now_s
            await asyncio.sleep(min(STEP_S, settle_s) / 5)

    def close(self) -> None:
        """Give the descriptors back."""
        for opened in self._listening:
            opened.close()
        self._listening.clear()

    def hurry(self) -> None:
        """Come to the last stage now."""
        self._hurried.set()

    async def see_out(self, grace: Grace, whose: "Callable[[Link], bool]" = lambda _: True) -> int:
        """Bring sessions through the stages until none of them is left, or the time is up; how many are cut off."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while left := [link for link in self._links if whose(link)]:
            now_s = self._house.clock_s = loop.time()
            if self._hurried.is_set():
                began_s = min(began_s, now_s - grace.last_s)
            if now_s >= began_s + grace.bound_s:
                break
            stage = grace.stage(now_s - began_s)
            for link in left:
                link.leave(stage)
            await asyncio.sleep(min(STEP_S, grace.bound_s / 10))
        return sum(not link.ended for link in left)

    def stay(self) -> None:
        """The stop is off: sessions that are still there may stay."""
        for link in self._links:
            link.stage = Stage.OPEN
