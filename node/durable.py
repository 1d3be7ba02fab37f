"""Small files that count only once they are on disk: written whole under a new name, synced, renamed. Blocks."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def write_durably(path: Path, data: bytes) -> None:
    """Write a file, readable for this user only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names given or taken there durable. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_table(path: Path, kind: type[T], otherwise: T) -> tuple[T, str]:
    """Give what a file holds, *otherwise* if there is none; one that cannot be read is set aside and said why."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind), ""
    except FileNotFoundError:
        return otherwise, ""
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        path.replace(path.with_suffix(".unreadable"))
        return otherwise, f"{path} cannot be read and is set aside: {error}"
