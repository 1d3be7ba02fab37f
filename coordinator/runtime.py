"""What a process leaves on disk for its next life: the lease it holds, and which cluster it knew.

``HeldLease`` lives in the runtime directory (gone with the machine's boot) and is locked while its process lives, so
a restarted process may revoke its predecessor's lease, and a second one beside a living one refuses to start.
``KnownCluster`` lives in the state directory: a cluster replaced or restored from an old copy is refused (§5).
"""

import fcntl
import os
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.store.contract import Health

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class AlreadyRunning(CoordinatorError):  # noqa: N818 - a state of affairs
    """Another process of this role lives on this host."""

    temporary = False


class ForeignCluster(CoordinatorError):  # noqa: N818 - as above
    """The store is another one than last time, or an older copy of it: an operator must say what is true."""

    temporary = False


def boot_id() -> str:
    """Give the kernel's id of this boot."""
    return BOOT_ID.read_text().strip()


class _Held(msgspec.Struct, frozen=True, kw_only=True):
    lease: int
    boot_id: str


class _Known(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    cluster_id: int
    revision: int
    back: str = ""
    """What was seen when the store went back while it was in use."""


class HeldLease:
    """A locked file with the present lease."""

    def __init__(self, path: Path, boot: str) -> None:
        """Lock the file; raises AlreadyRunning while its process lives."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._boot = boot
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise AlreadyRunning(f"{path} is locked by a running process") from None

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock."""
        self.close()

    def read(self) -> int:
        """Give the lease of the life before in this boot; 0 when there was none."""
        try:
            held = msgspec.json.decode(os.pread(self._file, 4096, 0), type=_Held)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0
        return held.lease if held.boot_id == self._boot else 0

    def write(self, lease: int) -> None:
        """Remember a lease before it is used; 0 forgets."""
        data = msgspec.json.encode(_Held(lease=lease, boot_id=self._boot))
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))

    def close(self) -> None:
        """Unlock."""
        os.close(self._file)


class KnownCluster:
    """The cluster's id and the newest revision seen, kept over restarts."""

    def __init__(self, path: Path) -> None:
        """Read what was known; a file that cannot be read counts as a cluster unknown to us."""
        self._path = path
        self._known: _Known | None = None
        self._written: _Known | None = None
        self._changing, self._writing = Lock(), Lock()
        if path.exists():
            try:
                self._known = self._written = msgspec.json.decode(path.read_bytes(), type=_Known)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ForeignCluster(
                    f"{path} cannot be read: remove it only if the store is known to be right"
                ) from None

    def check(self, answers: tuple[Health, ...], *, reached: int = 0) -> None:
        """Compare the members' answers with what is known and remember the newest; ``reached``: of an ordered answer.

        Raises ForeignCluster. A single member behind the known revision lags; all of them behind are an old copy.
        """
        if not answers:
            return
        cluster_id = self.same(answers)
        newest = max(reached, *(answer.revision for answer in answers))
        if newest < self.revision:
            raise ForeignCluster(f"the store is at revision {newest}, last time it was at {self.revision}")
        self._keep(_Known(cluster_id=cluster_id, revision=newest))

    def same(self, answers: tuple[Health, ...]) -> int:
        """Give the id of the one cluster that answers; raises ForeignCluster unless it is the one known."""
        ids = {answer.cluster_id for answer in answers}
        if len(ids) > 1:
            raise ForeignCluster(
                "the endpoints belong to different clusters: " + ", ".join(f"{i:x}" for i in sorted(ids))
            )
        (cluster_id,) = ids
        if self._known is not None and cluster_id != self._known.cluster_id:
            raise ForeignCluster(f"the store is cluster {cluster_id:x}, last time it was {self._known.cluster_id:x}")
        if self._known is not None and self._known.back:
            raise ForeignCluster(self._refusal(self._known.back))
        return cluster_id

    @property
    def revision(self) -> int:
        """Give the newest revision known; 0 of a cluster unknown to us."""
        return self._known.revision if self._known is not None else 0

    def note(self, revision: int) -> None:
        """Write down how far the cluster has come since it was checked, from a thread: it waits for the disk.

        Raises OSError.
        """
        with self._changing:
            if self._known is not None and revision > self._known.revision:
                self._known = msgspec.structs.replace(self._known, revision=revision)
        self._write()

    def went_back(self, what: str) -> str:
        """Refuse the cluster from now on, over restarts too once noted; gives what to tell the operator."""
        with self._changing:
            if self._known is not None and not self._known.back:
                self._known = msgspec.structs.replace(self._known, back=what)
        return self._refusal(what)

    def _refusal(self, what: str) -> str:
        return f"{what}; if it is the truth now, remove {self._path} and start again"

    def _keep(self, known: _Known) -> None:
        with self._changing:
            self._known = known
        self._write()

    def _write(self) -> None:
        with self._writing:
            known = self._known
            if known is None or known == self._written:
                return
            fresh = self._path.with_suffix(".new")
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(known))
                file.flush()
                os.fsync(file.fileno())  # a file left empty by a loss of power would refuse every start
            fresh.replace(self._path)
            self._written = known
