"""Microsoft Graph as the relay uses it: one request, its answer taken apart. Judges nothing: policy/http_reply.py does.

Answers are JSON or they are somebody else's: a proxy's, a portal's, a front end's in trouble. ``readable`` says which.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from node.m365.https import Answer, Body, Https
from node.m365.token import AccessToken

VERSION: Final = "v1.0"
RETRY_AFTER_MAX_S: Final = 3600.0
"""More than this is not waited for on a stranger's word."""
LARGE: Final = 2
"""Large messages in memory at once."""
JSON: Final = "application/json"
MIME: Final = "text/plain"
"""A message in MIME form goes as base64 under this type (Graph: user: sendMail)."""
_FIRST_ERROR: Final = 400


class GraphAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What Graph said."""

    status: int
    code: str = ""
    """``error.code``, such as ``ErrorSendAsDenied``."""
    message: str = ""
    request_id: str = ""
    """What Microsoft's support asks for."""
    retry_after_s: float = 0.0
    """0: not said."""
    value: Any = None
    """The JSON of a positive answer."""
    text: bytes = b""
    """The body of an answer that is no JSON on purpose (``$value``)."""
    readable: bool = True
    """It came whole and is what Graph sends: JSON, or nothing at all with a 2xx."""


class Graph:
    """One per node; needs a running loop."""

    def __init__(self, https: Https, *, now_s: Callable[[], float] = time.time) -> None:
        """Ask through ``https``, which the caller closes; ``now_s`` for a Retry-After that is a date."""
        self._https = https
        self._now_s = now_s
        self.large = asyncio.Semaphore(LARGE)
        """Held by who has a large message in memory."""

    async def call(
        self,
        method: str,
        url: str,
        token: AccessToken | None,
        *,
        body: Body | bytes | None = None,
        kind: str = JSON,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        plain: bool = False,
    ) -> GraphAnswer:
        """Ask once; ``plain``: a positive answer is no JSON, and its head is enough. Raises HttpFailed.

        ``token`` None is for addresses that carry their own right (upload sessions).
        """
        sent = {"Accept": JSON, **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token.value}"
        if body is not None:
            sent["Content-Type"] = kind
        answer = await self._https.ask(method, url, sent, body, timeout_s=timeout_s, head_only=plain)
        return self._taken_apart(answer, plain=plain)

    async def close(self) -> None:
        """Close connections; idempotent."""
        await self._https.close()

    def _taken_apart(self, answer: Answer, *, plain: bool) -> GraphAnswer:
        if plain and answer.status < _FIRST_ERROR:
            value, readable = None, answer.whole
        else:
            value, readable = _json(answer)
        error = value.get("error") if isinstance(value, dict) else None
        said = error if isinstance(error, dict) else {}
        if answer.status >= _FIRST_ERROR:
            readable = readable and bool(said)
        return GraphAnswer(
            status=answer.status,
            code=str(said.get("code", "")),
            message=str(said.get("message", "")),
            request_id=answer.headers.get("request-id", "")[:64],
            retry_after_s=self._retry_after_s(answer.headers.get("retry-after", "")),
            value=value,
            text=answer.body if plain else b"",
            readable=readable,
        )

    def _retry_after_s(self, said: str) -> float:
        """Seconds, or a date (RFC 9110 §10.2.3)."""
        if said.isascii() and said.isdigit():
            return min(float(said), RETRY_AFTER_MAX_S)
        try:
            until_s = parsedate_to_datetime(said).timestamp()
        except (ValueError, TypeError):
            return 0.0
        return min(max(0.0, until_s - self._now_s()), RETRY_AFTER_MAX_S)


def mailbox_url(root: str, mailbox: str, what: str) -> str:
    """Give the address of something of a mailbox, ``sendMail`` or the like."""
    return f"{root.rstrip('/')}/{VERSION}/users/{quote(mailbox, safe='@')}/{what}"


def tenant_url(root: str, what: str) -> str:
    """Give the address of something of the whole tenant."""
    return f"{root.rstrip('/')}/{VERSION}/{what}"


def asked(url: str, query: Mapping[str, str]) -> str:
    """Give an address with its query; spaces as ``%20``, which OData wants."""
    return f"{url}?{urlencode(query, quote_via=quote)}"


def moment(at_ms: int) -> str:
    """Give a moment of the wall clock as OData writes it, to the second (RFC 3339, ``Z``)."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quoted(text: str) -> str:
    """Give a text as an OData string literal (OData 4.01, ABNF ``string``)."""
    return "'" + text.replace("'", "''") + "'"


def _json(answer: Answer) -> tuple[Any, bool]:
    if not answer.body:
        return None, answer.whole
    try:
        return msgspec.json.decode(answer.body), answer.whole
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False
