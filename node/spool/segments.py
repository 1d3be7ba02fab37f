"""The journal's files: segments written ahead with zeros, so that a sync has nothing but data to write, and used again.

The only file of the room that touches them. It knows batches and their numbers, not what is in them. Every write is
synchronous (O_DSYNC) and passes by the page cache where the file system can do that (O_DIRECT): that costs a third
less, and no page is left that looks written and is not. A segment that failed once is never written again.
"""

import errno
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.spool.bodies import mapped
from node.spool.errors import SpoolTooNew
from node.spool.journal import (
    BATCH_BYTES,
    BLOCK,
    VERSION,
    Header,
    NewerJournal,
    Scan,
    batch_head,
    header_block,
    padded,
    scan,
)

SEGMENT_BYTES = 4 * 1024 * 1024
SPARE_SEGMENTS = 3
"""Segments kept; more are made while the database lags behind and removed afterwards."""

MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
"""Larger batches go into the database at once."""

_BUFFER_BYTES = MAX_PAYLOAD_BYTES + 2 * BLOCK
_SUFFIX = ".journal"


@dataclass(slots=True, kw_only=True, eq=False)
class Segment:
    """One file."""

    path: Path
    handle: int
    generation: int = 0
    last: int = 0
    """Number of the newest batch in it."""
    used: int = 0
    """Bytes written since the last blanking; where the next batch begins."""
    failed: bool = False


class Segments:
    """The files of one journal. Used by one thread at a time, but for ``applied``."""

    def __init__(self, directory: Path) -> None:
        """Name the folder; ``load`` makes it."""
        self.folder = directory / "journal"
        self.applied = 0
        """Every batch up to this one is durable in the database: set by the writer, read here."""
        self._spool = b""
        self._all: list[Segment] = []
        self._active: Segment | None = None
        self._next = 1
        self._void_from = 0
        self._generation = 0
        self._made = 0
        self._direct = os.O_DIRECT
        # Aligned as direct writes need it; memory comes when it is first used.
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))
        self._zeros = memoryview(mmap.mmap(-1, _BUFFER_BYTES))

    # ---- at start ----------------------------------------------------------------------------------------------

    def load(self) -> list[Scan]:
        """Read every segment there is; raises SpoolTooNew for one of a newer version, SpoolBroken, SpoolFull."""
        found: list[Scan] = []
        with mapped("read journal"):
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700)
                _sync_folder(self.folder.parent)
            for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
                try:
                    found.append(scan(path.name, path.read_bytes()))
                except NewerJournal as newer:
                    raise SpoolTooNew(
                        f"spool {self.folder.parent}: {path.name} has journal version {newer.args[0]}, "
                        f"this program knows up to {VERSION}"
                    ) from None
        return found

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes of a segment, to be set aside; raises SpoolBroken."""
        with mapped("read journal"), (self.folder / name).open("rb") as handle:
            handle.seek(start)
            return handle.read(end - start)

    def start(self, spool: bytes, scans: list[Scan], applied: int) -> None:
        """Begin to write after what was found; ``applied`` as the database has it. Raises SpoolBroken, SpoolFull."""
        self._spool, self.applied = spool, applied
        self._all, self._active, self._void_from = [], None, 0
        headers = {one.name: one for one in scans}
        self._generation = max((one.header.generation for one in scans if one.header), default=0)
        numbers = [batch.number for one in scans for batch in one.batches]
        firsts = [one.header.first - 1 for one in scans if one.header]
        self._next = max([applied, *numbers, *firsts]) + 1
        with mapped("open journal"):
            for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
                self._take_over(path, headers.get(path.name))
        names = [segment.path.stem for segment in self._all]
        self._made = max((int(name) for name in names if name.isdigit()), default=0)

    def _take_over(self, path: Path, found: Scan | None) -> None:
        handle = self._open(path, os.O_NOFOLLOW)
        size = os.fstat(handle).st_size
        last = max((batch.number for batch in found.batches), default=0) if found else 0
        # What is not whole is kept for what it holds, and removed when that is in the database.
        segment = Segment(path=path, handle=handle, last=last, used=size, failed=size != SEGMENT_BYTES)
        self._all.append(segment)

    # ---- writing -----------------------------------------------------------------------------------------------

    def write(self, payload: bytes, count: int) -> int:
        """Make a batch durable; its number. Raises SpoolFull, SpoolBroken: then ``void`` says which number is lost."""
        size = padded(BATCH_BYTES + len(payload))
        number = self._next
        with mapped("write journal"):
            active = self._active
            try:
                if active is None or active.used + size > SEGMENT_BYTES:
                    active = self._active = self._another()
                filled = self._fill(active, number, payload, count)
                active.last = number
                start, active.used = active.used, active.used + filled
                _write(active.handle, self._buffer[:filled], start)
            except OSError:
                self._fail(number, size)
                raise
        self._next = number + 1
        self._void_from = 0
        return number

    def _fill(self, active: Segment, number: int, payload: bytes, count: int) -> int:
        """Put a batch, and the header before the first one, into the buffer; bytes to write."""
        parts = [batch_head(active.generation, number, payload, count), payload]
        if not active.used:
            void_from = self._void_from or number
            header = Header(generation=active.generation, first=number, void_from=void_from, spool=self._spool)
            parts.insert(0, header_block(header))
        at = 0
        for part in parts:
            self._buffer[at : at + len(part)] = part
            at += len(part)
        end = padded(at)
        self._buffer[at:end] = self._zeros[: end - at]
        return end

    @property
    def failed(self) -> int:
        """Number of the newest batch whose write failed."""
        return self._next - 1

    def _fail(self, number: int, size: int) -> None:
        """Nothing more is written into this segment, and the number counts for nothing."""
        failed, self._active = self._active, None
        if failed is not None:
            failed.failed = True
            # It was not answered as durable: a process that dies now should not find it. No promise rests on that.
            with suppress(OSError):
                _write(failed.handle, self._zeros[:size], failed.used - size)
        self._void_from = self._void_from or number
        self._next = number + 1

    def _another(self) -> Segment:
        """A segment to begin with: a free one, or a new file."""
        self._active = None
        self._generation += 1
        self._sort_out()
        free = next((one for one in self._all if not one.failed and one.last <= self.applied), None)
        segment = free if free is not None else self._make()
        segment.generation, segment.used = self._generation, 0
        return segment

    def _make(self) -> Segment:
        """A new file, whole on disk."""
        self._made += 1
        path = self.folder / f"{self._made:08d}{_SUFFIX}"
        try:
            handle = self._open(path, os.O_CREAT | os.O_EXCL)
            try:
                self._zero(handle, SEGMENT_BYTES)
                os.fsync(handle)
                _sync_folder(self.folder)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            if error.errno == errno.EINVAL and self._direct:
                self._direct = 0  # it can be opened so, but not written
                return self._make()
            raise
        segment = Segment(path=path, handle=handle)
        self._all.append(segment)
        return segment

    def _open(self, path: Path, flags: int) -> int:
        basic = os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC | flags
        try:
            return os.open(path, basic | self._direct, 0o600)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._direct:
                raise
        # This file system has no direct writes. With O_EXCL the file may be there all the same.
        self._direct = 0
        return os.open(path, basic & ~os.O_EXCL, 0o600)

    def _zero(self, handle: int, size: int) -> None:
        for at in range(0, size, _BUFFER_BYTES):
            _write(handle, self._zeros[: min(_BUFFER_BYTES, size - at)], at)

    def _sort_out(self) -> None:
        """Remove what is not needed: failed segments, and more than the spare ones, once all in them is applied."""
        for segment in list(self._all):
            if segment is self._active or segment.last > self.applied:
                continue
            if segment.failed or len(self._all) > SPARE_SEGMENTS:
                self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        self._all.remove(segment)
        with suppress(OSError):
            os.close(segment.handle)
        with suppress(OSError):
            segment.path.unlink()

    # ---- at rest -----------------------------------------------------------------------------------------------

    def tidy(self) -> bool:
        """Idle: make a spare segment, or blank one whose mail is in the database; True if there is more to do.

        Blank, so that what history forgets does not linger here. A fault is met again, and told, by the next write.
        """
        try:
            if self._blank_one():
                return True
            self._sort_out()
            if self._generation and len(self._all) < SPARE_SEGMENTS:
                self._make()
                return True
        except OSError:
            return False
        return False

    def _blank_one(self) -> bool:
        for segment in self._all:
            if segment.used and not segment.failed and segment.last <= self.applied:
                self._blank(segment)
                return True
        return False

    def _blank(self, segment: Segment) -> None:
        if segment is self._active:
            self._active = None
        try:
            self._zero(segment.handle, segment.used)
        except OSError:
            segment.failed = True
            raise
        segment.used = 0

    def close(self) -> None:
        """Blank what can be, close all; never raises."""
        with suppress(OSError):
            while self._blank_one():
                continue
            self._sort_out()
        for segment in self._all:
            with suppress(OSError):
                os.close(segment.handle)
        self._all, self._active = [], None


def _write(handle: int, data: memoryview, at: int) -> None:
    """Write all of it; the kernel may take less at once."""
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
