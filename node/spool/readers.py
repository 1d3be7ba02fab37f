"""Threads that read, and threads for files. Each question runs on a read-only connection and waits for no writer.

It does not know the questions. Connections are opened on first need and kept.
"""

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from node.spool.database import Database
from node.spool.errors import SpoolClosed

READERS = 2
"""Threads and connections: one slow listing must not stop dispatch from looking for due mail."""

FILERS = 4
"""Threads for work on files: most of it waits for the disk, which syncs several at once as fast as one."""

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """The two pools; the second runs file work that must not block the loop."""

    def __init__(self, connect: Callable[[], Database]) -> None:
        """``connect`` opens a read-only connection."""
        self._connect = connect
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None
        self._filers: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin; connections follow when needed."""
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="spool-reader")
        self._filers = ThreadPoolExecutor(FILERS, thread_name_prefix="spool-files")

    async def ask(self, question: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a question on a connection of its own; raises SpoolBroken, SpoolClosed."""
        return await _run(self._pool, lambda: self._asked(lambda database: question(database, *args, **kwargs)))

    async def run(self, work: Callable[[], T]) -> T:
        """Run work that needs no connection."""
        return await _run(self._filers, work)

    def later(self, work: Callable[[], None]) -> None:
        """Run work nobody waits for, done before ``stop`` returns; callable from any thread."""
        if self._filers is not None:
            self._filers.submit(work)

    def _asked(self, question: Callable[[Database], T]) -> T:
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = self._connect()
        try:
            answer = question(database)
        except BaseException:
            # A connection that met a fault is not trusted again.
            database.close()
            raise
        self._idle.put(database)
        return answer

    async def stop(self) -> None:
        """Finish and close every connection; idempotent."""
        pool, self._pool = self._pool, None
        filers, self._filers = self._filers, None
        if pool is None or filers is None:
            return
        await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(filers.shutdown)
        while not self._idle.empty():
            self._idle.get_nowait().close()


async def _run(pool: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
    if pool is None:
        raise SpoolClosed("the spool is closed")
    return await asyncio.get_running_loop().run_in_executor(pool, work)
