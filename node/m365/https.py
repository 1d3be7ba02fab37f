"""HTTPS towards Microsoft: the one file that knows aiohttp. Egress as configured, bounded answers, our own errors.

The configured proxy, the system's authorities and ``egress.ca``, ``egress.source_address``. One request, one answer: no
redirects, no retries, no kept connections. A kept connection may have died unnoticed, and a POST lost on it could not
be told from one that arrived; a new one costs a handshake, which at thirty messages a minute is nothing.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from node.errors import ConfigurationError
from node.m365.errors import HttpFailed
from node.settings.host import Egress

CONNECT_S: Final = 10.0
OPENING_S: Final = 30.0
"""Bound on a connection with all that belongs to it: the proxy's answer to CONNECT and TLS besides TCP."""
ANSWER_BYTES: Final = 1 << 20
"""Longest answer read; the longest asked for is a page of messages or the head of one."""
PIECE_BYTES: Final = 256 << 10
"""A longer body is sent in pieces, so that other conversations have their turn between them."""
HTTP_ERRORS: Final = (aiohttp.ClientError,)
"""For the library that brings its own requests along (entra.py)."""


class Body(NamedTuple):
    """What a request sends: its length is said beforehand, so that a body cut short can never be taken for a whole."""

    length: int
    pieces: AsyncIterator[bytes]


class Answer(NamedTuple):
    """An answer as read."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    whole: bool
    """False: it was cut, or is longer than ``ANSWER_BYTES``."""


class ServerDate(NamedTuple):
    """A ``Date`` header: what it says, when we had asked (both wall clock), and how long the answer took."""

    date_ms: int
    sent_ms: int
    took_ms: int


class Https:
    """Needs a running loop from the first request on; close it in the same loop."""

    def __init__(self, egress: Egress, *, connections: int = 8, opening_s: float = OPENING_S) -> None:
        """``connections`` at once. Raises ConfigurationError if ``egress.ca`` cannot be read."""
        self._egress = egress
        self._opening_s = opening_s
        # Not the connector's own limit: a wait for a turn is no sign of a proxy that hangs.
        self._turn = asyncio.Semaphore(connections)
        self._tls = _context(egress)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
        *,
        timeout_s: float,
        head_only: bool = False,
    ) -> Answer:
        """Send one request and read the answer; ``head_only``: the beginning of its body is enough.

        Raises HttpFailed when there is no answer, with the word for what happened. What a body's ``pieces`` raise comes
        out as HttpFailed too; who wrote them knows.
        """
        sent = dict(headers)
        if isinstance(body, bytes) and len(body) > PIECE_BYTES:
            body = Body(len(body), _pieces(body))
        if isinstance(body, Body):
            sent["Content-Length"] = str(body.length)
        data = body.pieces if isinstance(body, Body) else body
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._turn,
                self.session().request(
                    method, url, headers=sent, data=data, proxy=self.proxy(url), allow_redirects=False
                ) as answer,
            ):
                text, whole = await _read(answer, head_only=head_only)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, named, text, whole)
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # RuntimeError is uvloop's: the number of a socket given up in its handshake came back before it was closed.
            # ``from None``: the chain would carry URLs with mailboxes, and a proxy's password.
            raise HttpFailed(_word(error), cause(error)) from None

    async def date(self, url: str) -> ServerDate | None:
        """Ask a host what time it is there, by the ``Date`` of whatever it answers (RFC 9110 §6.6.1); None: unknown."""
        sent_ms, began = time.time_ns() // 1_000_000, time.monotonic()
        try:
            answer = await self.ask("HEAD", url, {}, timeout_s=CONNECT_S)
            said = parsedate_to_datetime(answer.headers.get("date", ""))
        except (HttpFailed, ValueError, TypeError):
            return None
        took_ms = int((time.monotonic() - began) * 1_000)
        return ServerDate(date_ms=int(said.timestamp() * 1_000), sent_ms=sent_ms, took_ms=took_ms)

    def session(self) -> aiohttp.ClientSession:
        """Give the session every request goes through."""
        if self._session is None:
            source = self._egress.source_address
            local = (str(source), 0) if source is not None else None
            connector = aiohttp.TCPConnector(ssl=self._tls, local_addr=local, force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, connect=self._opening_s, sock_connect=CONNECT_S),
                trust_env=False,
            )
        return self._session

    def proxy(self, url: str) -> str | None:
        """Give the proxy a URL is reached by; None: straight."""
        proxy = self._egress.https_proxy
        if proxy is None or bypasses(urlsplit(url).hostname or "", self._egress.no_proxy):
            return None
        return proxy

    async def close(self) -> None:
        """Close connections; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


async def _read(answer: aiohttp.ClientResponse, *, head_only: bool) -> tuple[bytes, bool]:
    """Read a body up to the bound; a body that breaks off is given as far as it came."""
    text = bytearray()
    try:
        while len(text) <= ANSWER_BYTES:
            piece = await answer.content.read(ANSWER_BYTES + 1 - len(text))
            if not piece:
                return bytes(text), True
            text += piece
            if head_only and b"\r\n\r\n" in text:
                return bytes(text), True
    except (aiohttp.ClientError, OSError, ValueError):
        return bytes(text), False
    return bytes(text), False


def bypasses(host: str, no_proxy: tuple[str, ...]) -> bool:
    """Tell whether a host is named by ``no_proxy``: itself, a parent domain (``.corp`` or ``corp``), or ``*``."""
    host = host.lower().rstrip(".")
    names = [name.lower().strip().lstrip("*").lstrip(".") for name in no_proxy]
    return "*" in no_proxy or any(name and (host == name or host.endswith("." + name)) for name in names)


def timed_out(error: BaseException) -> bool:
    """Tell whether an error is a wait that was given up; aiohttp's own are connection errors too."""
    return isinstance(error, TimeoutError)


def cause(error: BaseException) -> str:
    """Name what failed by the kind of error: texts may hold the proxy's password."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted (see egress.ca)"
        case aiohttp.ClientConnectorSSLError():
            # The reply table looks for words: this must not name a certificate.
            return "TLS failed: it is not spoken there, or something between inspects it"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return f"{_of_the_proxy(error)} (see egress.https_proxy)"
        case aiohttp.ClientConnectorDNSError():
            return "its name does not resolve"
        case aiohttp.ServerTimeoutError():
            return "no connection came about in time (see egress.https_proxy)"
        case _:
            return "the connection failed or was cut"


def _of_the_proxy(error: aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError) -> str:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "the proxy cannot be reached"
    if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "the proxy wants user and password, or others"
    return f"the proxy refuses the connection with {error.status}"


def _word(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "certificate"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "tls"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientConnectorError():
            return "refused"
        case TimeoutError():
            return "timeout"
        case _:
            return "closed"


def _context(egress: Egress) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if egress.ca is not None:
        try:
            context.load_verify_locations(cafile=egress.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError([f"egress.ca: {egress.ca} cannot be read as PEM: {error}"]) from error
    return context
