"""Histories as files: written line by line as things happen, read back whole. Judges nothing."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from node.rehearsal.checking.records import VERSION, Any, History
from node.rehearsal.errors import RehearsalInputError


class HistoryWriter:
    """Appends records to a new file. Each is with the operating system at once: a killed writer loses none."""

    def __init__(self, path: Path, by: str, at_ms: float) -> None:
        """Begin a file, replacing an older one, with its first line. Raises OSError."""
        self._file = path.open("wb", buffering=0)
        self._encode = msgspec.json.Encoder().encode
        self.write(History(at_ms=at_ms, by=by))

    def write(self, record: Any) -> None:
        """Append one line."""
        self._file.write(self._encode(record) + b"\n")

    def close(self) -> None:
        """Close."""
        self._file.close()


def read_history(path: Path) -> Iterator[Any]:
    """Give the records of a file in order; a torn last line is skipped. Raises RehearsalInputError naming the line."""
    decode = msgspec.json.Decoder(Any).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise RehearsalInputError(f"{path}:{number}: no record of a history: {error}") from None
                if number == 1:
                    _is_ours(path, record)
                yield record
    except OSError as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error.strerror}") from error


def _is_ours(path: Path, first: Any) -> None:
    if not isinstance(first, History):
        raise RehearsalInputError(f"{path}:1: a history begins with a line that says who wrote it")
    if first.version != VERSION:
        raise RehearsalInputError(f"{path}:1: form {first.version} of a history; this is made for {VERSION}")
