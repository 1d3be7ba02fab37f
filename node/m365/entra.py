"""The one file that speaks to Entra: azure-identity over our own HTTPS session, every foreign error mapped to ours.

One request, one answer: no retries, no cache (tokens.py decides both). Answers' words stay here.
"""

import asyncio
import logging
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)

from node.m365.app import ClientSecret, Credential, ManagedIdentity, TenantApp, WorkloadToken
from node.m365.errors import AlertReason, CredentialUnusable, TokenRefused, TokenUnavailable
from node.m365.https import CONNECT_S, HTTP_ERRORS, Https, ServerDate, cause, timed_out
from node.m365.refusals import SERVER_ERRORS, TOO_MANY, refusal
from node.m365.token import AccessToken
from node.settings.host import Egress

REQUEST_S = 30.0
"""Bound on one request, connection and proxy included."""
FIRST_ERROR = 400
NO_IDENTITY = 400
"""What the identity endpoint says when the machine has no such identity."""
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
            judge = _of_the_machine if isinstance(credential, ManagedIdentity) else _ours
            raise judge(error, seen) from None

    async def date(self, authority: str) -> ServerDate | None:
        """Ask a host what time it is there; None: unknown."""
        return await self._https.date(authority)

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._https.close()

    def _client(self, app: TenantApp, credential: Credential, seen: "_Seen") -> "_Credential":
        options: dict[str, Any] = {
            "raw_response_hook": seen.note,
            "transport": AioHttpTransport(session=self._https.session(), session_owner=False, use_env_settings=False),
            "retry_total": 0,
            "connection_timeout": CONNECT_S,
            "read_timeout": self._request_s,
        }
        if isinstance(credential, ManagedIdentity):
            # The machine's own endpoint is on the link or on the host: never by the proxy.
            return ManagedIdentityCredential(
                client_id=credential.client_id or None, _exclude_workload_identity_credential=True, **options
            )
        options["authority"] = app.authority
        options["proxies"] = {"https": proxy} if (proxy := self._https.proxy(app.authority)) else None
        if isinstance(credential, ClientSecret):
            return ClientSecretCredential(app.tenant_id, app.client_id, credential.secret.reveal(), **options)
        if isinstance(credential, WorkloadToken):
            return ClientAssertionCredential(app.tenant_id, app.client_id, credential.token.reveal, **options)
        if credential.password is not None:
            options["password"] = credential.password.reveal()
        pem = credential.pem.reveal().encode()
        return CertificateCredential(app.tenant_id, app.client_id, certificate_data=pem, **options)


_Credential = ClientSecretCredential | CertificateCredential | ClientAssertionCredential | ManagedIdentityCredential


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


def _of_the_machine(error: Exception, seen: _Seen) -> TokenUnavailable | TokenRefused:
    """Map what the endpoint of a managed identity said, or that nobody was there."""
    if seen.status == NO_IDENTITY:
        text = "this machine has no such managed identity: assign it, or correct client_id"
        return TokenRefused(AlertReason.IDENTITY_MISSING, text)
    if seen.status == TOO_MANY:
        text = "the machine's identity endpoint answers 429"
        return TokenUnavailable(AlertReason.THROTTLED, text, retry_after_s=seen.retry_after_s)
    if seen.status >= FIRST_ERROR:
        return TokenUnavailable(AlertReason.SERVER_ERROR, f"the machine's identity endpoint answers {seen.status}")
    if seen.status:
        return TokenUnavailable(AlertReason.UNREADABLE, "the machine's identity endpoint gives no token answer")
    inner = getattr(error, "inner_exception", None) or error.__cause__ or error
    if timed_out(inner):
        return TokenUnavailable(AlertReason.TIMED_OUT, "the machine's identity endpoint did not answer in time")
    return TokenUnavailable(AlertReason.UNREACHABLE, "the machine's identity endpoint cannot be reached")
