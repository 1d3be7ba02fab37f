"""The lanes in memory: a small window on each lane's due mail, refilled by ``peek``, and when to look again.

Memory is bounded by the windows, not by the queue: a million messages waiting cost as much as a thousand. What is
in a window may be stale; ``claim`` decides. This file chooses neither lane nor way.
"""

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from node.delivery.clock import wall_ms
from node.delivery.fair import Fair
from node.errors import RelayError
from node.policy.envelope import Direction
from node.spool.contract import Due, Spool

WINDOW_MESSAGES = 64
"""Most messages held of one lane."""
WINDOWS_TOTAL = 8192
"""Most messages held of all lanes: some 10 MB."""
TICK_S = 0.01
MAX_TIMERS = 50_000
SPOOL_REST_S = 2.0
MAX_LANES = 50_000
"""Clients x directions x sender domains (lane_of); beyond this the poll brings lanes in as others empty."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """One lane's window."""

    name: str
    direction: Direction
    window: deque[Due] = field(default_factory=deque)
    hand: Counter[str] = field(default_factory=Counter)
    """Ids in the window or under way: not to be peeked again."""
    again: set[str] = field(default_factory=set)
    """Ids in hand that are due again: looked for once they are not."""
    hungry: bool = True
    """There may be more due mail in the spool than the window shows."""
    refilling: bool = False
    rest_until_s: float = 0.0
    rest_reason: str = ""
    short_since_ns: int = 0
    """Since when due mail waits for a permit or a place; 0: it does not."""
    strange: int = 0
    """Messages in a row that found no way at all."""


class Lanes:
    """All lanes, their line and their timers."""

    def __init__(self, spool: Spool, fair: Fair, kick: Callable[[], None]) -> None:
        """``kick`` asks for a pass of the dispatcher soon."""
        self._spool = spool
        self._fair = fair
        self._kick = kick
        self.known: dict[str, Lane] = {}
        self._timers: list[tuple[int, str]] = []
        self._set: set[tuple[int, str]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    # -- news

    def woken(self, name: str) -> None:
        """There is due mail in this lane, or may be."""
        lane = self.known.get(name)
        if lane is None:
            if len(self.known) >= MAX_LANES:
                return
            lane = self.known[name] = Lane(name=name, direction=Direction(name.split("/", 3)[2]))
        lane.hungry = True
        self.refill(lane)

    def due_at(self, name: str, at_ms: int, message_id: str = "") -> None:
        """Something in this lane is due at that time (wall clock); ``message_id``: this, whose attempt is ending."""
        wait_s = (at_ms - wall_ms()) / 1000
        if wait_s > 0:
            self._set_timer(name, wait_s)
            return
        self.woken(name)
        lane = self.known.get(name)
        if lane is not None and message_id in lane.hand:
            lane.again.add(message_id)

    def rest(self, name: str, seconds: float, reason: str) -> None:
        """Leave the lane alone for so long; its window stays."""
        lane = self.known.get(name)
        if lane is None or seconds <= 0:
            return
        lane.rest_until_s = asyncio.get_running_loop().time() + seconds
        lane.rest_reason = reason
        self._fair.remove(name)
        self._set_timer(name, seconds)

    def stir(self) -> None:
        """End all rests: something came free or an operator spoke."""
        for lane in self.known.values():
            if lane.rest_until_s:
                lane.rest_until_s, lane.rest_reason = 0.0, ""
                self.offer(lane)
        self._kick()

    def _set_timer(self, name: str, wait_s: float) -> None:
        at_s = asyncio.get_running_loop().time() + wait_s
        # Rounded up to a tick, so that a thousand deferrals of one lane are a few timers; beyond the bound the
        # poll finds what is due.
        tick = math.ceil(at_s / TICK_S)
        if (tick, name) in self._set or len(self._set) >= MAX_TIMERS:
            return
        self._set.add((tick, name))
        heapq.heappush(self._timers, (tick, name))
        self._arm()

    def _arm(self) -> None:
        if not self._timers or self.closed:
            return
        at_s = self._timers[0][0] * TICK_S
        if self._alarm is not None:
            if self._alarm.when() <= at_s:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(at_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now_s = asyncio.get_running_loop().time()
        rung: set[str] = set()
        while self._timers and self._timers[0][0] * TICK_S <= now_s + TICK_S / 2:
            timer = heapq.heappop(self._timers)
            self._set.discard(timer)
            rung.add(timer[1])
        for name in rung:
            lane = self.known.get(name)
            if lane is not None and lane.rest_until_s <= now_s + TICK_S:
                lane.rest_until_s, lane.rest_reason = 0.0, ""
                self.offer(lane)
            self.woken(name)
        self._arm()
        self._kick()

    # -- windows

    def offer(self, lane: Lane) -> None:
        """Put a lane in line if it has something to start and does not rest."""
        if lane.window and not lane.rest_until_s:
            self._fair.add(lane.name)
        else:
            self._fair.remove(lane.name)

    def refill(self, lane: Lane) -> None:
        """Fill the window in the background when it is half empty and there may be more."""
        size = self._window_size()
        if self.closed or lane.refilling or not lane.hungry or 2 * len(lane.window) > size or lane.rest_until_s:
            return
        lane.refilling, lane.hungry = True, False
        task = asyncio.get_running_loop().create_task(self._refill(lane, size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _window_size(self) -> int:
        return max(2, min(WINDOW_MESSAGES, WINDOWS_TOTAL // max(1, len(self.known))))

    async def _refill(self, lane: Lane, size: int) -> None:
        wanted = size - len(lane.window)
        try:
            found = await self._spool.peek(lane.name, wall_ms(), wanted, tuple(lane.hand))
        except RelayError:
            lane.hungry = True
            lane.refilling = False
            self.rest(lane.name, SPOOL_REST_S, "spool")
            return
        lane.refilling = False
        for due in found:
            if due.message.id not in lane.hand:
                lane.hand[due.message.id] += 1
                lane.window.append(due)
        lane.hungry = lane.hungry or len(found) >= wanted
        self.offer(lane)
        if found:
            self._kick()
            self.refill(lane)
        elif lane.hungry:
            self.refill(lane)
        else:
            self.forget(lane)

    def done(self, lane: Lane, message_id: str) -> None:
        """One hold on a message ended."""
        lane.hand[message_id] -= 1
        if lane.hand[message_id] <= 0:
            del lane.hand[message_id]
            if message_id in lane.again:
                lane.again.remove(message_id)
                lane.hungry = True
                self.refill(lane)
        if not lane.hand:
            self.forget(lane)

    def forget(self, lane: Lane) -> None:
        """Drop a lane that has nothing in hand; news or the poll bring it back."""
        if not lane.hand and not lane.window and not lane.refilling and not lane.hungry and not lane.rest_until_s:
            self._fair.remove(lane.name)
            self.known.pop(lane.name, None)

    async def close(self) -> None:
        """Stop timers and refills."""
        self.closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
