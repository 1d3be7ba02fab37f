"""Lets rest what operators want to rest, on every node, and ends it when they say so or when its time is over.

A park is taken back only by a person's word or the end it was given: a wish that vanished from the store, or whose
signer is no longer a node, resumes nothing here. A wish to resume also ends any other rest the scope had when it was
made; what failed since is left alone.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from coordinator.wishes import ALL, Kind, Wish
from node.cluster.health_records import by_hand
from node.cluster.wishes import Wishes
from node.policy.health import Change, HealthBook
from node.policy.standing import HEALTHY

SKEW_MS: Final = 1_000
"""Two nodes' clocks may differ so much."""


@dataclass(slots=True, kw_only=True)
class ParkHooks:
    """What the node hands in."""

    wall_ms: Callable[[], int]
    tenants: Callable[[], Iterable[str]]
    """All tenants, for a hold of everything."""
    report: Callable[[Change], None] = lambda _: None
    """Hears of standings changed: for logs and alarms."""
    settle: Callable[[str], None] = lambda _: None
    """Tell the cluster that a scope is free (``SharedHealth.settle``)."""
    resumed: Callable[[str, str, str, str], None] = lambda *_: None
    """Scope, the reason it rested for, actor and reason of the wish: make due what waited."""


class WishedParks:
    """The operators' parks and holds in one health book."""

    def __init__(self, book: HealthBook, wishes: Wishes, hooks: ParkHooks) -> None:
        """Subscribe; ``run`` ends what has an end."""
        self._book, self._wishes, self._hooks = book, wishes, hooks
        self._news = asyncio.Event()
        wishes.subscribe(self.take)

    def take(self, news: tuple[Wish, ...]) -> None:
        """Follow the wishes there are; ``news`` are those made since the last look."""
        now_ms = self._hooks.wall_ms()
        wanted = self._wanted(now_ms)
        for scope, wish in wanted.items():
            if not by_hand(self._book.entries.get(scope, HEALTHY)):
                self._report(self._book.park(scope, now_ms, reason=wish.reason or "parked", by=wish.actor))
        parked = [scope for scope, standing in self._book.entries.items() if by_hand(standing)]
        ends = {scope: last for scope in parked if (last := self._last(scope)) is not None}
        ends.update({wish.what: wish for wish in news if wish.kind is Kind.PARK and not wish.on})
        for scope, wish in ends.items():
            if scope not in wanted:
                self._resume(scope, wish)
        self._news.set()

    async def run(self) -> None:
        """End parks whose time is over, until cancelled."""
        while True:
            self._news.clear()
            now_ms = self._hooks.wall_ms()
            ends = [wish.until_ms for wish in self._wanted(now_ms).values() if wish.until_ms]
            with suppress(TimeoutError):
                async with asyncio.timeout((min(ends) - now_ms) / 1000 if ends else None):
                    await self._news.wait()
            if not self._news.is_set():
                self.take(())

    def _wanted(self, now_ms: int) -> dict[str, Wish]:
        wanted: dict[str, Wish] = {}
        for wish in self._wishes.book.in_force(now_ms):
            if wish.kind is Kind.PARK or (wish.kind is Kind.HOLD and wish.what != ALL):
                wanted[wish.what] = wish
            elif wish.kind is Kind.HOLD:
                wanted.update((f"tenant/{tenant}", wish) for tenant in self._hooks.tenants())
        return wanted

    def _last(self, scope: str) -> Wish | None:
        """Give the newest wish that could have parked a scope."""
        book = self._wishes.book
        every = book.get(Kind.HOLD, ALL) if scope.startswith("tenant/") else None
        found = (book.get(Kind.PARK, scope), book.get(Kind.HOLD, scope), every)
        return max((wish for wish in found if wish is not None), key=lambda wish: wish.made_ms, default=None)

    def _resume(self, scope: str, wish: Wish) -> None:
        said_ms = wish.until_ms if wish.on else wish.made_ms
        for part in self._book.parts(scope) or [scope]:
            standing = self._book.entries.get(part, HEALTHY)
            if standing.since_ms > said_ms + SKEW_MS:
                continue  # it rests for something that happened since
            self._report(self._book.free(part, self._hooks.wall_ms()))
            self._hooks.settle(part)
            self._hooks.resumed(part, standing.reason, wish.actor, wish.reason)

    def _report(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._hooks.report(change)
