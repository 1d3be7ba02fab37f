"""The one file that speaks to Entra: azure-identity over aiohttp, every foreign error mapped to ours.

One request, one answer: no retries, no cache (tokens.py decides both). HTTPS goes through the egress proxy, trusts
the system's authorities and ``egress.ca``, and leaves from ``egress.source_address``. Answers' words stay here.
"""

import asyncio
import logging
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import CertificateCredential, ClientSecretCredential

from node.errors import ConfigurationError
from node.m365.app import ClientSecret, Credential, TenantApp
from node.m365.errors import AlertReason, CredentialUnusable, TokenRefused, TokenUnavailable
from node.m365.refusals import SERVER_ERRORS, TOO_MANY, refusal
from node.m365.token import AccessToken
from node.settings.host import Egress

REQUEST_S = 30.0
"""Bound on one request, connection and proxy included."""
CONNECT_S = 10.0
FIRST_ERROR = 400
RETRY_AFTER_MAX_S = 600.0
"""More than this is not waited for on a stranger's word."""


class ServerDate(NamedTuple):
    """A ``Date`` header: what it says, when we had asked (both wall clock), and how long the answer took."""

    date_ms: int
    sent_ms: int
    took_ms: int


class Entra:
    """Asks for tokens. Needs a running loop from the first ``fetch``; close it in the same loop."""

    def __init__(self, egress: Egress, *, request_s: float = REQUEST_S) -> None:
        """Raises ConfigurationError if ``egress.ca`` cannot be read."""
        self._egress = egress
        self._request_s = request_s
        self._tls = _context(egress)
        self._session: aiohttp.ClientSession | None = None
        # The library logs refusals in Entra's own words; they are reported by us, in ours.
        logging.getLogger("azure").setLevel(logging.CRITICAL + 1)

    async def fetch(self, app: TenantApp, credential: Credential) -> AccessToken:
        """Ask once. Raises TokenUnavailable (temporary) or TokenRefused (permanent)."""
        seen = _Seen()
        try:
            client = self._client(app, credential, seen)
        except (ValueError, TypeError):
            text = f"tenant {app.tenant_id}: id, authority, certificate, its RSA key or its password cannot be used"
            raise CredentialUnusable(text) from None
        try:
            async with asyncio.timeout(self._request_s):
                found = await client.get_token(app.scope)
            return AccessToken(value=_text(found.token), expires_ms=int(found.expires_on) * 1000)
        except (AzureError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # ``from None``: the chain would carry the answer, and it may echo what was sent.
            raise _ours(error, seen) from None

    async def date(self, authority: str) -> ServerDate | None:
        """Ask a host what time it is there, by the ``Date`` of whatever it answers (RFC 9110 §6.6.1); None: unknown."""
        proxy = (self._proxies(authority) or {}).get("https")
        sent_ms, began = time.time_ns() // 1_000_000, time.monotonic()
        try:
            async with (
                asyncio.timeout(CONNECT_S),
                self._open().head(authority, proxy=proxy, allow_redirects=False) as answer,
            ):
                said = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (aiohttp.ClientError, OSError, ValueError, TypeError):
            return None
        took_ms = int((time.monotonic() - began) * 1_000)
        return ServerDate(date_ms=int(said.timestamp() * 1_000), sent_ms=sent_ms, took_ms=took_ms)

    async def close(self) -> None:
        """Close connections; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _client(
        self, app: TenantApp, credential: Credential, seen: "_Seen"
    ) -> ClientSecretCredential | CertificateCredential:
        options: dict[str, Any] = {
            "raw_response_hook": seen.note,
            "authority": app.authority,
            "transport": AioHttpTransport(session=self._open(), session_owner=False, use_env_settings=False),
            "proxies": self._proxies(app.authority),
            "retry_total": 0,
            "connection_timeout": CONNECT_S,
            "read_timeout": self._request_s,
        }
        if isinstance(credential, ClientSecret):
            return ClientSecretCredential(app.tenant_id, app.client_id, credential.secret.reveal(), **options)
        if credential.password is not None:
            options["password"] = credential.password.reveal()
        pem = credential.pem.reveal().encode()
        return CertificateCredential(app.tenant_id, app.client_id, certificate_data=pem, **options)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            source = self._egress.source_address
            local = (str(source), 0) if source is not None else None
            # No kept connections: requests are 40 minutes apart, and a stale one would look like an outage.
            connector = aiohttp.TCPConnector(ssl=self._tls, local_addr=local, force_close=True, limit=8)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                trust_env=False,
            )
        return self._session

    def _proxies(self, authority: str) -> dict[str, str] | None:
        proxy = self._egress.https_proxy
        if proxy is None or bypasses(urlsplit(authority).hostname or "", self._egress.no_proxy):
            return None
        return {"https": proxy}


def bypasses(host: str, no_proxy: tuple[str, ...]) -> bool:
    """Tell whether a host is named by ``no_proxy``: itself, a parent domain (``.corp`` or ``corp``), or ``*``."""
    host = host.lower().rstrip(".")
    names = [name.lower().strip().lstrip("*").lstrip(".") for name in no_proxy]
    return "*" in no_proxy or any(name and (host == name or host.endswith("." + name)) for name in names)


def _context(egress: Egress) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if egress.ca is not None:
        try:
            context.load_verify_locations(cafile=egress.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError([f"egress.ca: {egress.ca} cannot be read as PEM: {error}"]) from error
    return context


def _text(value: object) -> str:
    # It becomes part of a SASL blob and of headers: nothing but visible ASCII.
    if isinstance(value, str) and value and value.isascii() and value.isprintable() and " " not in value:
        return value
    raise TypeError("not a token")


class _Seen:
    """Status line and Retry-After of the answer; the library loses both when a body is not what it expects."""

    __slots__ = ("retry_after_s", "status")

    def __init__(self) -> None:
        self.status = 0
        self.retry_after_s = 0.0

    def note(self, response: Any) -> None:
        """Take them from a PipelineResponse. A Retry-After that is a date, which Entra does not send, is left out."""
        self.status = int(response.http_response.status_code)
        value = str(response.http_response.headers.get("Retry-After", ""))
        if value.isascii() and value.isdigit():
            self.retry_after_s = min(float(value), RETRY_AFTER_MAX_S)


def _ours(error: Exception, seen: _Seen) -> TokenUnavailable | TokenRefused:
    """Map a foreign error: by the answer if there was one, else by what the connection did."""
    if seen.status >= SERVER_ERRORS or seen.status == TOO_MANY:
        return refusal(seen.status, "", retry_after_s=seen.retry_after_s)
    if seen.status >= FIRST_ERROR:
        words = error.message if isinstance(error, ClientAuthenticationError) else ""
        return refusal(seen.status, words, retry_after_s=seen.retry_after_s)
    if seen.status:
        return TokenUnavailable(AlertReason.UNREADABLE, "Entra's answer is not a token answer")
    inner = getattr(error, "inner_exception", None) or error
    if isinstance(inner, TimeoutError):  # also aiohttp's own, which are connection errors too
        return TokenUnavailable(AlertReason.TIMED_OUT, "Entra did not answer in time")
    return TokenUnavailable(AlertReason.UNREACHABLE, f"Entra cannot be reached: {_cause(inner)}")


def _cause(inner: BaseException) -> str:
    """Name what failed by the kind of error: texts may hold the proxy's password."""
    match inner:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "its certificate is not trusted or TLS failed (see egress.ca)"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return "the proxy refused or cannot be reached (see egress.https_proxy)"
        case aiohttp.ClientConnectorDNSError():
            return "its name does not resolve"
        case _:
            return "the connection failed or was cut"
