"""A keyed hash for what must be recognisable and not readable in traces (operations §5: plain hashes are guessable)."""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

KEY_BYTES = 32
SHOWN_BYTES = 12


def digest_with(key: bytes) -> Callable[[str], str]:
    """Give the function from text to 24 hex digits."""
    return lambda text: blake2b(text.encode(), key=key, digest_size=SHOWN_BYTES).hexdigest()


def key_in(directory: Path, name: str = "trace-hash.key") -> bytes:
    """Give a key of this node's, making it at the first start (0600). One for the cluster comes with the cluster."""
    path = directory / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = os.urandom(KEY_BYTES)
        file.write(key)
    return key
