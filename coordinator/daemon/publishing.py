"""Publishes the local node's readiness under ``ready/<node>``, so that others know who could take an address."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from coordinator.errors import NotAMember
from coordinator.keys import Keys, encode
from coordinator.members import Readiness
from coordinator.runner import SessionRunner
from coordinator.store.contract import Put, StoreError

BEAT_S: Final = 0.2


class ReadyPublisher:
    """Writes on change and once for every session; the lease takes the word back with the session."""

    def __init__(self, node: str, readiness: Callable[[], Readiness], session: SessionRunner, keys: Keys) -> None:
        """Do nothing yet."""
        self._key, self._readiness, self._session = keys.ready(node), readiness, session
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look again now."""
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled. A write whose answer was lost is made again: it is the same word."""
        told: tuple[int, Readiness] | None = None
        while True:
            session, readiness = self._session.session, self._readiness()
            now = (session.lease, readiness)
            if session.lease and now != told:
                put = Put(key=self._key, value=encode(readiness), lease=session.lease)
                with suppress(StoreError, NotAMember):
                    await self._session.guarded([], [put], timeout_s=session.timing.timeout_ms / 1_000)
                    told = now
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._news.wait()
            self._news.clear()
