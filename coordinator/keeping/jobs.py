"""Work beside a keeper's loop: one job of a name at a time, none of which ends the loop by failing."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final

from coordinator.errors import CoordinatorError

_log = logging.getLogger("coordinator")
PAUSE_S: Final = 0.5
"""After a failure, before the same job may begin again."""


class Jobs:
    """Jobs under way, bounded by their names."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def start(self, name: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a job unless one of this name is under way."""
        if name not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._run(name, work))
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _run(self, name: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except CoordinatorError as error:
            _log.warning("ownership: %s: %s", name, error)
            await asyncio.sleep(PAUSE_S)
        except Exception:  # noqa: BLE001 - one fault must not stop the others
            _log.exception("ownership: %s", name)
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
