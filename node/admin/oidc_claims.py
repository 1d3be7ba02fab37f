"""What an ID token must say before it is believed, and which role its bearer gets (OpenID Connect Core §3.1.3.7).

The signature is looked at first, by a key of the issuer's own set and an algorithm named in the settings; what the
token's header says of keys and algorithms chooses among these and adds none (RFC 8725 §3.1, §3.10).
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt
import msgspec

from node.admin.access import Denied, Role
from node.policy.proof import Credential

LEEWAY_S: Final = 60
"""Their clock and ours may differ by so much."""
TOKEN_BYTES: Final = 64 << 10
RSA_BITS_MIN: Final = 2048
NAME_CHARS: Final = 64
NAMES: Final = ("preferred_username", "email", "sub")
REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat")
KINDS: Final[Mapping[str, str]] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""Algorithms that may be allowed, and the kind of key each wants (RFC 7518 §3.1)."""
GROUPS: Final = "groups"


class KeyUnknown(Denied):
    """No key of the issuer's set fits the token: it may be a new one."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the token is held against."""

    issuer: str
    client_id: str
    algorithms: tuple[str, ...]
    nonce: str
    """The one sent with this very request."""
    at_s: float | None = None
    """When it counts, instead of now: the sign-in it opened holds for ``lasts_s`` from when it was issued."""
    lasts_s: float = 0.0


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who signed in."""

    name: str
    role: Role
    until_ms: int
    """When the sign-in ends (wall clock)."""
    credential: Credential | None = None
    """What he proves to other nodes with who he is."""


def refused(why: str, status: int = 401) -> Denied:
    """Word a refusal; texts hold nothing of the token."""
    return Denied(status, f"sign-in: {why}")


def verified(token: str, keys: Iterable[Mapping[str, Any]], expected: Expected) -> Mapping[str, Any]:
    """Give the claims of an ID token that holds. Raises Denied; KeyUnknown if another look at the keys may help."""
    if len(token) > TOKEN_BYTES:
        raise refused("the ID token is too long")
    key = _key(_header(token, expected.algorithms), keys)
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(expected.algorithms),
            audience=expected.client_id,
            issuer=expected.issuer,
            leeway=LEEWAY_S,
            options={"require": list(REQUIRED), "verify_exp": expected.at_s is None},
        )
    except jwt.ExpiredSignatureError:
        raise refused("the ID token has run out; compare the clocks") from None
    except jwt.ImmatureSignatureError:
        raise refused("the ID token is not valid yet; compare the clocks") from None
    except jwt.InvalidAudienceError:
        raise refused("the ID token is for somebody else (admin.oidc.client_id)") from None
    except jwt.InvalidIssuerError:
        raise refused("the ID token is another issuer's") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise refused("the ID token does not hold") from None
    _party(claims, expected)
    _lasting(claims, expected)
    return claims


def _header(token: str, algorithms: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise refused("the ID token cannot be read") from None
    if header.get("alg") not in algorithms:
        raise refused(f"the ID token is not signed by {' or '.join(algorithms)} (admin.oidc.algorithms)")
    if "crit" in header:
        raise refused("the ID token wants an extension nobody knows")
    return header


def _key(header: Mapping[str, Any], keys: Iterable[Mapping[str, Any]]) -> jwt.PyJWK:
    """Choose by ``kid``; without one only where a single key could be meant."""
    alg, wanted = str(header["alg"]), header.get("kid")
    fitting = [
        one
        for one in keys
        if one.get("kty") == KINDS[alg] and one.get("use", "sig") == "sig" and one.get("alg", alg) == alg
    ]
    found = [one for one in fitting if wanted is None or one.get("kid") == wanted]
    if len(found) != 1:
        raise KeyUnknown(401, "sign-in: the issuer publishes no key, or several, that the ID token could be signed by")
    try:
        key = jwt.PyJWK.from_dict(dict(found[0]), algorithm=alg)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise refused("the issuer's key cannot be read") from None
    if KINDS[alg] == "RSA" and getattr(key.key, "key_size", 0) < RSA_BITS_MIN:
        raise refused(f"the issuer's key is shorter than {RSA_BITS_MIN} bits")
    return key


def _party(claims: Mapping[str, Any], expected: Expected) -> None:
    """The token answers our request and was made for us, not only also for us."""
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise refused("the ID token answers another request")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != expected.client_id:
        raise refused("the ID token was given to somebody else (azp)")


def _lasting(claims: Mapping[str, Any], expected: Expected) -> None:
    if expected.at_s is None:
        return
    issued_s = claims["iat"]
    if (
        not isinstance(issued_s, int | float)
        or not -LEEWAY_S <= expected.at_s - issued_s <= expected.lasts_s + LEEWAY_S
    ):
        raise refused("the sign-in is over")


def person_of(
    claims: Mapping[str, Any], roles: Mapping[str, Role], holding: Iterable[str], now_ms: int, lasts_s: float
) -> Person:
    """Give who it is and the highest role his groups or roles there give; ``holding`` names the claims. Raises Denied.

    The name is for people and the audit; it decides nothing, for its bearer may have chosen it.
    """
    texts = (claims.get(name) for name in NAMES)
    name = next((shown for text in texts if isinstance(text, str) and (shown := _shown(text))), "")
    if not name:
        raise refused("the ID token names nobody")
    found = [roles[one] for one in _values(claims, holding) if one in roles]
    if not found:
        elsewhere = claims.get("_claim_names")
        if isinstance(elsewhere, dict) and GROUPS in elsewhere:
            raise refused(f"{name} is in too many groups for the token to name; use roles of the application", 403)
        raise refused(f"no group or role of {name} has a role here (admin.oidc.roles)", 403)
    return Person(name=name, role=max(found), until_ms=now_ms + round(lasts_s * 1000))


def _values(claims: Mapping[str, Any], holding: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in holding:
        value = claims.get(name, ())
        listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found += [one for one in listed if isinstance(one, str)]
    return found


def _shown(text: str) -> str:
    """Cut what a log, a terminal or a page could choke on."""
    return "".join(sign for sign in text if sign.isprintable()).strip()[:NAME_CHARS]
