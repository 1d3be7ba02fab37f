"""Passwords on the command line: reads them without echo, makes random ones, prints hashes; never takes an argument."""

import base64
import getpass
import secrets
import sys
from typing import Annotated

import typer

from node.cli.common import JsonOption, show_json
from node.cli.errors import UsageError, explained
from node.policy.passwords import PASSWORD_BYTES, SALT_BYTES, hash_argon2, hash_fast, hash_pbkdf2

RANDOM_BYTES = 16
"""128 bits: nobody guesses that, so one fast hash is enough (operations §2)."""
FipsOption = Annotated[bool, typer.Option("--fips", help="Use PBKDF2 where rules forbid argon2 and BLAKE2.")]


@explained
def hash_password(fips: FipsOption = False, as_json: JsonOption = False) -> None:
    """Hash a password for ``passwords: [{hash: …}]``; asks for it, or reads one line from standard input."""
    password = _ask()
    salt = secrets.token_bytes(SALT_BYTES)
    made = hash_pbkdf2(password, salt) if fips else hash_argon2(password, salt)
    if as_json:
        show_json({"hash": made})
    else:
        typer.echo(made)


def random_password() -> str:
    """Make a password of 128 random bits, in small letters and digits that are easily typed (RFC 4648 §6)."""
    return base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode("ascii").rstrip("=").lower()


def hash_random(password: str, *, fips: bool) -> str:
    """Hash a password made by :func:`random_password`; others are too weak for the fast form."""
    salt = secrets.token_bytes(SALT_BYTES)
    return hash_pbkdf2(password.encode(), salt) if fips else hash_fast(password.encode(), salt)


def _ask() -> bytes:
    if sys.stdin.isatty():
        first = getpass.getpass("Password: ")
        if first != getpass.getpass("Again: "):
            raise UsageError("the two passwords differ")
        password = first.encode()
    else:
        password = sys.stdin.buffer.readline(PASSWORD_BYTES + 3).removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise UsageError("no password given")
    if len(password) > PASSWORD_BYTES or b"\0" in password:
        raise UsageError(f"a password has at most {PASSWORD_BYTES} bytes and no NUL")
    return password
