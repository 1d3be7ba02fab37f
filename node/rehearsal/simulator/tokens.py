"""Signed tokens: made for the simulated Entra, checked by the simulated Exchange; client assertions verified.

JSON Web Tokens by hand (RFC 7515, RFC 7519): RS256 to sign, RS256 and PS256 to verify. Reads no clock: ``now_s`` is
handed in as seconds since the epoch.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from node.rehearsal.errors import RehearsalInputError

_RS256 = padding.PKCS1v15()
_PS256 = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
_PADDINGS: Mapping[str, padding.AsymmetricPadding] = {"RS256": _RS256, "PS256": _PS256}


class TokenRefusedError(Exception):
    """The token or assertion does not hold; the text says why, for the statistics."""


class Signer:
    """One signing key, new in every run: tokens of another simulator are refused."""

    def __init__(self) -> None:
        """Make the key."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key()
        self._public = public
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _encode(hashlib.sha256(der).digest())[:27]

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Give the compact form of a token with these claims."""
        header = {"typ": "JWT", "alg": "RS256", "kid": self.key_id}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), _RS256, hashes.SHA256())
        return f"{signed}.{_encode(signature)}"

    def verify(self, token: str) -> dict[str, Any]:
        """Give the claims of a token this signer made; raises TokenRefusedError. Expiry is the caller's business."""
        header, claims = _parts(token)
        if header.get("kid") != self.key_id or header.get("alg") != "RS256":
            raise TokenRefusedError("token signed by somebody else")
        _check(self._public, token, _RS256)
        return claims

    def key_set(self) -> dict[str, Any]:
        """Give the public key as a JSON Web Key Set (RFC 7517)."""
        numbers = self._public.public_numbers()
        key = {"kty": "RSA", "use": "sig", "kid": self.key_id, "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"keys": [key]}


class AppCertificate:
    """The public side of a certificate an application may sign assertions with."""

    def __init__(self, path: Path) -> None:
        """Read a PEM file holding a certificate; raises RehearsalInputError."""
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RehearsalInputError(f"{path}: no certificate can be read: {error}") from error
        public = certificate.public_key()
        if not isinstance(public, rsa.RSAPublicKey):
            raise RehearsalInputError(f"{path}: Entra takes RSA certificates only")
        self._public = public
        self.thumbprints = frozenset(
            {
                _encode(certificate.fingerprint(hashes.SHA1())),  # noqa: S303 - x5t is SHA-1 by RFC 7515 §4.1.7
                _encode(certificate.fingerprint(hashes.SHA256())),
            }
        )

    def verify(self, assertion: str, client: str, audiences: frozenset[str], now_s: float) -> None:
        """Check a client assertion (RFC 7523 §3); raises TokenRefusedError with the AADSTS number in its text."""
        header, claims = _parts(assertion)
        named = {str(header.get(name, "")).rstrip("=") for name in ("x5t", "x5t#S256")}  # MSAL leaves the padding on
        if not named & self.thumbprints:
            raise TokenRefusedError("AADSTS700027: The certificate with this thumbprint is not registered")
        chosen = _PADDINGS.get(str(header.get("alg")))
        if chosen is None:
            raise TokenRefusedError("AADSTS50027: JWT token is invalid or malformed")
        _check(self._public, assertion, chosen)
        if claims.get("aud") not in audiences:
            raise TokenRefusedError("AADSTS700023: Client assertion audience does not match the token endpoint")
        if claims.get("iss") != client or claims.get("sub") != client:
            raise TokenRefusedError("AADSTS700021: Client assertion does not name the application")
        if not _number_claim(claims, "nbf", 0.0) - 300 <= now_s < _number_claim(claims, "exp", 0.0):
            raise TokenRefusedError("AADSTS700024: Client assertion is not within its valid time range")


def _check(key: rsa.RSAPublicKey, token: str, chosen: padding.AsymmetricPadding) -> None:
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(_decode(signature), signed.encode(), chosen, hashes.SHA256())
    except InvalidSignature:
        raise TokenRefusedError("AADSTS700027: Client assertion failed signature validation") from None


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    pieces = token.split(".")
    try:
        header, claims = (json.loads(_decode(piece)) for piece in pieces[:2])
    except ValueError:
        header = claims = None
    if len(pieces) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):  # noqa: PLR2004 - RFC 7515 §7.1
        raise TokenRefusedError("AADSTS50027: JWT token is invalid or malformed")
    return header, claims


def _number_claim(claims: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = claims.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise TokenRefusedError("AADSTS50027: JWT token is invalid or malformed") from error
