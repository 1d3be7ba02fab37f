"""The ledger of a run: one JSON line per try, written as it happens, read back whole.

Loss of the last lines at a power cut is acceptable (the sender's machine is not what is rehearsed); a torn last line
is skipped.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.client import Result


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of one message."""

    id: str
    attempt: int
    result: Result
    at_ms: int
    reply: str = ""
    queue_id: str = ""
    recipients: tuple[str, ...] = ()
    """Accepted by the relay at RCPT."""
    took_ms: int = 0


class LedgerWriter:
    """Appends entries; use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open for appending."""
        self._file = path.open("ab", buffering=1 << 16)
        self._encode = msgspec.json.Encoder().encode

    def write(self, entry: Entry) -> None:
        """Append one line."""
        self._file.write(self._encode(entry) + b"\n")

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self._file.close()


def read_ledger(path: Path) -> Iterator[Entry]:
    """Give the entries of a ledger in order; raises RehearsalInputError naming the line."""
    decode = msgspec.json.Decoder(Entry).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # torn: the writer was killed
                try:
                    yield decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise RehearsalInputError(f"{path}:{number}: no ledger entry: {error}") from None
    except OSError as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error}") from error
