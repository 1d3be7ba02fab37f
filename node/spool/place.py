"""The spool's directory: ours alone, on a local file system, and locked against a second process.

It knows nothing of databases. Network file systems are refused because SQLite's write-ahead log needs shared memory
and locks that they do not give, and because a sync there promises less than a 250 does.
"""

import fcntl
import os
from pathlib import Path

from node.spool.errors import SpoolUnusable

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ncpfs"}
    | {"ocfs2", "gfs2", "virtiofs", "davfs", "coda", "orangefs"}
)
"""Types refused in /proc/self/mountinfo; every ``fuse.*`` besides: what is behind one cannot be known. Cluster file
systems and virtiofs are local to look at but shared underneath."""

MOUNTINFO = Path("/proc/self/mountinfo")


class Place:
    """One spool directory, while it is ours."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is touched yet."""
        self.directory = directory
        self._lock = -1

    def enter(self, *, allow_network: bool = False) -> None:
        """Make the directory (0700) and lock it; raises SpoolUnusable with the place and the reason."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise SpoolUnusable(f"spool {self.directory}: cannot be used: {error.strerror}") from error
        kind = file_system_of(self.directory.resolve(), _mounts())
        if not allow_network and (kind in NETWORK or kind.startswith("fuse")):
            raise SpoolUnusable(f"spool {self.directory}: on a {kind} file system; a spool needs a local disk")
        self._take_lock()

    def _take_lock(self) -> None:
        path = self.directory / "lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolUnusable(f"spool {self.directory}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise SpoolUnusable(f"spool {self.directory}: in use by process {holder}") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._lock = handle

    def leave(self) -> None:
        """Give the lock back; idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _mounts() -> str:
    try:
        return MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def file_system_of(path: Path, mountinfo: str) -> str:
    """Type of the file system ``path`` is on, from the text of mountinfo (proc(5)); empty if it cannot be told."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        # Later lines win at the same point: they are mounted on top.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ", 1)[0]
    return kind
