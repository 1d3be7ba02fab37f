"""The channel between the processes of one role: short questions by HTTP/1.1 over mutual TLS; the room's only aiohttp.

The server takes the caller's name from its certificate and decides before it reads a body, so a stranger, a node taken
off the list, an unknown route or a body too large costs next to nothing. The client has looked at the server's
certificate in the handshake (``tls.py``) before it sends. Connections, handshakes, questions at once, bodies, answers
and times are bounded, and a peer that hangs holds up only what is asked of it.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp import web

from coordinator.errors import CoordinatorError
from coordinator.peers.bounds import (
    BACKLOG,
    BODY_MAX,
    BODY_S,
    CALLS_MAX,
    CALLS_PER_NODE_MAX,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    CONNECTIONS_TO_NODE_MAX,
    HANDLER_S,
    HANDSHAKE_S,
    IDLE_CLIENT_S,
    IDLE_S,
    LINGER_S,
    PATH,
    RETRY_S,
    TEXT_MAX,
    shown,
)
from coordinator.peers.contract import Handler, PeerRefused, PeerUnreachable, WrongProtocol
from coordinator.peers.identity import NotAPeer, caller
from coordinator.peers.tls import Contexts
from coordinator.peers.versions import HEADER, UNSAID, Speaks
from coordinator.pki import Pki, PkiUnusable

_HTTP: Final[dict[str, Any]] = {
    "auto_decompress": False,
    "access_log": None,
    "keepalive_timeout": IDLE_S,
    "lingering_time": LINGER_S,
    "max_line_size": 512,
    "max_field_size": 1024,
    "max_headers": 32,
    "read_bufsize": BODY_MAX,
}
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
WRONG_PROTOCOL: Final = HTTPStatus.PRECONDITION_FAILED
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})


class Target(NamedTuple):
    """Where a node's process listens."""

    host: str
    port: int


class _Refusal(Exception):  # noqa: N818 - how a request ends, not a fault of ours
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class PeerServer:
    """Answers the other nodes' processes of this role."""

    def __init__(
        self,
        pki: Pki,
        cluster: str,
        nodes: Callable[[], Collection[str]],
        routes: Mapping[str, Handler],
        *,
        body_max: Mapping[str, int] = MappingProxyType({}),
        speaks: Speaks = Speaks(),  # noqa: B008 - a value that cannot change
        alarm: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``nodes``: the list in force, asked at every request; ``body_max``: routes with larger bodies, in bytes."""
        self._contexts, self._speaks = Contexts(pki, cluster, alarm=alarm), speaks
        self._cluster, self._nodes, self._routes, self._body_max = cluster, nodes, routes, body_max
        self._http: web.Server | None = None
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._greeting: dict[asyncio.Task[None], str] = {}
        self._calls: Counter[str] = Counter()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port listened on. Raises OSError when it is taken, PkiUnusable without certificates."""
        self._contexts.server()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listening.setblocking(False)
        self._http = web.Server(self._serve, **_HTTP)
        self._accepting = asyncio.create_task(self._accept(self._http, self._listening))
        return int(self._listening.getsockname()[1])

    async def close(self) -> None:
        """Stop listening and close every connection; questions under way have a moment to be answered."""
        tasks = [*self._greeting, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        if self._http is not None:
            await self._http.shutdown(LINGER_S)

    async def _accept(self, http: web.Server, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError:  # no file left to open, or gone before it was accepted
                await asyncio.sleep(RETRY_S)
                continue
            if self._has_room(http, address[0]):
                task = asyncio.create_task(self._greet(http, connection))
                self._greeting[task] = address[0]
                task.add_done_callback(self._greeting.pop)
            else:
                connection.close()

    def _has_room(self, http: web.Server, address: str) -> bool:
        transports = [each.transport for each in http.connections if each.transport is not None]
        addresses = [each.get_extra_info("peername", ("",))[0] for each in transports] + [*self._greeting.values()]
        return len(addresses) < CONNECTIONS_MAX and addresses.count(address) < CONNECTIONS_PER_ADDRESS_MAX

    async def _greet(self, http: web.Server, connection: socket.socket) -> None:
        """Do the handshake; whoever fails it is gone without a word."""
        try:
            for option, value in _KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            await asyncio.get_running_loop().connect_accepted_socket(
                http,
                connection,
                ssl=self._contexts.server(),
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=LINGER_S,
            )
        except (OSError, PkiUnusable):
            connection.close()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        status, content = HTTPStatus.OK, b""
        try:
            content = await self._answer(request)
        except _Refusal as refusal:
            status, content = refusal.status, str(refusal).encode()
        response = web.Response(status=status, body=content, headers={"Server": "relay"})
        transport = request.transport
        if transport is not None and transport.get_extra_info("sslcontext") is not self._contexts.server():
            response.force_close()  # made with certificates that have been replaced since
        return response

    async def _answer(self, request: web.BaseRequest) -> bytes:
        node, handler, length = self._admitted(request)
        if self._calls[node] >= CALLS_PER_NODE_MAX or self._calls.total() >= CALLS_MAX:
            raise _Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many questions at once")
        self._calls[node] += 1
        try:
            return await _handled(handler, node, await _body(request, length))
        finally:
            self._calls[node] -= 1
            self._calls += Counter()  # forgets nodes that ask nothing now

    def _admitted(self, request: web.BaseRequest) -> tuple[str, Handler, int]:
        """Decide by certificate and head alone who asks what, and how long the body is; raises _Refusal."""
        try:
            node = caller(request.get_extra_info("peercert"), self._cluster, self._nodes())
        except NotAPeer as error:
            raise _Refusal(HTTPStatus.FORBIDDEN, str(error)) from None
        unspoken = self._speaks.refusal(request.headers.get(HEADER))
        if unspoken:
            raise _Refusal(WRONG_PROTOCOL, unspoken)
        route = request.path.removeprefix(PATH)
        handler = self._routes.get(route)
        if request.method != "POST" or not request.path.startswith(PATH) or handler is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, f"there is no route {shown(route)!r} here: {self._speaks}")
        if "Content-Encoding" in request.headers:
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies are taken as they are, without an encoding")
        length, most = request.content_length, self._body_max.get(route, BODY_MAX)
        if length is None:
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "the length must be said first")
        if length > most:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes, at most {most} are taken")
        return node, handler, length


async def _body(request: web.BaseRequest, length: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await request.content.readexactly(length) if length else b""
    except TimeoutError:
        raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {BODY_S:g} s") from None
    except asyncio.IncompleteReadError:
        raise _Refusal(HTTPStatus.BAD_REQUEST, "the body ended early") from None


async def _handled(handler: Handler, node: str, body: bytes) -> bytes:
    """Run the handler. Of an error not ours only the kind is told: its text may hold anything."""
    try:
        async with asyncio.timeout(HANDLER_S):
            return await handler(node, body)
    except CoordinatorError as error:
        text = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - one bad answer must not end the server
        text = type(error).__name__
    raise _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, text[:TEXT_MAX])


class PeerClient:
    """``Peers`` over the network: a few kept connections to each node."""

    def __init__(
        self,
        pki: Pki,
        cluster: str,
        targets: Callable[[], Mapping[str, Target]],
        *,
        answer_max: int = BODY_MAX,
        protocol: Callable[[], int] = lambda: UNSAID,
        alarm: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``targets``: the list in force and where each node listens; asked at every question, as ``protocol``."""
        self._contexts = Contexts(pki, cluster, alarm=alarm)
        self._targets, self._answer_max, self._protocol = targets, answer_max, protocol
        self._asked: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, node: str, route: str, body: bytes, *, timeout_s: float) -> bytes:
        """See Peers. Never repeated: a question without an answer may have been heard."""
        target = self._targets().get(node)
        if target is None:
            raise PeerUnreachable(f"{node} is not on the list of nodes in force")
        if self._asked[node] >= CALLS_PER_NODE_MAX:
            raise PeerUnreachable(f"{node}: {CALLS_PER_NODE_MAX} questions wait for an answer already")
        self._asked[node] += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(node, target, route, body)
        except TimeoutError:
            raise PeerUnreachable(f"{node}: no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, PkiUnusable, RuntimeError) as error:
            # RuntimeError is uvloop's: the number of a socket given up in its handshake came back before it was closed.
            raise PeerUnreachable(f"{node}: {shown(str(error) or type(error).__name__)}") from None
        finally:
            self._asked[node] -= 1
            self._asked += Counter()

    async def close(self) -> None:
        """See Peers."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, node: str, target: Target, route: str, body: bytes) -> bytes:
        host = f"[{target.host}]" if ":" in target.host else target.host
        url, context = f"https://{host}:{target.port}{PATH}{route}", self._contexts.client(node)
        said = {HEADER: str(self._protocol())}
        async with self._opened().post(url, data=body, headers=said, ssl=context, allow_redirects=False) as response:
            length = response.content_length
            if length is None or length > self._answer_max or "Content-Encoding" in response.headers:
                raise PeerUnreachable(f"{node}: an answer of no known length, too long, or encoded")
            content = await response.read()
        if response.status == HTTPStatus.OK:
            return content
        text = f"{node}: {route}: {response.status} {shown(content.decode(errors='replace'))}"
        if response.status in _BUSY or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PeerUnreachable(text)
        raise WrongProtocol(text) if response.status == WRONG_PROTOCOL else PeerRefused(text)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=CONNECTIONS_TO_NODE_MAX, keepalive_timeout=IDLE_CLIENT_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers={"Accept-Encoding": "identity"},
                skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
