"""The suppression list as the front door reads it: a file of addresses in the runtime directory, looked at each second.

The core writes it, the processes at the door read it; a list of some thousand addresses changes a few times an hour, so
nothing is pushed. A file that is not there, or cannot be read, is an empty list: nothing is refused by mistake.
"""

import os
import time
from pathlib import Path
from typing import Final

NAME: Final = "suppressed"
LOOK_S: Final = 1.0
MAX_BYTES: Final = 32 << 20


class SuppressedFile:
    """Implements ``node.policy.rulebook.Suppressed``."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not be there."""
        self._path = path
        self._addresses: frozenset[str] = frozenset()
        self._stamp = (0, 0)
        self._looked_s = float("-inf")

    def lists(self, address: str) -> bool:
        """Tell whether an address is on the list."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return address.lower() in self._addresses

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                text = self._path.read_text("utf-8") if found.st_size <= MAX_BYTES else ""
                self._addresses, self._stamp = frozenset(text.splitlines()), stamp
        except (OSError, UnicodeDecodeError):
            self._addresses, self._stamp = frozenset(), (0, 0)


def write_suppressed(path: Path, addresses: frozenset[str]) -> None:
    """Write the list whole under another name, then rename it. Blocks on the disk; raises OSError."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{address}\n" for address in sorted(addresses))
    fresh.replace(path)
