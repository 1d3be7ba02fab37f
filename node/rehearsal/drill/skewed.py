"""``python -m node.rehearsal.drill.skewed FILE MODULE …``: runs a program of ours whose wall clock goes by a file.

The file holds how many nanoseconds it is ahead, as eight octets; whoever writes them sets this one process's clock, as
a wrong NTP server would a host's. It is done where the program asks for the time (``time.time``, ``time.time_ns``),
before any part of it is there; the clock since boot, by which everything is waited for, and the times that certificates
and log lines take from elsewhere stay as they are.
"""

import mmap
import runpy
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_OFFSET: Final = struct.Struct("=q")
NS: Final = 1_000_000_000


def set_ahead(file: Path, ahead_s: float) -> None:
    """Set the clock of whoever runs by this file; makes it if it is not there. Raises OSError."""
    with file.open("r+b" if file.exists() else "x+b") as handle:
        handle.write(_OFFSET.pack(round(ahead_s * NS)))


def install(file: Path) -> None:
    """Let this process's wall clock go by a file from now on. Raises OSError."""
    with file.open("rb") as handle:
        shared = mmap.mmap(handle.fileno(), _OFFSET.size, prot=mmap.PROT_READ)
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + int(_OFFSET.unpack_from(shared)[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / NS


def main(words: Sequence[str]) -> None:
    """Set the clock, then be the program."""
    file, module, *arguments = words
    install(Path(file))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
