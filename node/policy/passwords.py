"""Password hashes: three forms, made and checked here only. The one file that knows argon2.

- ``$argon2id$v=19$m=…,t=…,p=…$salt$hash``: for passwords people chose.
- ``$pbkdf2-sha256$iterations$salt$hash``: the same where FIPS rules forbid argon2.
- ``$relay-fast$salt$hash``: salted BLAKE2b, only for generated passwords of 128 bits, which nobody can guess anyway.

Salt and hash in base64 without padding. Salts are handed in; nothing here is random or knows users.
"""

import base64
import binascii
import hashlib
import hmac
import re
from datetime import date
from enum import StrEnum

import msgspec
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

ARGON2_TIME = 3
ARGON2_KIB = 65_536
ARGON2_LANES = 4
MAX_ARGON2_KIB = 262_144
MAX_ARGON2_TIME = 20
PBKDF2_ITERATIONS = 600_000
MAX_PBKDF2_ITERATIONS = 10_000_000
SALT_BYTES = 16
HASH_BYTES = 32
PASSWORD_BYTES = 1024
_PERSON = b"m365-relay-fast"
_B64 = r"[A-Za-z0-9+/]{11,128}"
_ARGON2 = re.compile(rf"\$argon2id\$v=19\$m=(\d{{1,9}}),t=(\d{{1,9}}),p=(\d{{1,3}})\${_B64}\${_B64}")
_PBKDF2 = re.compile(rf"\$pbkdf2-sha256\$(\d{{1,9}})\$({_B64})\$({_B64})")
_FAST = re.compile(rf"\$relay-fast\$({_B64})\$({_B64})")


class PasswordHashError(ValueError):
    """A stored hash is malformed or too dear to check; the message never holds the hash."""


class HashKind(StrEnum):
    """The three forms."""

    ARGON2 = "argon2id"
    PBKDF2 = "pbkdf2-sha256"
    FAST = "relay-fast"


class StoredPassword(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted password of a user and the last day it counts (inclusive), if any."""

    hash: str
    until: date | None = None

    def counts(self, today: date) -> bool:
        """Whether the password may be used today."""
        return self.until is None or today <= self.until

    @property
    def slow(self) -> bool:
        """Whether checking takes memory and time and belongs in a thread."""
        return not self.hash.startswith("$relay-fast$")

    def __repr__(self) -> str:
        """Never show the hash (I7)."""
        return f"StoredPassword(until={self.until})"


def hash_argon2(password: bytes, salt: bytes) -> str:
    """Hash a password people chose; 64 MiB and some 100 ms (RFC 9106 §4, second recommendation)."""
    cost = (ARGON2_TIME, ARGON2_KIB, ARGON2_LANES)
    return hash_secret(password, salt, *cost, HASH_BYTES, Type.ID).decode("ascii")


def hash_pbkdf2(password: bytes, salt: bytes, iterations: int = PBKDF2_ITERATIONS) -> str:
    """Hash a password people chose, with FIPS-approved means."""
    digest = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    return f"$pbkdf2-sha256${iterations}${_encode(salt)}${_encode(digest)}"


def hash_fast(password: bytes, salt: bytes) -> str:
    """Hash a generated password of at least 128 random bits; a guessable one must never come here."""
    return f"$relay-fast${_encode(salt)}${_encode(_blake(password, salt))}"


def kind_of(stored: str) -> HashKind:
    """Name the form of a stored hash and check its costs. Raises PasswordHashError."""
    if found := _ARGON2.fullmatch(stored):
        memory_kib, rounds, lanes = map(int, found.groups())
        if not 8 * lanes <= memory_kib <= MAX_ARGON2_KIB or not 1 <= rounds <= MAX_ARGON2_TIME or lanes < 1:
            raise PasswordHashError(f"an argon2 hash may cost at most {MAX_ARGON2_KIB} KiB, {MAX_ARGON2_TIME} rounds")
        return HashKind.ARGON2
    if found := _PBKDF2.fullmatch(stored):
        if not 1 <= int(found[1]) <= MAX_PBKDF2_ITERATIONS:
            raise PasswordHashError(f"a PBKDF2 hash may cost at most {MAX_PBKDF2_ITERATIONS} iterations")
        _check_base64(found[2], found[3])
        return HashKind.PBKDF2
    if found := _FAST.fullmatch(stored):
        _check_base64(found[1], found[2])
        return HashKind.FAST
    raise PasswordHashError("not a hash made by `relayctl hash-password` ($argon2id$, $pbkdf2-sha256$ or $relay-fast$)")


def verify_password(stored: str, password: bytes) -> bool:
    """Whether the password fits the stored hash, compared in constant time. Raises PasswordHashError."""
    if len(password) > PASSWORD_BYTES:
        return False
    kind = kind_of(stored)
    if kind is HashKind.ARGON2:
        return _verify_argon2(stored, password)
    if kind is HashKind.PBKDF2:
        _, _, iterations, salt, digest = stored.split("$")
        made = hashlib.pbkdf2_hmac("sha256", password, _decode(salt), int(iterations))
    else:
        _, _, salt, digest = stored.split("$")
        made = _blake(password, _decode(salt))
    return hmac.compare_digest(made, _decode(digest))


def _verify_argon2(stored: str, password: bytes) -> bool:
    try:
        return bool(verify_secret(stored.encode("ascii"), password, Type.ID))
    except InvalidHashError as error:
        raise PasswordHashError("the argon2 hash is malformed") from error
    except VerificationError:
        return False


def _blake(password: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(password, digest_size=HASH_BYTES, salt=salt[:SALT_BYTES], person=_PERSON).digest()


def _encode(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _check_base64(*texts: str) -> None:
    for text in texts:
        _decode(text)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise PasswordHashError("salt or hash is not base64") from error


def token_digest(token: str) -> str:
    """Give the hash a token is known by: of 256 random bits one fast hash is enough; a lookup by it tells nothing."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
