"""Fetches the texts of the configuration from disk: the main file and the client files it points to.

Bounded in size and number.
"""

from pathlib import Path

from coordinator.settings import sources
from coordinator.settings.errors import BadSettings
from coordinator.settings.sources import MAX_FILE_BYTES, Source
from node.errors import ConfigurationError

__all__ = ("MAX_CLIENT_FILES", "MAX_FILE_BYTES", "Source", "client_files", "read_source")
MAX_CLIENT_FILES = 5000


def read_source(path: Path) -> Source:
    """Read one file; ConfigurationError naming it when it is missing, a directory, too large or no text."""
    try:
        return sources.read_source(path)
    except BadSettings as error:
        raise ConfigurationError(error.faults) from None


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
