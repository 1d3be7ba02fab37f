"""How the store's endpoints are: asked when somebody wants to know, and once a minute for their alarms."""

import asyncio
from collections.abc import Callable
from typing import Final

from coordinator.daemon.alarms import Alarms
from coordinator.runner import boottime_ms
from coordinator.store.contract import Health, Store

BEAT_S: Final = 60.0
"""An idle cluster costs the store next to nothing."""
TIMEOUT_S: Final = 0.5
FRESH_MS: Final = 2_000


class StoreHealth:
    """Each endpoint's last answer; endpoints that did not answer are missing."""

    def __init__(self, store: Store, alarms: Alarms, *, now_ms: Callable[[], int] = boottime_ms) -> None:
        """Nobody was asked yet."""
        self.answers: tuple[Health, ...] = ()
        self._store, self._alarms, self._now_ms = store, alarms, now_ms
        self._asked_ms: int | None = None
        self._asking = asyncio.Lock()

    async def look(self) -> None:
        """Ask all endpoints, unless that was done within the last two seconds."""
        async with self._asking:
            if self._asked_ms is not None and self._now_ms() - self._asked_ms < FRESH_MS:
                return
            self.answers = await self._store.health(timeout_s=TIMEOUT_S)
            self._asked_ms = self._now_ms()
            for answer in self.answers:
                for alarm in answer.alarms:
                    self._alarms.raise_(f"etcd {answer.endpoint}: alarm {alarm}")

    async def run(self) -> None:
        """Look once a minute until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(BEAT_S)
