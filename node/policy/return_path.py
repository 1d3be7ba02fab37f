"""The keyed return path: ``relay-bounces+<token>@domain`` names one message, and nobody else can make one.

The token is the queue id and a keyed hash of it, in lower-case base32, so that it survives servers that fold case. It
proves that a report was sent to an address we gave out; who read it there (every recipient of the message, and the
servers between) knows it too, so it opens nothing but this message's own outstanding deliveries. Source: RFC 5321
§4.5.3.1.1 (64 octets of local part), RFC 5233 (plus addressing), operations M8.
"""

import base64
import binascii
import hmac
import re
import uuid
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from node.policy.addresses import LOCAL_BYTES, domain_of

KEY_BYTES: Final = 32
KEY_LEAST_CHARS: Final = 32
"""A configured key is text of at least so many characters: 128 bits even if it is only hex."""
_ID_BYTES: Final = 16
_MAC_BYTES: Final = 9
TOKEN_CHARS: Final = (_ID_BYTES + _MAC_BYTES) * 8 // 5
BASE_CHARS_MAX: Final = LOCAL_BYTES - TOKEN_CHARS - 1
"""Longest local part of the address before the plus sign."""
_PURPOSE: Final = b"relay-return"
_TOKEN: Final = re.compile(rf"[a-z2-7]{{{TOKEN_CHARS}}}", re.ASCII)

PATHS: Final = frozenset({"connector", "direct-send", "acs", "smarthost"})
"""Paths on which the envelope sender is ours to choose: direct send takes any of an accepted domain (facts m365 §1.1 C,
operations M8). Elsewhere it must be a mailbox, or an address tied to the account."""


class Tokens:
    """Makes and reads tokens. The first key makes; all read, so that a key can be changed while mail is out."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """Take the keys, newest first; at least one."""
        self._keys = [blake2b(key, digest_size=KEY_BYTES, person=_PURPOSE).digest() for key in keys]
        if not self._keys:
            raise ValueError("a return path needs a key")

    def make(self, message_id: str) -> str:
        """Give the token of a message; raises ValueError for an id that is no UUID."""
        raw = uuid.UUID(message_id).bytes
        return base64.b32encode(raw + _mac(self._keys[0], raw)).decode("ascii").lower()

    def read(self, token: str) -> str:
        """Give the message's id, or an empty text for a token none of the keys made."""
        folded = token.lower()
        if _TOKEN.fullmatch(folded) is None:
            return ""
        try:
            raw = base64.b32decode(folded.upper())
        except binascii.Error:  # pragma: no cover - the pattern lets nothing through that it cannot read
            return ""
        message, mac = raw[:_ID_BYTES], raw[_ID_BYTES:]
        known = [hmac.compare_digest(mac, _mac(key, message)) for key in self._keys]
        return str(uuid.UUID(bytes=message)) if any(known) else ""


def _mac(key: bytes, message: bytes) -> bytes:
    return blake2b(message, key=key, digest_size=_MAC_BYTES).digest()


class ReturnAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that come back here: ``relay-bounces@contoso.com`` for each tenant that has one. Knows no key."""

    by_tenant: Mapping[str, str]
    """Canonical address before the plus sign, by tenant."""

    def base_of(self, address: str) -> str:
        """Give the base an address belongs to, itself or with something behind a plus sign; empty: it is none."""
        if not self.by_tenant:
            return ""
        local, _, domain = address.lower().rpartition("@")
        bare = f"{local.partition('+')[0]}@{domain}"
        return bare if bare in self.by_tenant.values() else ""

    def token_of(self, address: str) -> str:
        """Give what stands behind the plus sign of such an address; empty if nothing does, or it is none."""
        if not self.base_of(address):
            return ""
        return address.lower().rpartition("@")[0].partition("+")[2]


NO_ADDRESSES: Final = ReturnAddresses(by_tenant={})


class ReturnPath:
    """Which envelope sender a message leaves with."""

    def __init__(self, addresses: ReturnAddresses, tokens: Tokens) -> None:
        """Keep both; ``addresses`` without a tenant leaves that tenant's mail as it is."""
        self.addresses = addresses
        self._tokens = tokens

    def sender(self, message_id: str, mail_from: str, tenant: str, path: str) -> str:
        """Give the envelope sender: keyed where the path takes one, else as it is.

        The null sender stays null (RFC 5321 §4.5.5): an automatic answer must not be answered.
        """
        base = self.addresses.by_tenant.get(tenant, "")
        if not base or not mail_from or path not in PATHS:
            return mail_from
        local, _, domain = base.rpartition("@")
        return f"{local}+{self._tokens.make(message_id)}@{domain}"

    def read(self, address: str) -> str:
        """Give the id of the message a return address was made for; empty if it is none, or forged."""
        return self._tokens.read(self.addresses.token_of(address))


def addresses_of(base: str | None, domains: Mapping[str, Iterable[str]]) -> ReturnAddresses:
    """Give every tenant the return address at its own domain: others' mail may not leave by its connector (F3).

    ``base`` is the configured address; a tenant that does not own its domain gets the same local part at its first
    domain. ``domains``: accepted domains in lower case, by tenant.
    """
    if not base:
        return NO_ADDRESSES
    local, wanted = base.lower().rpartition("@")[0], domain_of(base).lower()
    found: dict[str, str] = {}
    for tenant, owned in domains.items():
        names = [name.lower() for name in owned if not name.startswith("*.")]
        if wanted in names:
            found[tenant] = f"{local}@{wanted}"
        elif names:
            found[tenant] = f"{local}@{names[0]}"
    return ReturnAddresses(by_tenant=found)
