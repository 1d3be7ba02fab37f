"""Writes a large body to its file while it arrives: one write at a time, off the event loop, synced before append.

Knows nothing of SMTP. At most one part is being written and one gathered, so memory stays bounded; ``busy`` tells
the reader to stop reading until ``when_free`` is called.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import BinaryIO, Final

from node.spool.contract import BodyFile

PART_BYTES: Final = 256 << 10
"""Gathered before a write starts, and the mark at which reading pauses while one is under way."""


class Spill:
    """One body file in the making."""

    def __init__(self, path: Path, pool: Executor, when_free: Callable[[], None]) -> None:
        """Nothing is opened yet; ``when_free`` is called after each write."""
        self._path = path
        self._pool = pool
        self._when_free = when_free
        self._file: BinaryIO | None = None
        self._parts: list[bytes] = []
        self._gathered = 0
        self._writing: asyncio.Future[None] | None = None
        self._error: OSError | None = None
        self._abandoned = False
        self.size_bytes = 0

    @property
    def busy(self) -> bool:
        """Whether as much is waiting as may wait."""
        return self._writing is not None and self._gathered >= PART_BYTES

    def write(self, parts: list[bytes]) -> None:
        """Take parts; start a write when enough is gathered and none is under way."""
        size = sum(map(len, parts))
        self._parts += parts
        self._gathered += size
        self.size_bytes += size
        if self._writing is None and self._gathered >= PART_BYTES:
            self._start()

    async def finish(self) -> BodyFile:
        """Write what is left, sync, close. Raises OSError of any write."""
        while self._writing is not None:
            await asyncio.wait((self._writing,))
        if self._error is not None:
            raise self._error
        parts, self._parts = self._parts, []
        await asyncio.get_running_loop().run_in_executor(self._pool, self._write_and_sync, parts)
        return BodyFile(path=str(self._path), size_bytes=self.size_bytes, synced=True)

    def abandon(self) -> None:
        """Give the file up; it is removed once no write is under way."""
        self._abandoned = True
        self._parts.clear()
        if self._writing is None:
            self._remove_soon()

    def _start(self) -> None:
        parts, self._parts, self._gathered = self._parts, [], 0
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._pool, self._write, parts)
        self._writing.add_done_callback(self._written)

    def _written(self, future: "asyncio.Future[None]") -> None:
        self._writing = None
        error = future.exception()
        if isinstance(error, OSError):
            self._error = error
            self._parts.clear()
            self._gathered = 0
        if self._abandoned:
            self._remove_soon()
        elif self._error is None and self._gathered >= PART_BYTES:
            self._start()
        self._when_free()

    def _write(self, parts: list[bytes]) -> None:
        if self._file is None:
            self._file = self._path.open("xb", buffering=0)
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[self._file.write(view) :]

    def _write_and_sync(self, parts: list[bytes]) -> None:
        self._write(parts)
        if self._file is not None:
            handle = self._file.fileno()
            os.fdatasync(handle)
            # Large mail waits for its account's budget; its pages serve the next body better than they wait here.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            self._file.close()

    def _remove_soon(self) -> None:
        """Off the loop, unless the server is closing and its threads are gone already."""
        try:
            self._pool.submit(self._remove)
        except RuntimeError:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
            self._path.unlink(missing_ok=True)
