"""Body files: written under ``incoming``, synced, renamed into place, removed after the row is gone.

The only file of the room that touches body files. A file is in ``bodies`` before its row exists and is unlinked
only after its row is gone, so a crash leaves at worst a file too many, never a row without its file.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from node.spool.contract import BodyFile
from node.spool.errors import MessageGone, SpoolBroken, SpoolFull, WrongRequest

SMALL_BODY_BYTES = 8 * 1024
"""Bodies up to this come along with a peek; with delivery's windows of 8,192 messages at most 64 MiB."""

INLINE_BYTES = 256 * 1024
"""Bodies up to this size live in the database (design §5.2)."""

CHUNK_BYTES = 256 * 1024
SHARDS = 256
"""Folders below ``bodies``: a backlog of large mail must not make one directory huge."""

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Give the operating system's errors as ours."""
    try:
        yield
    except OSError as error:
        word = errno.errorcode.get(error.errno or 0, "EIO")
        if error.errno in _NO_SPACE:
            raise SpoolFull(f"no space left ({word} in {what})") from error
        raise SpoolBroken(f"disk failed ({word} in {what})") from error


class Bodies:
    """The body files of one spool directory."""

    def __init__(self, directory: Path) -> None:
        """Name the folders; ``prepare`` makes them."""
        self.incoming = directory / "incoming"
        self.kept = directory / "bodies"

    def prepare(self) -> None:
        """Make the folders, readable by nobody else. Raises SpoolBroken, SpoolFull."""
        with mapped("make folders"):
            for folder in (self.incoming, self.kept):
                folder.mkdir(mode=0o700, exist_ok=True)

    def path_for(self, message_id: str) -> Path:
        """Where a body may be written before append; raises WrongRequest for an id that is no file name."""
        if not message_id or "/" in message_id or message_id.startswith("."):
            raise WrongRequest("a message id must be usable as a file name")
        return self.incoming / message_id

    def take(self, message_id: str, body: BodyFile | bytes) -> str:
        """Make a large body durable; gives its final name. Raises SpoolFull, SpoolBroken, WrongRequest."""
        source = self.path_for(message_id)
        if isinstance(body, bytes):
            with mapped("write body"):
                source.write_bytes(body)
        elif Path(body.path).resolve().parent != self.incoming.resolve():
            raise WrongRequest(f"the body of {message_id} is not in the spool's incoming folder")
        else:
            source = Path(body.path)
        name = f"{sum(message_id.encode()) % SHARDS:02x}/{message_id}"
        with mapped("keep body"):
            if isinstance(body, bytes):
                self._put(source, self.kept / name, len(body), synced=False)
            else:
                self._put(source, self.kept / name, body.size_bytes, synced=body.synced)
        return name

    def _put(self, source: Path, target: Path, size_bytes: int, *, synced: bool) -> None:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            found = os.fstat(handle).st_size
            if found != size_bytes:
                raise WrongRequest(f"body file of {target.name} has {found} bytes instead of {size_bytes}")
            if not synced:  # each sync costs a flush of the disk, though nothing be left to write
                os.fsync(handle)
        finally:
            os.close(handle)
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self.kept)
        source.replace(target)
        # A power loss may leave it under its old name too: then that is set aside at the next start.
        _sync_folder(target.parent)

    def give_back(self, name: str) -> None:
        """Append failed: the caller was told so, the file is not needed."""
        with suppress(OSError):
            (self.kept / name).unlink()

    def remove(self, names: list[str]) -> None:
        """Unlink files whose rows are gone; one that stays is set aside at the next start."""
        for name in names:
            with suppress(OSError):
                (self.kept / name).unlink()

    def find(self, message_id: str, name: str) -> Path:
        """The file of a body; raises MessageGone if it is missing."""
        path = self.kept / name
        if not path.is_file():
            raise MessageGone(f"the body file of {message_id} is missing")
        return path

    def fits(self, name: str, size_bytes: int) -> bool:
        """Whether a file is there with the size its row says."""
        try:
            return (self.kept / name).stat().st_size == size_bytes
        except OSError:
            return False

    def strays(self, known: set[str]) -> list[Path]:
        """Files no row names: half-received mail, or appends that were not answered."""
        with mapped("list bodies"):
            waiting = [path for path in self.incoming.iterdir() if path.is_file()]
            kept = [path for shard in self.kept.iterdir() if shard.is_dir() for path in shard.iterdir()]
        return waiting + [path for path in kept if f"{path.parent.name}/{path.name}" not in known]


def chunks(path: Path) -> Iterator[bytes]:
    """A file in chunks of ``CHUNK_BYTES``; raises SpoolBroken."""
    with mapped("read body"), path.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            yield chunk


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
