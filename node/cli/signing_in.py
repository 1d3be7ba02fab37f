"""A sign-in kept on this machine: who, where, and a token that ends by itself; readable by its owner alone."""

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from node.errors import PermanentError

FILE: Final = "login.json"
FOLDER: Final = "m365-relay"
MODE: Final = 0o600


class NotSignedIn(PermanentError):  # noqa: N818 - a state of affairs
    """There is no sign-in, or it has ended, or its file cannot be believed."""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    url: str
    """The node's administration port: ``https://relay-a.corp:8443``."""
    token: str
    name: str
    role: str
    until_ms: int
    ca: str = ""
    """PEM file the node's certificate is verified with besides the system's authorities."""


def place(environment: Mapping[str, str] | None = None) -> Path:
    """Give where it lies: below ``XDG_STATE_HOME``, else ``~/.local/state``."""
    known = os.environ if environment is None else environment
    base = known.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path(known.get("HOME", "/")) / ".local" / "state") / FOLDER / FILE


def keep(signed: SignedIn) -> Path:
    """Write it, whole or not at all, never readable by others. Raises NotSignedIn."""
    file = place()
    beside = file.with_name(f".{FILE}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.encode(signed))
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise NotSignedIn(f"{file}: the sign-in cannot be kept: {error.strerror}") from None
    return file


def kept() -> SignedIn | None:
    """Read it; None: there is none. Raises NotSignedIn where it has ended or others could read it."""
    file = place()
    try:
        with file.open("rb") as lying:
            about, data = os.fstat(lying.fileno()), lying.read(1 << 16)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotSignedIn(f"{file}: {error.strerror}") from None
    if about.st_mode & 0o077 or about.st_uid != os.getuid():
        raise NotSignedIn(f"{file}: others could read or write it; sign in anew")
    try:
        found = msgspec.json.decode(data, type=SignedIn)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotSignedIn(f"{file}: this is no sign-in; sign in anew") from None
    if found.until_ms <= time.time_ns() // 1_000_000:
        raise NotSignedIn(f"the sign-in at {found.url} has ended: relayctl login {found.url}")
    return found


def forget() -> None:
    """Take it away; nothing happens if there is none."""
    place().unlink(missing_ok=True)


def opened_in(answer: Any, url: str, ca: str) -> SignedIn:
    """Read what the node gave for a code. Raises NotSignedIn."""
    try:
        return msgspec.convert({**answer, "url": url, "ca": ca}, SignedIn)
    except (msgspec.ValidationError, TypeError):
        raise NotSignedIn(f"{url}: the answer is no sign-in: {json.dumps(answer)[:80]}") from None
