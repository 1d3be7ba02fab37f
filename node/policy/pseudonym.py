"""Keyed hashes in place of mail addresses: the same address always gives the same one. Pure.

Keyed, because plain hashes of addresses are guessable (operations §5). The domain stays: ``ann@x.example`` becomes
``h-<24 hex digits>@x.example``, an address like any other for whoever sorts, searches or prints it.
"""

import re
from hashlib import blake2b
from typing import Final

HASH_BYTES: Final = 12
"""96 bits: a hundred million addresses collide with a probability below 1e-12."""
KEY_LEAST_CHARS: Final = 16
_PERSON: Final = b"relay-history"
_MADE: Final = re.compile(r"h-[0-9a-f]{24}", re.ASCII)
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\U0010ffff-]{1,200}"
_QUOTED: Final = r'"(?:[^"\\]|\\.){0,200}"'
_ADDRESS: Final = re.compile(rf"(?:{_QUOTED}|{_ATOM})@(?:\[[^\]\s]{{1,60}}\]|[\w.-]{{1,253}})")
"""Rather too much than too little: what stands before an address without a space becomes part of it."""


class Pseudonyms:
    """The keyed hashes of one cluster."""

    def __init__(self, key: bytes) -> None:
        """``key``: any length; the same on every node, or a search finds on one only what that one hashed."""
        self._key = blake2b(key, digest_size=32, person=_PERSON).digest()

    def address(self, address: str) -> str:
        """Give the keyed hash of an address, whatever its case; of what is one already, and of nothing, itself."""
        local, _, domain = address.rpartition("@")
        if not address or _MADE.fullmatch(local):
            return address
        digest = blake2b(f"{local}@{domain}".lower().encode(errors="replace"), key=self._key, digest_size=HASH_BYTES)
        return f"h-{digest.hexdigest()}@{domain.lower()}"

    def text(self, text: str) -> str:
        """Give running text with a hash in place of every address in it."""
        return _ADDRESS.sub(self._found, text) if "@" in text else text

    def _found(self, found: re.Match[str]) -> str:
        whole = found[0]
        kept = whole.rstrip(".-")  # the full stop of a sentence is none of the domain
        return self.address(kept) + whole[len(kept) :]
