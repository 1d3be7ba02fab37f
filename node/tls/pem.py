"""Certificates with their keys into TLS contexts, and how to see that their files changed. Shared by both sides."""

import os
import ssl
import tempfile
from pathlib import Path


def load_pem(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load what is in memory: OpenSSL takes files only; the key goes through one in memory, never on disk.

    Raises OSError, ssl.SSLError, ValueError.
    """
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else None
    with os.fdopen(descriptor, "wb") if descriptor is not None else tempfile.TemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=no_password)


def no_password() -> str:
    """Keep an encrypted key from making the process ask on its terminal: raises ValueError."""
    raise ValueError("the key is encrypted; only unencrypted keys are taken, by file or credential")


def stamp(file: Path) -> tuple[int, int, int]:
    """Give what changes with a file's content; zeros for one that cannot be seen."""
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
