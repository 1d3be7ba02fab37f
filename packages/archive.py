"""Archives and checksums that come out the same for the same content."""

import gzip
import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path


def pack(directory: Path, to: Path, epoch: int) -> None:
    """Pack what lies in *directory* as a gzipped tar: sorted, root's, dated *epoch*."""
    with (
        to.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as packed,
    ):
        for entry in sorted(directory.rglob("*")):
            about = packed.gettarinfo(entry, str(entry.relative_to(directory)))
            about.uid = about.gid = 0
            about.uname = about.gname = "root"
            about.mtime = epoch
            about.mode = 0o755 if about.isdir() or about.mode & 0o100 else 0o644
            if about.isfile():
                with entry.open("rb") as content:
                    packed.addfile(about, content)
            else:
                packed.addfile(about)


def checksums(files: Iterable[Path], below: Path) -> str:
    """Give lines as ``sha256sum -c`` reads them, of names below a directory."""
    return "".join(f"{digest(file)}  {file.relative_to(below)}\n" for file in sorted(files))


def digest(file: Path) -> str:
    """Give a file's SHA-256 in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
