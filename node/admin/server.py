"""The administration interface over HTTP: a Unix socket for ``relayctl`` on this host, a TCP port with tokens.

The only file that imports aiohttp in this room. Who may connect to the socket is decided by its file mode (0600, owner
only). The TCP port answers health pages to anybody, and the API to whoever has a token (``access.py``); never bodies.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from ssl import SSLContext
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from node.admin.access import LOCAL, Caller, Denied, Gatekeeper, Role, Token, permit
from node.admin.asking import JSON, Answer, Ask
from node.admin.cluster import ClusterUnreachableError
from node.admin.control import Control
from node.admin.handlers import Handlers
from node.admin.oidc import Oidc
from node.admin.oidc_routes import CLEAR, SESSION, Came, Reply, SignIn
from node.admin.once import Once
from node.admin.openapi import description
from node.admin.queries import BadRequestError
from node.admin.routes import HEALTH, ROUTES, Route
from node.admin.seconding import Seconding
from node.audit import Audit
from node.errors import RelayError
from node.policy.explain import QuestionError

BODY_MAX_BYTES = 64 * 1024
PATH_MAX_BYTES = 100
"""A Unix socket path holds 108 bytes on Linux; refuse early with a sentence."""

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Pages = Callable[[web.Application], None]
"""Adds the console to the port's application."""


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=_encoder.encode(value), status=status, content_type=JSON)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Denied as error:
        response = _json({"error": str(error)}, error.status)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    except web.HTTPRequestEntityTooLarge:
        return _json({"error": f"body: more than {BODY_MAX_BYTES} bytes"}, 413)
    except web.HTTPException as error:
        return _json({"error": f"{request.method} {request.path[:100]}: {error.reason}"}, error.status)
    except RelayError as error:
        status = status_of(error)
        if status not in WRONG:
            _log.warning("administration request failed", extra={"path": request.path, "cause": str(error)})
        return _json({"error": str(error)}, status)


WRONG = (400, 502)
LOOPBACK = ("127.0.0.1", "::1")


def status_of(error: RelayError) -> int:
    """Give the status: 400 the request is wrong, 409 not possible now, 502 etcd is silent, 503 try later."""
    if isinstance(error, BadRequestError | QuestionError):
        return 400
    if isinstance(error, ClusterUnreachableError):
        return 502
    return 503 if error.temporary else 409


class AdminServer:
    """Serves one node's administration interface until closed."""

    def __init__(
        self,
        control: Control,
        tokens: Iterable[Token] = (),
        audit: Audit | None = None,
        seconding: Seconding | None = None,
        oidc: Oidc | None = None,
    ) -> None:
        """Keep the node; nothing listens yet. ``audit``: where deeds are written before they are answered.

        ``seconding``: what waits for a second person; None: nothing ever does. ``oidc``: sign-in by a provider.
        """
        self._handlers = Handlers(control, audit)
        self._handlers.seconding, self._handlers.tell = seconding, self.tell
        self._audit = audit
        self._writing = asyncio.Lock()
        self.gatekeeper = Gatekeeper(tokens)
        self.once = self._handlers.once = Once(self.gatekeeper)
        self.sign_in = SignIn(oidc, self.gatekeeper) if oidc is not None else None
        self._runners: list[web.AppRunner] = []
        self.port = 0

    async def start_socket(self, path: Path) -> None:
        """Listen on a Unix socket that only this user may open; replaces a stale one."""
        if len(str(path).encode()) > PATH_MAX_BYTES:
            raise BadRequestError(f"runtime: socket path {path} is longer than {PATH_MAX_BYTES} bytes")
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at start
        app = _app()
        for route in (*HEALTH, *ROUTES):
            app.router.add_route(route.method, route.path, self._local(route))
        runner = await self._run(app)
        await web.UnixSite(runner, str(path)).start()
        path.chmod(0o600)  # noqa: ASYNC240 - once, at start

    async def start_port(
        self, host: str, port: int, tls: SSLContext | None = None, *, api: bool = True, pages: Pages | None = None
    ) -> None:
        """Listen on TCP for health pages and, with ``api``, requests with a token; ``self.port``: the port bound."""
        app = _app()
        for route in HEALTH:
            # Metrics name accounts: beyond this machine they are for whoever has a token (operations §5).
            open_to_all = route.path != "/metrics" or host in LOOPBACK
            app.router.add_route(route.method, route.path, self._local(route) if open_to_all else self._remote(route))
        if api:
            app.router.add_get("/v1/openapi.json", _openapi)
            for route in (one for one in ROUTES if one.remote):
                app.router.add_route(route.method, route.path, self._remote(route))
            for (method, path), answer in (self.sign_in.routes() if self.sign_in is not None else {}).items():
                app.router.add_route(method, path, self._signing_in(answer))
        if pages is not None:
            pages(app)
        runner = await self._run(app)
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        self.port = runner.addresses[0][1]

    async def perform(self, route: Route, ask: Ask) -> Answer:
        """Do what a route does for a caller who is known, whoever carried the request. Raises Denied, RelayError."""
        permit(ask.caller, route.role)
        answer = await route.handler(self._handlers, ask)
        await self._told(answer, ask.caller)
        return answer

    async def close(self) -> None:
        """Stop listening and finish requests in progress."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _run(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _local(self, route: Route) -> Handler:
        """Trust the name ``relayctl`` gives, as only the owner can open the socket; a token, if shown, says more."""

        async def answered(request: web.Request) -> web.StreamResponse:
            caller = Caller(name=request.headers.get("X-Relay-Actor", "local")[:64], role=Role.ADMIN, at=LOCAL)
            shown = request.headers.get("Authorization", "")
            if shown and route not in HEALTH:
                caller = self.gatekeeper.admit(shown, LOCAL, time.time_ns() // 1_000_000)
                permit(caller, route.role)
            return await self._answered(route, request, caller)

        return answered

    def _remote(self, route: Route) -> Handler:
        """Ask for a token, and for its role."""

        async def answered(request: web.Request) -> web.StreamResponse:
            now_ms = time.time_ns() // 1_000_000
            caller = self.gatekeeper.admit(self._proof(request), _address(request), now_ms)
            if "Content-Encoding" in request.headers:
                raise BadRequestError("Content-Encoding: send the body as it is")
            permit(caller, route.role)
            return await self._answered(route, request, caller)

        return answered

    def _proof(self, request: web.Request) -> str:
        """Give what the caller shows: its token, or the cookie of a browser that only this host's pages may use."""
        shown, session = request.headers.get("Authorization", ""), request.cookies.get(SESSION, "")
        if shown or not session or self.sign_in is None:
            return shown
        own = urlsplit(self.sign_in.oidc.rules.redirect)
        if request.headers.get("Host", "").lower() != own.netloc.lower():
            raise Denied(403, "this session is for another host")
        origin = request.headers.get("Origin")
        if (request.method != "GET" or origin is not None) and origin != f"{own.scheme}://{own.netloc}":
            raise Denied(403, "Origin: only pages of this host act for a session")
        return f"Bearer {session}"

    def _signing_in(self, answer: Callable[[Came], Awaitable[Reply]]) -> Handler:
        async def answered(request: web.Request) -> web.StreamResponse:
            reply = await answer(
                Came(
                    query=tuple(request.query.items()),
                    cookies=dict(request.cookies),
                    authorization=request.headers.get("Authorization", ""),
                    body=await request.read(),
                    address=_address(request),
                )
            )
            if reply.deed is not None and reply.who is not None:
                await self._told(Answer(deed=reply.deed), reply.who)
            body = reply.text.encode() if reply.kind != JSON else _encoder.encode(reply.value)
            response = web.Response(body=body, status=reply.status, content_type=reply.kind, headers=CLEAR)
            if reply.location:
                response.headers["Location"] = reply.location
            for one in reply.cookies:
                response.set_cookie(
                    one.name,
                    one.value,
                    max_age=one.lasts_s,
                    samesite=one.same_site,
                    path="/",
                    secure=True,
                    httponly=True,
                )
            return response

        return answered

    async def _answered(self, route: Route, request: web.Request, caller: Caller) -> web.StreamResponse:
        ask = Ask(
            query=tuple(request.query.items()),
            match=dict(request.match_info),
            body=await request.read(),
            known=route.keys,
            caller=caller,
        )
        answer = await route.handler(self._handlers, ask)
        if answer.stream is not None:
            return await self._streamed(answer, request, caller)
        await self._told(answer, caller)
        if answer.raw is not None:
            charset = "utf-8" if answer.kind.startswith("text/") else None
            return web.Response(body=answer.raw, status=answer.status, content_type=answer.kind, charset=charset)
        return _json(answer.value, answer.status)

    async def _streamed(self, answer: Answer, request: web.Request, caller: Caller) -> web.StreamResponse:
        assert answer.stream is not None  # noqa: S101 - asked by the caller
        first = await anext(answer.stream, b"")  # a body that is gone must become an error, not an empty answer
        await self._told(answer, caller)
        response = web.StreamResponse(headers={"Content-Type": answer.kind})
        await response.prepare(request)
        await response.write(first)
        async for chunk in answer.stream:
            await response.write(chunk)
        return response

    async def _told(self, answer: Answer, caller: Caller) -> None:
        """Log a deed, and write it into the audit; a disk that takes no audit does not take the deed back."""
        if answer.deed is None:
            return
        facts = dict(answer.deed.facts)
        _log.warning("%s", answer.deed.text, extra={**facts, "actor": caller.name})
        entry = {"actor": caller.name, "role": caller.role.name.lower(), "from": caller.at, "event": answer.deed.text}
        await self.tell(entry | {"facts": facts})

    async def tell(self, entry: dict[str, object]) -> None:
        """Write an entry into the audit; durable when it returns, but for a disk that takes none: that is an alarm."""
        if self._audit is not None:
            await asyncio.shield(self._written(self._audit, entry))

    async def _written(self, audit: Audit, entry: dict[str, object]) -> None:
        async with self._writing:
            try:
                await asyncio.to_thread(audit.write, entry)
            except OSError as error:
                _log.error("audit: %s", error, extra={"alarm": True})


def _address(request: web.Request) -> str:
    return str((request.transport.get_extra_info("peername") or ("?",))[0]) if request.transport else "?"


def _app() -> web.Application:
    return web.Application(middlewares=[_errors], client_max_size=BODY_MAX_BYTES)


async def _openapi(_request: web.Request) -> web.Response:
    return _json(description())
