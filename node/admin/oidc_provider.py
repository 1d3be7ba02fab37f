"""The OpenID provider as it is asked: its configuration, its keys, and a token for a code. Nothing is believed here.

Its configuration and keys are kept for an hour; a key that is not among them is a reason to look again, but seldom, so
that forged tokens make us ask no more often (OpenID Connect Discovery 1.0 §4, Core §10.1.1).
"""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from node.errors import TemporaryError
from node.m365.errors import HttpFailed
from node.m365.https import Answer

WELL_KNOWN: Final = "/.well-known/openid-configuration"
ASK_S: Final = 15.0
KEPT_S: Final = 3600.0
AGAIN_S: Final = 30.0
"""Least time between two looks at the keys for one that was missing."""
KEYS_MAX: Final = 100
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_OK: Final = 200
_NAME: Final = re.compile(r"[a-z_]{1,40}")
T = TypeVar("T")
_UNCERTAIN: Final = 500


class ProviderSilent(TemporaryError):  # noqa: N818 - a state of affairs
    """It does not answer, or with something else than what was asked for."""


class CodeRefused(Exception):  # noqa: N818 - a state of affairs
    """It gives no token for this code; holds the error's name of RFC 6749 §5.2, or an empty text."""


class Asks(Protocol):
    """HTTPS as configured (``node/m365/https.py``)."""

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, timeout_s: float
    ) -> Answer:
        """Send one request and read the answer. Raises HttpFailed."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Metadata(msgspec.Struct, frozen=True):
    """What its configuration says, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    token_type: str


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are there."""

    client_id: str
    secret: Callable[[], str] | None = None
    """Read anew each time, so that a changed file is honoured; None: a public client, PKCE alone."""


class Provider:
    """One issuer."""

    def __init__(self, issuer: str, client: Client, https: Asks, now_s: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet."""
        self.issuer, self._client, self._https, self._now_s = issuer, client, https, now_s
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[list[dict[str, Any]], float] | None = None
        self._one = asyncio.Lock()

    async def close(self) -> None:
        """Close connections."""
        await self._https.close()

    async def metadata(self) -> Metadata:
        """Give its configuration. Raises ProviderSilent, also where it is another issuer's."""
        async with self._one:
            if self._metadata is None or self._now_s() - self._metadata[1] > KEPT_S:
                found = _read(await self._asked("GET", self.issuer.rstrip("/") + WELL_KNOWN), Metadata)
                if found.issuer != self.issuer:
                    raise ProviderSilent(
                        "sign-in: the provider names another issuer in its configuration (admin.oidc.issuer)"
                    )
                for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
                    _secure(url, self.issuer)
                self._metadata = found, self._now_s()
            return self._metadata[0]

    async def keys(self, *, missing: bool = False) -> list[dict[str, Any]]:
        """Give its keys; ``missing``: one is not among those given before. Raises ProviderSilent."""
        url = (await self.metadata()).jwks_uri
        async with self._one:
            kept_s = AGAIN_S if missing else KEPT_S
            if self._keys is None or self._now_s() - self._keys[1] > kept_s:
                self._keys = _read(await self._asked("GET", url), _Keys).keys[:KEYS_MAX], self._now_s()
            return self._keys[0]

    async def redeemed(self, code: str, verifier: str, redirect: str) -> str:
        """Give the ID token for a code (RFC 6749 §4.1.3, RFC 7636 §4.5). Raises ProviderSilent, CodeRefused."""
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
            "client_id": self._client.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._client.secret is not None:
            secret = self._client.secret()
            if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
                headers["Authorization"] = _basic(self._client.client_id, secret)
            else:
                form["client_secret"] = secret
        answer = await self._asked("POST", metadata.token_endpoint, headers, urlencode(form).encode())
        if answer.status != _OK:
            raise CodeRefused(_error_name(answer))
        tokens = _read(answer, _Tokens)
        if tokens.token_type.lower() != "bearer":
            raise ProviderSilent("sign-in: the provider gives tokens of another type")
        return tokens.id_token

    async def _asked(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        try:
            answer = await self._https.ask(
                method, url, {"Accept": "application/json", **(headers or {})}, body, timeout_s=ASK_S
            )
        except (HttpFailed, TimeoutError) as error:
            raise ProviderSilent(
                f"sign-in: the provider cannot be asked: {str(error) or 'no answer in time'}"
            ) from None
        if answer.status >= _UNCERTAIN or (method == "GET" and answer.status != _OK) or not answer.whole:
            raise ProviderSilent(f"sign-in: the provider answers {answer.status}")
        return answer


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderSilent("sign-in: the provider's answer is not what OpenID Connect says") from None


def _secure(url: str, issuer: str) -> None:
    """Refuse addresses in clear, unless the issuer itself is one on this machine."""
    parts, own = urlsplit(url), urlsplit(issuer)
    here = own.scheme == "http" and own.hostname in LOOPBACK and parts.hostname in LOOPBACK
    if parts.scheme != "https" and not (here and parts.scheme == "http"):
        raise ProviderSilent("sign-in: the provider's configuration names an address without https")


def _basic(client_id: str, secret: str) -> str:
    """Give the header of client_secret_basic: both are form-encoded first (RFC 6749 §2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _error_name(answer: Answer) -> str:
    """Give the error's name; its description may hold anything."""
    try:
        name = msgspec.json.decode(answer.body, type=dict[str, Any]).get("error", "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""
