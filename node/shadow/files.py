"""Bodies too large for the database: pieces put together under ``incoming``, then kept as the spool keeps its own."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from node.shadow.entries import Copy, Piece
from node.shadow.errors import Malformed
from node.spool.bodies import INLINE_BYTES, Bodies, mapped
from node.spool.contract import BodyFile

Files = dict[str, tuple[str, int]]
"""Name and size of kept files, by message."""


class BodyFiles:
    """The files of one copy store. Names carry the pairing's label: one message may come under several epochs."""

    def __init__(self, directory: Path) -> None:
        """Name the folders; ``prepare`` makes them."""
        self._bodies = Bodies(directory)

    def prepare(self) -> None:
        """Make the folders. Raises SpoolBroken, SpoolFull."""
        self._bodies.prepare()

    def add(self, label: str, pieces: Iterable[Piece]) -> None:
        """Write pieces, durably. Raises SpoolBroken, SpoolFull, Malformed when one before is missing."""
        touched: set[Path] = set()
        for piece in pieces:
            path = self._bodies.path_for(f"{label}-{piece.message_id}")
            with mapped("write piece"):
                _write(path, piece)
            touched.add(path)
        for path in touched:
            with mapped("sync piece"), path.open("rb") as handle:
                os.fsync(handle.fileno())

    def keep(self, label: str, copies: Iterable[Copy]) -> Files:
        """Keep the bodies that are files; ones whose pieces are not all there are left out. Raises as above."""
        kept: Files = {}
        for copy in copies:
            name = f"{label}-{copy.message_id}"
            path = self._bodies.path_for(name)
            if copy.pieced:
                if path.is_file() and path.stat().st_size == copy.size_bytes:
                    whole = BodyFile(path=str(path), size_bytes=copy.size_bytes)
                    kept[copy.message_id] = self._bodies.take(name, whole), copy.size_bytes
            elif len(copy.body) > INLINE_BYTES:
                kept[copy.message_id] = self._bodies.take(name, copy.body), copy.size_bytes
        return kept

    def share(self, label: str, bodies: Iterable[tuple[str, bytes | Path]]) -> Files:
        """Keep bodies of this node's own spool; a file is linked. Raises SpoolBroken, SpoolFull."""
        kept: Files = {}
        for message_id, body in bodies:
            name = f"{label}-{message_id}"
            if isinstance(body, bytes):
                kept[message_id] = self._bodies.take(name, body), len(body)
                continue
            path = self._bodies.path_for(name)
            with mapped("share body"):
                link(body, path)
                size_bytes = path.stat().st_size
            kept[message_id] = self._bodies.take(name, BodyFile(path=str(path), size_bytes=size_bytes)), size_bytes
            # A file renamed to another name of itself stays under both.
            path.unlink(missing_ok=True)
        return kept

    def remove(self, names: list[str]) -> None:
        """Unlink files whose rows are gone."""
        self._bodies.remove(names)

    def drop_pieces(self, label: str, message_ids: Iterable[str] | None = None) -> None:
        """Forget what was not put together, of some messages or of all."""
        if message_ids is None:
            found = list(self._bodies.incoming.glob(f"{label}-*"))
        else:
            found = [self._bodies.incoming / f"{label}-{each}" for each in message_ids]
        for path in found:
            with suppress(OSError):
                path.unlink()

    def find(self, message_id: str, name: str) -> Path:
        """Give a body's file; raises MessageGone."""
        return self._bodies.find(message_id, name)

    def fits(self, name: str, size_bytes: int) -> bool:
        """Whether a file is there with its size."""
        return self._bodies.fits(name, size_bytes)

    def strays(self, known: set[str]) -> list[Path]:
        """Files no row names."""
        return self._bodies.strays(known)


def link(source: Path, target: Path) -> None:
    """Make *target* the same file, or a copy on another file system; raises OSError."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write(path: Path, piece: Piece) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(path, flags, 0o600)
    try:
        if os.fstat(handle).st_size < piece.start:
            raise Malformed("a piece before it has not come")
        os.ftruncate(handle, piece.start)  # a body that is begun anew replaces what there was
        done = 0
        while done < len(piece.data):
            done += os.pwrite(handle, piece.data[done:], piece.start + done)
    finally:
        os.close(handle)
