"""Writes a small file whole or not at all, readable for owner and group only."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from node.cli.errors import UsageError
from node.durable import sync_directory

MODE = 0o640


def write_whole(path: Path, text: str, *, replace: bool = False) -> None:
    """Write *text* to *path*: complete and synced under another name first, then moved into place.

    The file belongs to the directory's group, so that the service can read it. Raises UsageError when it exists
    (unless *replace*) or cannot be written.
    """
    try:
        _write(path, text, replace=replace)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; nothing was changed") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or 'cannot be written'}") from None


def _write(path: Path, text: str, *, replace: bool) -> None:
    directory = path.absolute().parent
    handle, name = tempfile.mkstemp(dir=directory, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), MODE)
            with suppress(PermissionError):  # only root may give a file to another group; then it stays ours
                os.fchown(file.fileno(), -1, directory.stat().st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            path.hardlink_to(name)  # unlike a rename this fails when the name is taken
        sync_directory(directory)
    finally:
        Path(name).unlink(missing_ok=True)
