"""Fetches the text of one configuration file from disk, bounded in size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.settings.errors import BadSettings

MAX_FILE_BYTES: Final = 4 << 20
"""4,000 entries of 1 KiB in one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file as read: its name as the administrator knows it, and its text."""

    name: str
    text: str


def read_source(path: Path) -> Source:
    """Read one file; BadSettings naming it when it is missing, a directory, too large or no text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise BadSettings([f"{path}: no such file; `relayctl init` writes one"]) from None
    except IsADirectoryError:
        raise BadSettings([f"{path}: is a directory, not a file"]) from None
    except OSError as error:
        raise BadSettings([f"{path}: {error.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadSettings([f"{path}:{line}:1: not text in UTF-8"]) from None
    except ValueError:
        raise BadSettings([f"{path}: not a usable file name"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise BadSettings([f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; is this the right file?"])
    return Source(name=str(path), text=text)
