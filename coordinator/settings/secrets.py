"""Reads secrets where the configuration says they lie; a secret never shows itself by accident."""

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_IRWXO
from typing import NoReturn, final

from coordinator.settings.base import SecretRef
from coordinator.settings.errors import BadSettings

MAX_SECRET_BYTES = 256 << 10
"""A certificate chain with its key stays below 64 KiB."""


@final
class Secret:
    """A text that prints as stars; only :meth:`reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap *text*."""
        self._text = text

    def reveal(self) -> str:
        """Give the secret itself; call it where it is used and keep no copy."""
        return self._text

    def __repr__(self) -> str:
        """Hide it from tracebacks and logs."""
        return "Secret(***)"

    def __str__(self) -> str:
        """Hide it from messages."""
        return "***"

    def __format__(self, spec: str) -> str:
        """Hide it from f-strings, whatever format is asked for."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Allow it as a dictionary key."""
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy on disk or in another process would be out of our hands."""
        raise TypeError("a Secret cannot be pickled")


def secret_path(ref: SecretRef, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Give the file a secret lies in (for libraries that want a path); None for an environment variable.

    Raises BadSettings for a credential when systemd handed none over.
    """
    if ref.file is not None:
        return ref.file
    if ref.credential is None:
        return None
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise BadSettings(
            [f"credential {ref.credential}: CREDENTIALS_DIRECTORY is not set; systemd sets it for the service"]
        )
    return Path(directory) / ref.credential


def read_secret(ref: SecretRef, environment: Mapping[str, str] = os.environ) -> Secret:
    """Read the secret *ref* points at, without one newline at its end.

    Raises BadSettings naming the place (never the content) when it is missing, unreadable, empty or too large.
    """
    path = secret_path(ref, environment)
    if path is None:
        text = environment.get(ref.env or "")
        where = f"environment variable {ref.env}"
        if text is None:
            raise BadSettings([f"{where} is not set"])
    else:
        where = f"secret file {path}"
        text = _read(path, where)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise BadSettings([f"{where} is empty"])
    return Secret(text)


def secret_warnings(ref: SecretRef) -> list[str]:
    """Name what is doubtful about where a secret lies: open to everyone on the machine, or in the environment."""
    if ref.env is not None:
        return [f"secret in the environment variable {ref.env}: others can read it; for development only"]
    try:
        open_to_all = ref.file is not None and ref.file.stat().st_mode & S_IRWXO
    except OSError:
        return []
    return [f"secret file {ref.file} is open to every user of this machine; chmod o= it"] if open_to_all else []


def _read(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise BadSettings([f"{where}: {error.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError:
        raise BadSettings([f"{where} is not text in UTF-8"]) from None
    except ValueError:
        raise BadSettings([f"{where}: not a usable file name"]) from None
    if len(data) > MAX_SECRET_BYTES:
        raise BadSettings([f"{where} is larger than {MAX_SECRET_BYTES} bytes"])
    return text
