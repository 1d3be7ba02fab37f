"""What this host promised, kept over a restart of the process: then the next one need not wait until all is forgotten.

Lives in the runtime directory, so it is gone with the machine's boot; whoever finds no whole memory counts as young for
a lease's time, as a promise of before may be forgotten (coordination-review §5). A file that bears this boot's id was
begun by a process that had outlived every earlier promise, and holds each one given since, written before it was said.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

AHEAD_MS: Final = 3_000


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """To whom, and until when on the boot-time clock."""

    to: str
    until_ms: int


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    boot_id: str
    promises: dict[str, Promise]


class PromiseMemory:
    """The file; one process at a time has it (the lease's file is locked)."""

    def __init__(self, path: Path, boot: str) -> None:
        """Read it; one that cannot be read, or of another boot, is no memory."""
        self._path, self._boot = path, boot
        self.whole = False
        """Whether nothing promised in this boot is missing here."""
        self._promises: dict[str, Promise] = {}
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Memory)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if found.boot_id == boot:
            self.whole, self._promises = True, found.promises

    @property
    def promises(self) -> Mapping[str, Promise]:
        """Every promise known: address to promise; those that have lapsed do no harm."""
        return MappingProxyType(self._promises)

    def begin(self) -> None:
        """Be whole from now on: the process has outlived whatever was promised before it. Raises OSError."""
        self._write()
        self.whole = True

    def keep(self, name: str, to: str, until_ms: int) -> None:
        """Remember a promise before it is said. Raises OSError: then it must not be said.

        Remembered for longer than said, so that one renewed five times a second is not written each time.
        """
        known = self._promises.get(name)
        if known is not None and known.to == to and known.until_ms >= until_ms:
            return
        self._promises[name] = Promise(to=to, until_ms=until_ms + AHEAD_MS)
        if self.whole:
            self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(_Memory(boot_id=self._boot, promises=self._promises)))
        fresh.replace(self._path)
