"""The audit on disk: who did what on this node, one JSON line each, synced before the answer.

Files of at most ``FILE_BYTES`` in the spool's directory ``audit``, mode 0600; the newest ``FILES`` are kept.
Entries are chained (``node/policy/chain.py``).
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from node.policy.chain import START, sealed

FILE_BYTES: Final = 16 << 20
FILES: Final = 16
_log = logging.getLogger("audit")


class Audit:
    """Writes the entries of one node; used by one task at a time."""

    def __init__(self, directory: Path, node: str, tell: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        """Nothing is opened until the first entry. ``tell`` hears of each once it is durable, and must not block."""
        self._directory, self._node, self._tell = directory, node, tell
        self._number, self._before = 0, START
        self._file: Path | None = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry; durable when it returns. Blocks. Raises OSError."""
        if self._file is None:
            self._file = self._found()
        elif self._file.stat().st_size >= FILE_BYTES:
            self._file = self._begun()
        self._append(entry)

    def _append(self, entry: Mapping[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - found by whoever calls
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        whole = sealed({"at": at, "node": self._node, **entry}, self._number + 1, self._before)
        with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(json.dumps(whole).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._number, self._before = whole["n"], whole["hash"]
        if self._tell is not None:
            self._tell(whole)
        _log.info("%s", whole["event"], extra={"actor": whole.get("actor"), "entry": whole["n"], "hash": whole["hash"]})

    def _found(self) -> Path:
        """Go on where the chain ends, or begin it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = files_in(self._directory)
        if not there:
            return self._begun()
        self._file = there[-1]
        torn = _cut(self._file)
        last = _entry(self._file.read_bytes().rstrip(b"\n").rpartition(b"\n")[2])
        if last is None:  # not of our writing: what follows begins anew, and the check of the chain will say so
            self._number = int(self._file.stem.rpartition("-")[2])
            return self._begun()
        self._number, self._before = last
        if torn:
            self._append({"actor": "relay-node", "event": "a torn entry was taken out after a crash", "bytes": torn})
        return self._file

    def _begun(self) -> Path:
        """Name a new file, and let the oldest go."""
        there = files_in(self._directory)
        for old in there[: max(0, len(there) + 1 - FILES)]:
            old.unlink()
        return self._directory / f"audit-{self._number + 1:012d}.jsonl"


def files_in(directory: Path) -> list[Path]:
    """Give the audit's files, oldest first."""
    return sorted(directory.glob("audit-*.jsonl"))


def lines_of(files: list[Path]) -> Iterator[tuple[str, str]]:
    """Give every line with its place."""
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as opened:
            for number, line in enumerate(opened, 1):
                yield f"{file.name}:{number}", line.rstrip("\n")


def _cut(file: Path) -> int:
    """Take an unfinished line off the end: nobody was answered for it. Give its length."""
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(file, whole)
    return len(text) - whole


def _entry(line: bytes) -> tuple[int, str] | None:
    try:
        entry = json.loads(line)
        return int(entry["n"]), str(entry["hash"])
    except (ValueError, KeyError, TypeError):
        return None
