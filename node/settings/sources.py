"""Fetches the texts of the configuration from disk: the main file and the client files it points to.

The only reader of configuration files; bounded in size and number.
"""

from dataclasses import dataclass
from pathlib import Path

from node.errors import ConfigurationError

MAX_FILE_BYTES = 4 << 20
"""4,000 clients of 1 KiB in one file."""
MAX_CLIENT_FILES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file as read: its name as the administrator knows it, and its text."""

    name: str
    text: str


def read_source(path: Path) -> Source:
    """Read one file; ConfigurationError naming it when it is missing, a directory, too large or no text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file; `relayctl init` writes one"]) from None
    except IsADirectoryError:
        raise ConfigurationError([f"{path}: is a directory, not a file"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([f"{path}:{line}:1: not text in UTF-8"]) from None
    except ValueError:
        raise ConfigurationError([f"{path}: not a usable file name"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError([f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; is this the right file?"])
    return Source(name=str(path), text=text)


def client_files(directory: Path) -> list[Path]:
    """List the client files of a directory by name; ConfigurationError when it cannot be listed."""
    try:
        found = sorted(
            entry
            for entry in directory.iterdir()
            if entry.suffix in {".yaml", ".yml"} and not entry.name.startswith(".")
        )
    except OSError as error:
        raise ConfigurationError([f"{directory}: {error.strerror or 'cannot be listed'}"]) from None
    except ValueError:
        raise ConfigurationError([f"{directory}: not a usable directory name"]) from None
    if len(found) > MAX_CLIENT_FILES:
        raise ConfigurationError([f"{directory}: more than {MAX_CLIENT_FILES} client files"])
    return found
