"""Small state kept over a restart beside the spool: standings (what an operator parked stays parked), day counters.

Written whole under a new name, synced, renamed. A file that cannot be read is set aside and said, never fatal: the
attempts in the spool rebuild what limits need.
"""

import logging
import os
import time
from pathlib import Path

import msgspec

from node.cluster.rebuild import Kept
from node.policy.health import HealthBook

_log = logging.getLogger(__name__)
STANDINGS, COUNTERS, BOOT = "standings.msgpack", "counters.json", "boot-id"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Give the kernel's boot id; empty where it is hidden (``ProcSubset=pid``), which counts as another boot."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Keeping:
    """The directory ``kept`` inside the spool's."""

    def __init__(self, spool: Path) -> None:
        """Name the directory; ``prepare`` makes it."""
        self._directory = spool / "kept"

    def prepare(self) -> int | None:
        """Make the directory; tell when this host booted (ms), or None if the last start was in another boot.

        Another boot, or another host the spool was carried to: sessions of then were not closed by this kernel.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now, before = boot_id(), self._read(BOOT)
        self._write(BOOT, now.encode())
        if not now or before != now.encode():
            return None
        return (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000

    def standings(self, site: str = "") -> HealthBook:
        """Give the health book as last kept, of a node in this site; empty if there is none."""
        data = self._read(STANDINGS)
        if data:
            try:
                return HealthBook.decode(data, site)
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
                self._aside(STANDINGS, error)
        return HealthBook(site)

    def counters(self) -> Kept | None:
        """Give the day counters as last kept."""
        data = self._read(COUNTERS)
        if data:
            try:
                return msgspec.json.decode(data, type=Kept)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self._aside(COUNTERS, error)
        return None

    def keep(self, book: HealthBook, counters: Kept) -> None:
        """Write both; blocks on the disk."""
        self._write(STANDINGS, book.encode())
        self._write(COUNTERS, msgspec.json.encode(counters))

    def _read(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return b""

    def _write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _aside(self, name: str, error: Exception) -> None:
        path = self._directory / name
        path.replace(path.with_suffix(".unreadable"))
        _log.error("%s cannot be read and is set aside: %s", path, error)
