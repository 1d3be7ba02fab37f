"""What both stores need to tell how a message stands, and to take over its body."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from node.spool.bodies import mapped
from node.spool.changed import progress_of
from node.spool.contract import BodyFile
from node.spool.paired import Progress
from node.spool.work import Entry


def progressed(first: Sequence[Entry], now: Iterable[Entry]) -> tuple[Progress, ...]:
    """Recipients that are not as they were when the message came in."""
    return tuple(progress_of(entry) for entry in now if entry != first[entry.index])


def share(body: bytes | Path, target: Path) -> BodyFile:
    """Put a body at a place of its own: a link where that can be, else a copy. Raises SpoolFull, SpoolBroken."""
    with mapped("share body"):
        if isinstance(body, bytes):
            target.write_bytes(body)
        else:
            with suppress(FileNotFoundError):
                target.unlink()
            try:
                os.link(body, target)
            except OSError:
                shutil.copyfile(body, target)
        return BodyFile(path=str(target), size_bytes=target.stat().st_size)
