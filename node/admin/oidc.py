"""Sign-in by an OpenID provider: authorization code with PKCE (OpenID Connect Core §3.1, RFC 7636, RFC 9700 §2.1).

``begin`` gives where a browser goes, ``finish`` takes what it came back with. Both are handed the browser's mark, a
random value the caller keeps in a cookie of it: an answer is taken only from the browser that asked (RFC 9700 §4.7).
State, nonce and code verifier are random, of one use, and forgotten after ten minutes.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.admin.access import Denied, Role
from node.admin.oidc_claims import Expected, KeyUnknown, Person, person_of, refused, verified
from node.admin.oidc_provider import CodeRefused, Metadata, Provider
from node.policy.proof import Credential, nonce_of

PENDING_S: Final = 600.0
PENDING_MAX: Final = 1_000
"""Sign-ins under way; beyond it nobody begins one until some are over."""
CODE_CHARS: Final = 4_096
_RANDOM_BYTES: Final = 32
_ONCE: Final = frozenset({"code", "state", "iss", "error"})


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say."""

    client_id: str
    redirect: str
    """Our address as it is registered there, to the letter (RFC 9700 §4.1.3)."""
    roles: Mapping[str, Role]
    claims: tuple[str, ...] = ("groups", "roles")
    scopes: tuple[str, ...] = ("openid", "profile")
    algorithms: tuple[str, ...] = ("RS256",)
    lasts_s: float = 28_800.0


class _Pending(msgspec.Struct, frozen=True, kw_only=True):
    private: Ed25519PrivateKey
    """The ID token names it by its nonce, so that other nodes know whoever signs with it."""
    nonce: str
    verifier: str
    browser: str
    """Hash of its mark."""
    until_s: float


class Oidc:
    """One provider; everything it knows of people is what is under way."""

    def __init__(
        self,
        provider: Provider,
        rules: Rules,
        *,
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``now_s`` counts steadily, ``now_ms`` is the wall clock."""
        self.provider, self.rules = provider, rules
        self._now_s, self._now_ms = now_s, now_ms
        self._pending: dict[str, _Pending] = {}

    async def begin(self, browser: str, *, again: bool = False) -> str:
        """Give the address a browser signs in at; ``again``: it is asked for its password even if signed in there.

        Raises ProviderSilent, Denied.
        """
        metadata = await self.provider.metadata()
        self._forget()
        if len(self._pending) >= PENDING_MAX:
            raise Denied(429, "sign-in: too many are under way; try again in a few minutes")
        state, pending = _random(), self._begun(browser)
        self._pending[state] = pending
        query = {
            "response_type": "code",
            "client_id": self.rules.client_id,
            "redirect_uri": self.rules.redirect,
            "scope": " ".join(self.rules.scopes),
            "state": state,
            "nonce": pending.nonce,
            "code_challenge": challenge_of(pending.verifier),
            "code_challenge_method": "S256",
            **({"prompt": "login"} if again else {}),
        }
        mark = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{mark}{urlencode(query)}"

    async def finish(self, query: Iterable[tuple[str, str]], browser: str) -> Person:
        """Give who came back. Raises Denied, ProviderSilent; what came with a state is of no further use either way."""
        said = _said(query)
        pending = self._pending.pop(said.get("state", ""), None)
        if pending is None or pending.until_s <= self._now_s():
            raise refused("nobody began it here, or too long ago; begin anew")
        if not browser or not hmac.compare_digest(pending.browser, _hash(browser)):
            raise refused("another browser began it; begin anew")
        self._answered(said, await self.provider.metadata())
        try:
            token = await self.provider.redeemed(said["code"], pending.verifier, self.rules.redirect)
        except CodeRefused as error:
            raise refused(f"the provider takes its own code no more ({str(error) or 'no reason given'})") from None
        claims = await self._claims(token, pending.nonce)
        rules = self.rules
        person = person_of(claims, rules.roles, rules.claims, self._now_ms(), rules.lasts_s)
        return msgspec.structs.replace(person, credential=Credential(pending.private, token))

    async def known(self, token: str, key: bytes, at_ms: int) -> Person:
        """Give who signed in at another node and had this key then, at a moment while it held. Raises Denied."""
        claims = await self._claims(token, nonce_of(key), at_ms / 1000)
        return person_of(claims, self.rules.roles, self.rules.claims, at_ms, self.rules.lasts_s)

    def _begun(self, browser: str) -> _Pending:
        until_s, private = self._now_s() + PENDING_S, Ed25519PrivateKey.generate()
        nonce = nonce_of(Credential(private).key)
        return _Pending(private=private, nonce=nonce, verifier=_random(), browser=_hash(browser), until_s=until_s)

    def _forget(self) -> None:
        now_s = self._now_s()
        for state in [state for state, one in self._pending.items() if one.until_s <= now_s]:
            del self._pending[state]

    def _answered(self, said: Mapping[str, str], metadata: Metadata) -> None:
        """The answer is this issuer's (RFC 9207 §2.4), and holds a code."""
        issuer = said.get("iss")
        needed = metadata.authorization_response_iss_parameter_supported
        if (issuer is not None or needed) and issuer != self.provider.issuer:
            raise refused("the answer is another issuer's")
        if "error" in said:
            name = said["error"] if said["error"].replace("_", "").isalnum() and said["error"].isascii() else "an error"
            raise refused(f"the provider says {name[:40]}")
        if not 0 < len(said.get("code", "")) <= CODE_CHARS:
            raise refused("the answer holds no code")

    async def _claims(self, token: str, nonce: str, at_s: float | None = None) -> Mapping[str, object]:
        rules = self.rules
        expected = Expected(
            issuer=self.provider.issuer,
            client_id=rules.client_id,
            algorithms=rules.algorithms,
            nonce=nonce,
            at_s=at_s,
            lasts_s=rules.lasts_s,
        )
        try:
            return verified(token, await self.provider.keys(), expected)
        except KeyUnknown:
            return verified(token, await self.provider.keys(missing=True), expected)


def new_mark() -> str:
    """Make a mark for a browser."""
    return _random()


def challenge_of(verifier: str) -> str:
    """Give the S256 challenge of a code verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _said(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Read the answer's parameters; one given twice could be read in two ways."""
    found: dict[str, str] = {}
    for name, value in query:
        if name in _ONCE and name in found:
            raise refused(f"the answer says {name} twice")
        found[name] = value
    return found


def _random() -> str:
    return secrets.token_urlsafe(_RANDOM_BYTES)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
