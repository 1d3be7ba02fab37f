"""A few threads that read: each question runs on a read-only connection, so that no reader waits for the writer.

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

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """The pool; also runs file work that must not block the loop."""

    def __init__(self, connect: Callable[[], Database]) -> None:
        """``connect`` opens a read-only connection."""
        self._connect = connect
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin; connections follow when needed."""
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="spool-reader")

    async def ask(self, question: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a question on a connection of its own; raises SpoolBroken, SpoolClosed."""
        return await self.run(lambda: self._asked(lambda database: question(database, *args, **kwargs)))

    async def run(self, work: Callable[[], T]) -> T:
        """Run work that needs no connection."""
        if self._pool is None:
            raise SpoolClosed("the spool is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def later(self, work: Callable[[], None]) -> None:
        """Run work nobody waits for, done before ``stop`` returns; callable from any thread."""
        if self._pool is not None:
            self._pool.submit(work)

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
        if pool is None:
            return
        await asyncio.to_thread(pool.shutdown)
        while not self._idle.empty():
            self._idle.get_nowait().close()
