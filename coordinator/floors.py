"""The highest sequence seen of each wish, kept over a restart: an older wish put back into the store stays ignored."""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

_log = logging.getLogger(__name__)


def read_floors(path: Path) -> dict[str, int]:
    """Give what was seen before; a file that cannot be read is said and counts as nothing seen."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.error("%s cannot be read, wishes seen before are forgotten: %s", path, error)
        return {}


def write_floors(path: Path, floors: Mapping[str, int]) -> None:
    """Keep what was seen; a disk that refuses must not stop the watch."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(dict(floors)))
        fresh.replace(path)
    except OSError as error:
        _log.error("%s cannot be written: %s", path, error)
