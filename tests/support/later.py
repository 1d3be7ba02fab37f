"""A wall clock that a test moves: processes started through it read the time from a file they share.

``python -m tests.support.later FILE MODULE ...`` runs a module with ``time.time`` and ``time.time_ns`` moved by the
milliseconds the file holds. What dates mail, reports, tokens and history reads those; sleeps, timeouts and budgets go
by steady clocks, which stay as they are, as on a machine whose clock is set.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

FORM = struct.Struct("<q")


class Hour:
    """The shared file; give it to every process of one test, or one each for clocks that differ."""

    def __init__(self, path: Path, ahead_ms: int = 0):
        self.path = path
        path.write_bytes(FORM.pack(ahead_ms))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), FORM.size)

    @property
    def ahead_ms(self) -> int:
        return FORM.unpack(self._map)[0]

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def pass_ms(self, ms: int) -> None:
        """Let time go by for whoever reads the file."""
        self._map[:] = FORM.pack(self.ahead_ms + ms)

    def command(self, *rest: str) -> list[str]:
        """What python runs in place of ``-m MODULE``."""
        return ["-m", "tests.support.later", str(self.path), *rest]


def _move(path: Path) -> None:
    shared = Hour.__new__(Hour)
    with path.open("rb") as file:
        shared._map = mmap.mmap(file.fileno(), FORM.size, access=mmap.ACCESS_READ)
    plain_ns = time.time_ns
    time.time_ns = lambda: plain_ns() + shared.ahead_ms * 1_000_000
    time.time = lambda: time.time_ns() / 1e9


if __name__ == "__main__":
    _, where, module, *_ = sys.argv
    _move(Path(where))
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
