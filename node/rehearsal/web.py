"""HTTP and HTTPS servers on loopback; the only file here that knows aiohttp. Handlers see our own values."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from node.rehearsal.errors import RehearsalInputError

MAX_REQUEST_BYTES = 8 << 20  # a directory or script; nobody sends mail here


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a handler may know of a request."""

    base_url: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes
    """Empty where the handler reads it itself, by ``load``."""
    method: str = "GET"
    load: Callable[[], Awaitable[bytes | None]] | None = None
    """Reads the body when the handler wants it; None: it broke off."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: JSON of ``value``, or ``text`` as it is."""

    status: int = 200
    value: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection instead of answering."""
    half: bool = False
    """Announce the whole answer, give half of it, and close the connection."""


Handler = Callable[[Request], Awaitable[Answer]]


class WebServer:
    """Routes on one port."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler], *, lazy: bool = False) -> None:
        """Serve ``routes``: method and path (``{name}`` parts allowed) to handler; ``lazy``: they read bodies."""
        self._app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        for (method, path), handler in routes.items():
            self._app.router.add_route(method, path, _adapted(handler, lazy=lazy))
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen and give the port chosen."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close."""
        await self._runner.cleanup()


def _adapted(handler: Handler, *, lazy: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await handler(await _ours(request, lazy=lazy))
        except RehearsalInputError as error:
            answer = Answer(status=400, value={"error": str(error)})
        except Exception:  # a fault in a handler must not look like a dead simulator
            logging.getLogger(__name__).exception("handler failed")
            answer = Answer(status=500, value={"error": "internal error, see the log"})
        if answer.cut and request.transport is not None:
            request.transport.abort()
        return await _half(request, answer) if answer.half else _whole(answer)

    return handle


async def _ours(request: web.Request, *, lazy: bool) -> Request:
    body = b"" if lazy else await request.read()
    is_form = request.content_type == "application/x-www-form-urlencoded" and not lazy
    form = await request.post() if is_form else {}

    async def load() -> bytes | None:
        try:
            return await request.read()
        except (OSError, web.HTTPException):
            return None

    return Request(
        base_url=f"{request.scheme}://{request.host}",
        path=dict(request.match_info),
        query=dict(request.query),
        form={name: value for name, value in form.items() if isinstance(value, str)},
        body=body,
        headers={name.lower(): value for name, value in request.headers.items()},
        method=request.method,
        load=load if lazy else None,
    )


def _whole(answer: Answer) -> web.Response:
    if answer.text is not None:
        return web.Response(status=answer.status, text=answer.text, headers=dict(answer.headers))
    return web.Response(
        status=answer.status,
        body=b"" if answer.value is None else msgspec.json.encode(answer.value),
        content_type="application/json",
        headers=dict(answer.headers),
    )


async def _half(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Break off in the middle of the answer, as a connection does."""
    text = answer.text.encode() if answer.text is not None else msgspec.json.encode(answer.value)
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, "Content-Length": str(len(text))})
    await response.prepare(request)
    await response.write(text[: len(text) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
