"""An operator's own word, for nodes he did not speak to: signed with a key that only his token can make.

A node that carries a request on cannot make it up, change it, aim it at another node or say it again later; and the
node that hears it learns nothing it could use itself, as it would from the token. Ed25519 (RFC 8032). Pure.
"""

from hashlib import blake2b, sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 16
ANY_NODE: Final = "*"
"""Instead of a node's name: whoever hears it is meant."""
_PERSON: Final = b"relay-operator"
_PURPOSE: Final = b"m365-relay: an operator's order, 1"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What goes with an order."""

    key: bytes
    """Public key."""
    at_ms: int
    """When it was given, by the clock of the node that was asked."""
    nonce: bytes
    signature: bytes
    id_token: str = ""
    """Of somebody who signed in at a provider: it names the key."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it goes to another node."""

    body: bytes
    proof: Proof


class Credential:
    """What somebody proves with who he is; for the time he is known, in memory only. Shows nothing of itself."""

    __slots__ = ("_private", "id_token", "key")

    def __init__(self, private: Ed25519PrivateKey, id_token: str = "") -> None:
        """``id_token``: the provider's, whose nonce names the key (``nonce_of``)."""
        self._private, self.id_token = private, id_token
        self.key = private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        """Nothing secret."""
        return "<credential>"

    def prove(self, statement: bytes, now_ms: int, nonce: bytes) -> Proof:
        """Sign a statement; ``nonce``: NONCE_BYTES at random."""
        signature = self._private.sign(_signed(statement, now_ms, nonce))
        return Proof(key=self.key, at_ms=now_ms, nonce=nonce, signature=signature, id_token=self.id_token)


def of_token(token: str) -> Credential:
    """Give the credential that lies in a token; its strength is the token's."""
    seed = blake2b(token.encode(errors="surrogateescape"), digest_size=KEY_BYTES, person=_PERSON).digest()
    return Credential(Ed25519PrivateKey.from_private_bytes(seed))


def nonce_of(key: bytes) -> str:
    """Give the nonce of a sign-in, by which the provider's ID token names the key."""
    return sha256(_PERSON + key).hexdigest()


def statement(cluster: str, node: str, route: str, body: bytes) -> bytes:
    """Say what is ordered: in which cluster, of which node, by which route."""
    whole = sha256()
    for part in (_PURPOSE, cluster.encode(), node.encode(), route.encode(), body):
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.digest()


def holds(proof: Proof, said: bytes) -> bool:
    """Whether a proof is of this statement, by whoever has the key it names."""
    if len(proof.key) != KEY_BYTES or len(proof.nonce) != NONCE_BYTES or not 0 <= proof.at_ms < 1 << 62:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(proof.key).verify(proof.signature, _signed(said, proof.at_ms, proof.nonce))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(said: bytes, at_ms: int, nonce: bytes) -> bytes:
    return said + at_ms.to_bytes(8, "big") + nonce
