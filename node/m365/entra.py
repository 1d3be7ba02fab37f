"""The one file that speaks to Entra: azure-identity over our own HTTPS session, every foreign error mapped to ours.

One request, one answer: no retries, no cache (tokens.py decides both). Answers' words stay here.
"""

import asyncio
import logging
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import CertificateCredential, ClientSecretCredential

from node.m365.app import ClientSecret, Credential, TenantApp
from node.m365.errors import AlertReason, CredentialUnusable, TokenRefused, TokenUnavailable
from node.m365.https import CONNECT_S, HTTP_ERRORS, Https, ServerDate, cause, timed_out
from node.m365.refusals import SERVER_ERRORS, TOO_MANY, refusal
from node.m365.token import AccessToken
from node.settings.host import Egress

REQUEST_S = 30.0
"""Bound on one request, connection and proxy included."""
FIRST_ERROR = 400
RETRY_AFTER_MAX_S = 600.0
"""More than this is not waited for on a stranger's word."""


class Entra:
    """Asks for tokens. Needs a running loop from the first ``fetch``; close it in the same loop."""

    def __init__(self, egress: Egress, *, request_s: float = REQUEST_S) -> None:
        """Raises ConfigurationError if ``egress.ca`` cannot be read."""
        self._request_s = request_s
        self._https = Https(egress)
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
        except (AzureError, *HTTP_ERRORS, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # ``from None``: the chain would carry the answer, and it may echo what was sent.
            raise _ours(error, seen) from None

    async def date(self, authority: str) -> ServerDate | None:
        """Ask a host what time it is there; None: unknown."""
        return await self._https.date(authority)

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._https.close()

    def _client(
        self, app: TenantApp, credential: Credential, seen: "_Seen"
    ) -> ClientSecretCredential | CertificateCredential:
        options: dict[str, Any] = {
            "raw_response_hook": seen.note,
            "authority": app.authority,
            "transport": AioHttpTransport(session=self._https.session(), session_owner=False, use_env_settings=False),
            "proxies": {"https": proxy} if (proxy := self._https.proxy(app.authority)) else None,
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
    if timed_out(inner):
        return TokenUnavailable(AlertReason.TIMED_OUT, "Entra did not answer in time")
    return TokenUnavailable(AlertReason.UNREACHABLE, f"Entra cannot be reached: {cause(inner)}")
