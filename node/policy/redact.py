"""Takes people and secrets out of what leaves the house for support: addresses become tokens, secrets nothing. Pure.

An address keeps its domain, and the same local part always becomes the same token within one bundle, so that a message
can still be followed; a key made for the bundle alone keeps anyone from trying names.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

_ADDRESS = re.compile(r"[^\s<>\"'(),:;=\[\]{}@/|\\`]{1,64}@([A-Za-z0-9][A-Za-z0-9.-]{0,253})")
_BEARER = re.compile(r"(?i)\b(bearer|basic|authorization[:=]|xoauth2|auth=)\s*[A-Za-z0-9+/=._~-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
_HASH = re.compile(r"\$[a-z][a-z0-9-]*\$[^\s\"'}\]]{16,}|\bsha256:[0-9a-f]{64}")
"""Of passwords (modular crypt format) and of tokens."""
_URL_USER = re.compile(r"(://)[^/\s@]*:[^/\s@]*@")
NAMED_SECRET: Final = re.compile(r"(?i)(password|secret|token|passwd|api_?key|authorization|private_?key|hash)$")
GONE: Final = "(left out)"
SHOWN_BYTES: Final = 5


class Redactor:
    """Redacts texts and values of one bundle."""

    def __init__(self, key: bytes) -> None:
        """``key``: random, for this bundle alone."""
        self._key = key

    def text(self, text: str) -> str:
        """Give a text without addresses of people, tokens, keys and passwords in URLs."""
        for pattern in (_PEM, _JWT, _HASH):
            text = pattern.sub(GONE, text)
        text = _BEARER.sub(lambda found: f"{found[1]} {GONE}", text)
        text = _URL_USER.sub(rf"\1{GONE}@", text)
        return _ADDRESS.sub(self._address, text)

    def value(self, value: Any) -> Any:
        """Give a value as JSON has it, redacted; what stands under a secret's name is left out unless it says where."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._under(str(key), each) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self.value(each) for each in value]
        return value

    def _under(self, name: str, value: Any) -> Any:
        return GONE if NAMED_SECRET.search(name) and isinstance(value, str) and value else self.value(value)

    def _address(self, found: re.Match[str]) -> str:
        local, _, domain = found[0].rpartition("@")
        digest = blake2b(local.lower().encode(), key=self._key, digest_size=SHOWN_BYTES).hexdigest()
        return f"u-{digest}@{domain}"
