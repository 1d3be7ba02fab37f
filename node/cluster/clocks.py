"""Asks the other nodes what time they have, and judges this node's clock (``coordinator/clocks.py``).

A question and its answer go over the peer channel every half minute, at once after this host's clock was set. What the
upstream says in its ``Date`` counts as one more clock. Nothing here stops anything: whoever reserves by the day asks
``verdict``.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from coordinator.clocks import ALONE, UNKNOWN, Reading, Standing, Verdict, judge, reading, reading_of_date, usable
from coordinator.errors import CoordinatorError
from coordinator.peers.contract import Peers
from coordinator.runner import boottime_ms

ROUTE: Final = "clock"
EVERY_S: Final = 30.0
FIRST_S: Final = 2.0
"""Until somebody was heard the questions come faster."""
LOOK_S: Final = 5.0
STEP_MS: Final = 250
"""This host's clock moved against its uptime by more: somebody set it."""
ANSWER_S: Final = 1.0
UPSTREAM: Final = "upstream"
_log = logging.getLogger(__name__)


class _Times(msgspec.Struct, frozen=True):
    got_ms: int
    answered_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DateSeen:
    """A ``Date`` the upstream sent, and when we had asked."""

    date_ms: int
    sent_ms: int
    """Wall clock, as is ``date_ms``."""
    took_ms: int


Date = Callable[[], Awaitable[DateSeen | None]]
"""Gives a fresh ``Date``, or None when there is none. Its errors are its own: it raises nothing."""


def wall_ms() -> int:
    """Read the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
class ClockHooks:
    """What the node hands in."""

    others: Callable[[], Sequence[str]]
    """The other nodes of the list in force."""
    date: Date | None = None
    changed: Callable[[Verdict], None] = lambda _: None
    """Hears of a new standing: for metrics and alarms."""
    wall_ms: Callable[[], int] = wall_ms
    now_ms: Callable[[], int] = boottime_ms


class Clocks:
    """The node's judgement of its own clock; ``answer`` serves route ``clock``, ``run`` asks the others."""

    def __init__(self, peers: Peers, hooks: ClockHooks) -> None:
        """Know nothing yet."""
        self._peers, self._hooks = peers, hooks
        self._readings: dict[str, Reading] = {}
        self.verdict: Verdict = UNKNOWN if hooks.others() else ALONE

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The clocks heard lately, by name: for ``status``."""
        return tuple(sorted(usable(self._readings.values(), self._hooks.now_ms()), key=lambda each: each.source))

    async def answer(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - a ``Handler``; the question is empty
        """Say what time it is here."""
        now_ms = self._hooks.wall_ms()
        return msgspec.json.encode(_Times(got_ms=now_ms, answered_ms=now_ms))

    async def run(self) -> None:
        """Ask and judge until cancelled."""
        while True:
            await self.measure()
            await self._pause(EVERY_S if self._readings or not self._hooks.others() else FIRST_S)

    async def measure(self) -> None:
        """Ask everybody once, at the same time, and judge."""
        others = self._hooks.others()
        for gone in self._readings.keys() - {*others, UPSTREAM}:
            del self._readings[gone]
        await asyncio.gather(*(self._ask(node) for node in others), self._look_at_date())
        self._judge()

    async def _ask(self, node: str) -> None:
        hooks = self._hooks
        sent_ms, began_ms = hooks.wall_ms(), hooks.now_ms()
        try:
            body = await self._peers.ask(node, ROUTE, b"", timeout_s=ANSWER_S)
            times = msgspec.json.decode(body, type=_Times)
        except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # an old reading speaks on until it is no longer fresh
        taken_ms = hooks.now_ms()
        found = reading(
            node,
            sent_ms=sent_ms,
            took_ms=taken_ms - began_ms,
            got_ms=times.got_ms,
            answered_ms=times.answered_ms,
            taken_ms=taken_ms,
        )
        if found is not None:
            self._readings[node] = found

    async def _look_at_date(self) -> None:
        seen = await self._hooks.date() if self._hooks.date is not None else None
        if seen is None:
            return
        found = reading_of_date(
            UPSTREAM,
            date_ms=seen.date_ms,
            sent_ms=seen.sent_ms,
            took_ms=seen.took_ms,
            taken_ms=self._hooks.now_ms(),
        )
        if found is not None:
            self._readings[UPSTREAM] = found

    def _judge(self) -> None:
        before, nodes = self.verdict, len(self._hooks.others()) + 1
        readings = tuple(self._readings.values())
        self.verdict = judge(readings, nodes=nodes, now_ms=self._hooks.now_ms(), before=before)
        if self.verdict.standing is not before.standing:
            _say(self.verdict)
            self._hooks.changed(self.verdict)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until somebody sets this host's clock: then what was measured is wrong."""
        hooks = self._hooks
        until_ms, apart_ms = hooks.now_ms() + int(seconds * 1000), hooks.wall_ms() - hooks.now_ms()
        while (left_ms := until_ms - hooks.now_ms()) > 0:
            await asyncio.sleep(min(LOOK_S, left_ms / 1000))
            if abs(hooks.wall_ms() - hooks.now_ms() - apart_ms) > STEP_MS:
                self._readings.clear()
                return


def _say(verdict: Verdict) -> None:
    detail = {"offset_ms": verdict.offset_ms, "clocks": verdict.heard}
    if verdict.standing is Standing.OUTLIER:
        _log.error(
            "this node's clock is %d ms off the others': it reserves no budget of a day",
            -verdict.offset_ms,
            extra=detail,
        )
    elif verdict.standing is Standing.NO_MAJORITY:
        _log.warning("too few clocks agree with this node's to say which is right", extra=detail)
    else:
        _log.info("this node's clock agrees with the others'", extra=detail)
