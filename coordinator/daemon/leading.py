"""Stands for election and runs the leader's chores while it leads. What may happen is ``election.py``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from coordinator.election import Chores, News, Standing, may_stand, step
from coordinator.errors import NotAMember
from coordinator.feed import Feed
from coordinator.keys import Keys, encode
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.store.contract import Item, Put, Seen, Store, StoreError, absent

BEAT_S: Final = 0.2
Chore = Callable[[], Awaitable[None]]
"""Runs until cancelled; every write of its own compares revisions, for leading excludes nobody."""


class Election:
    """One process's part in the election."""

    def __init__(
        self,
        node: str,
        store: Store,
        session: SessionRunner,
        feed: Feed,
        keys: Keys,
        chores: Sequence[Chore],
        *,
        now_ms: Callable[[], int] = boottime_ms,
        started_ms: int | None = None,
    ) -> None:
        """Follow; ``run`` stands. ``started_ms``: since when no promise is forgotten; None: since now."""
        self.standing = Standing.FOLLOWING
        self._node, self._store, self._session, self._feed, self._keys = node, store, session, feed, keys
        self._chores, self._now_ms = chores, now_ms
        self._started_ms = now_ms() if started_ms is None else started_ms
        self._running: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._unknown = False
        """A transaction on the key was sent and its fate is not known."""
        self._revision = 0
        """What the watch tells of the key before this revision is old news."""

    @property
    def leading(self) -> bool:
        """Whether the chores are ours."""
        return self.standing is Standing.LEADING

    async def run(self) -> None:
        """Stand whenever there is no leader, until cancelled; a chore that fails ends this too."""
        unsubscribe = self._feed.subscribe(self._seen)
        try:
            while True:
                await self._beat()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await self._news.wait()
                self._news.clear()
                for chore in self._running:
                    if chore.done():
                        chore.result()
        finally:
            unsubscribe()
            await self._stop()

    async def _beat(self) -> None:
        session, now_ms = self._session.session, self._now_ms()
        if not session.live(now_ms):
            await self._take(News.SESSION_LOST)
            return
        if self._unknown:
            await self._read_back()
        if self._feed.revision < self._revision:
            return
        item = self._feed.items.get(self._keys.leader)
        if self._feed.revision and item is None and self.standing is not Standing.STANDING:
            await self._take(News.VACANT)
            if may_stand(session, now_ms, started_ms=self._started_ms):
                await self._stand(session.lease)
        elif item is not None:
            await self._take(self._news_of(item))

    async def _stand(self, lease: int) -> None:
        await self._take(News.STAND)
        self._unknown = True
        put = Put(key=self._keys.leader, value=encode(self._node), lease=lease)
        timeout_s = self._session.session.timing.timeout_ms / 1_000
        with suppress(StoreError, NotAMember):
            outcome = await self._session.guarded([absent(put.key)], [put], timeout_s=timeout_s)
            self._unknown, self._revision = False, outcome.revision
            await self._take(News.WON if outcome.succeeded else News.OTHER)

    async def _read_back(self) -> None:
        """After an answer that got lost: the key as it is now; until it can be read we neither lead nor stand."""
        timeout_s = self._session.session.timing.timeout_ms / 1_000
        with suppress(StoreError):
            item = await self._store.get(self._keys.leader, timeout_s=timeout_s)
            self._unknown = False
            await self._take(News.VACANT if item is None else self._news_of(item))

    def _news_of(self, item: Item) -> News:
        return News.WON if item.lease == self._session.session.lease else News.OTHER

    async def _take(self, news: News) -> None:
        after = step(self.standing, news)
        self.standing = after.standing
        if after.chores is Chores.START:
            self._running = [asyncio.ensure_future(chore()) for chore in self._chores]
        elif after.chores is Chores.STOP:
            await self._stop()

    async def _stop(self) -> None:
        running, self._running = self._running, []
        for chore in running:
            chore.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _seen(self, seen: Seen) -> None:
        if seen.resync or any(change.key == self._keys.leader for change in seen.changes):
            self._news.set()
