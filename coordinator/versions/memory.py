"""What a process leaves on disk of the level in force, for a start while the store is silent, or is a new one."""

import os
from pathlib import Path

import msgspec


class _Kept(msgspec.Struct, frozen=True):
    level: int


class LevelMemory:
    """A small file beside what is known of the cluster."""

    def __init__(self, path: Path) -> None:
        """Read it; what cannot be read counts as never known."""
        self._path = path
        self.level = 0
        """0: never known."""
        try:
            self.level = max(0, msgspec.json.decode(path.read_bytes(), type=_Kept).level)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return

    def keep(self, level: int) -> None:
        """Write it down, synced, unless it stands there; raises OSError."""
        if level == self.level:
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(_Kept(level=level)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self.level = level
