"""A spool whose journal holds what its database does not, and the state of its disk at a moment."""

import shutil
from pathlib import Path

from node.spool import accepting, pending
from node.spool.journal import scan
from node.spool.segments import Segments


def put_off(monkeypatch) -> None:
    """Let what is pending wait until somebody asks for it, and the journal's files be as they are meanwhile."""
    monkeypatch.setattr(accepting, "IDLE_S", 1_000.0)
    monkeypatch.setattr(pending, "APPLY_AFTER_S", 1_000.0)
    monkeypatch.setattr(pending, "APPLY_MESSAGES", 1_000_000)
    monkeypatch.setattr(pending, "APPLY_BYTES", 1 << 40)


def cut(directory: Path, target: Path) -> Path:
    """What a kill would leave: a copy of everything as the kernel shows it now."""
    shutil.copytree(directory, target)
    return target


def scans(directory: Path):
    """Every segment in use."""
    found = Segments(directory).load()
    return [one for one in found if one.header is not None]


def places(path: Path) -> list[tuple[int, int]]:
    """Start and end of every batch of a segment, in order."""
    data = path.read_bytes()
    found, at = [], 4_096
    for batch in scan(path.name, data).batches:
        size = -(-(36 + len(batch.payload)) // 4_096) * 4_096
        found.append((at, at + size))
        at += size
    return found
