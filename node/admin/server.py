"""The administration interface: a Unix socket for ``relayctl`` on this host, a TCP port for health pages.

The only file that imports aiohttp in this room. Who may connect to the socket is decided by its file mode (0600,
owner only); the TCP port answers ``/live``, ``/ready`` and ``/metrics`` and nothing else.
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from ssl import SSLContext

import msgspec
from aiohttp import web

from node.admin.cluster import WISH_KEYS, ClusterUnreachableError, order_of
from node.admin.control import Control
from node.admin.everywhere import ROUNDS_MAX, Done, Order, action_of, here_of
from node.admin.queries import (
    FILTER_KEYS,
    ROUTE_KEYS,
    BadRequestError,
    bounded,
    filter_in,
    filter_of,
    flag_of,
    names_nothing,
    object_of,
    parameters,
    question_of,
    text_of,
    whole,
)
from node.errors import RelayError
from node.policy.explain import QuestionError

BODY_MAX_BYTES = 64 * 1024
PATH_MAX_BYTES = 100
"""A Unix socket path holds 108 bytes on Linux; refuse early with a sentence."""

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=_encoder.encode(value), status=status, content_type="application/json")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (BadRequestError, QuestionError) as error:
        return _json({"error": str(error)}, 400)
    except ClusterUnreachableError as error:
        return _json({"error": str(error)}, 502)
    except web.HTTPRequestEntityTooLarge:
        return _json({"error": f"body: more than {BODY_MAX_BYTES} bytes"}, 413)
    except web.HTTPException as error:
        return _json({"error": f"{request.method} {request.path[:100]}: {error.reason}"}, error.status)
    except RelayError as error:
        _log.warning("administration request failed", extra={"path": request.path, "cause": str(error)})
        return _json({"error": str(error)}, 503 if error.temporary else 409)


class AdminServer:
    """Serves one node's administration interface until closed."""

    def __init__(self, control: Control) -> None:
        """Keep the node; nothing listens yet."""
        self._control = control
        self._runners: list[web.AppRunner] = []
        self.port = 0

    async def start_socket(self, path: Path) -> None:
        """Listen on a Unix socket that only this user may open; replaces a stale one."""
        if len(str(path).encode()) > PATH_MAX_BYTES:
            raise BadRequestError(f"runtime: socket path {path} is longer than {PATH_MAX_BYTES} bytes")
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at start
        runner = await self._run(self._full())
        site = web.UnixSite(runner, str(path))
        await site.start()
        path.chmod(0o600)  # noqa: ASYNC240 - once, at start

    async def start_port(self, host: str, port: int, tls: SSLContext | None = None) -> None:
        """Listen on TCP for health pages; ``self.port`` tells the port bound."""
        runner = await self._run(self._health())
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        self.port = runner.addresses[0][1]

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

    def _health(self) -> web.Application:
        app = web.Application(middlewares=[_errors], client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        return app

    def _full(self) -> web.Application:
        app = self._health()
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/messages", self._find)
        app.router.add_get("/v1/messages/{id}", self._show)
        app.router.add_get("/v1/messages/{id}/body", self._body)
        app.router.add_get("/v1/everywhere/messages", self._find_everywhere)
        app.router.add_get("/v1/everywhere/messages/{id}", self._trace_everywhere)
        app.router.add_post("/v1/queue/{action}", self._act)
        app.router.add_post("/v1/everywhere/queue/{action}", self._act_everywhere)
        app.router.add_get("/v1/accounts", self._accounts)
        app.router.add_post("/v1/accounts/{action}", self._account_act)
        app.router.add_get("/v1/budget", self._budget)
        app.router.add_get("/v1/shares", self._shares)
        app.router.add_get("/v1/cluster", self._cluster)
        app.router.add_post("/v1/wishes", self._wish)
        app.router.add_post("/v1/cluster/finalise", self._finalise)
        app.router.add_get("/v1/clients", self._clients)
        app.router.add_get("/v1/route", self._route)
        app.router.add_post("/v1/erase", self._erase)
        app.router.add_get("/v1/reports", self._reports)
        app.router.add_get("/v1/reports/{number}/body", self._report)
        app.router.add_post("/v1/suppressed/remove", self._unsuppress)
        app.router.add_post("/v1/disaster/release-spool", self._release_spool)
        return app

    async def _live(self, _request: web.Request) -> web.Response:
        return _json({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        readiness = self._control.readiness()
        return _json(readiness, 200 if readiness.ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._control.metrics(), content_type="text/plain", charset="utf-8")

    async def _status(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        return _json(await self._control.status())

    async def _find(self, request: web.Request) -> web.Response:
        return _json(await self._control.spool.find(filter_of(parameters(request.query.items(), FILTER_KEYS))))

    async def _find_everywhere(self, request: web.Request) -> web.Response:
        values = parameters(request.query.items(), FILTER_KEYS | _HERE)
        return _json(await self._control.everywhere.find(filter_of(values), here=here_of(values)))

    async def _trace_everywhere(self, request: web.Request) -> web.Response:
        values = parameters(request.query.items(), _HERE)
        return _json(await self._control.everywhere.trace(request.match_info["id"], here=here_of(values)))

    async def _route(self, request: web.Request) -> web.Response:
        return _json(self._control.route(question_of(parameters(request.query.items(), ROUTE_KEYS))))

    async def _show(self, request: web.Request) -> web.Response:
        view = await self._control.spool.journey(request.match_info["id"])
        return _json({"error": "no message of that id here"}, 404) if view is None else _json(view)

    async def _body(self, request: web.Request) -> web.StreamResponse:
        message_id = request.match_info["id"]
        if await self._control.spool.journey(message_id) is None:
            return _json({"error": "no message of that id here"}, 404)
        chunks = self._control.spool.export(message_id)
        first = await anext(chunks, b"")  # a body that is gone must become an error, not an empty answer
        _log.warning("message exported", extra={"queue_id": message_id, "actor": _actor(request)})
        response = web.StreamResponse(headers={"Content-Type": "message/rfc822"})
        await response.prepare(request)
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
        return response

    async def _act(self, request: web.Request) -> web.Response:
        """Hold, release (retry) or delete what a filter names; everything only with ``all: true``."""
        return await self._acted(request, self._control.everywhere.act_here)

    async def _act_everywhere(self, request: web.Request) -> web.Response:
        """Do the same on all nodes."""
        return await self._acted(request, self._control.everywhere.act)

    async def _acted(self, request: web.Request, act: Callable[[Order], Awaitable[Done]]) -> web.Response:
        action, body = action_of(request.match_info["action"]), await _object(request, _QUEUE_KEYS)
        which, why = filter_in(body), text_of(body, "reason")
        if names_nothing(which) and not flag_of(body, "all"):
            raise BadRequestError("filter: names nothing; say all: true to mean every message")
        rounds = 1 if bounded(body) else ROUNDS_MAX
        done = await act(Order(action=action, which=which, actor=_actor(request), reason=why, rounds=rounds))
        detail = {"action": action.value, "changed": done.changed, "actor": _actor(request), "why": why}
        _log.warning("queue changed", extra=detail | {"nodes": done.by_node, "missing": sorted(done.missing)})
        return _json(done)

    async def _accounts(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        return _json(self._control.ways())

    async def _account_act(self, request: web.Request) -> web.Response:
        action, body = request.match_info["action"], await _object(request, _ACCOUNT_KEYS)
        acts = {"park": self._control.park, "resume": self._control.resume}
        if action not in acts:
            raise BadRequestError(f"action: expected one of {', '.join(acts)}, not {action[:40]!r}")
        account, why = text_of(body, "account", required=True), text_of(body, "reason")
        if not await acts[action](account, why, _actor(request), here=flag_of(body, "here")):
            return _json({"error": f"account: there is no account or scope {account!r}"}, 404)
        _log.warning(
            "account changed", extra={"action": action, "account": account, "actor": _actor(request), "why": why}
        )
        return _json({"changed": 1})

    async def _budget(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        return _json(self._control.budgets())

    async def _shares(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        cluster = self._control.cluster
        return _json({} if cluster is None else cluster.shares())

    async def _cluster(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        cluster = self._control.cluster
        return _json(None if cluster is None else await cluster.view())

    async def _wish(self, request: web.Request) -> web.Response:
        order, cluster = order_of(await _object(request, WISH_KEYS)), self._control.cluster
        if cluster is None:
            raise BadRequestError("this node belongs to no cluster")
        return _json(await cluster.wish(order, _actor(request)))

    async def _finalise(self, request: web.Request) -> web.Response:
        why = text_of(await _object(request, _WHY_KEYS), "reason", required=True)
        view = await self._control.finalise(why, _actor(request))
        _log.warning("level %d is in force", view.level, extra={"actor": _actor(request), "why": why})
        return _json(view)

    async def _clients(self, request: web.Request) -> web.Response:
        parameters(request.query.items())
        return _json(self._control.clients())

    async def _erase(self, request: web.Request) -> web.Response:
        body = await _object(request, _ERASE_KEYS)
        address = text_of(body, "address", required=True)
        if "@" not in address.strip("@"):
            raise BadRequestError("address: expected an address to erase from the history")
        changed = await self._control.erase(address, _actor(request))
        _log.warning("address erased from history", extra={"changed": changed, "actor": _actor(request)})
        return _json({"changed": changed})

    async def _reports(self, request: web.Request) -> web.Response:
        which = filter_of(parameters(request.query.items(), _LIMIT))
        return _json(await self._control.truth.view(which.limit))

    async def _report(self, request: web.Request) -> web.Response:
        number = whole(request.match_info["number"], "number")
        found = await self._control.truth.content(number)
        if found is None:
            return _json({"error": "no report of that number is kept"}, 404)
        _log.warning("report exported", extra={"report": number, "actor": _actor(request)})
        return web.Response(body=found, content_type="message/rfc822")

    async def _unsuppress(self, request: web.Request) -> web.Response:
        address = text_of(await _object(request, _ERASE_KEYS), "address", required=True)
        changed = await self._control.truth.unsuppress(address)
        _log.warning("address taken off the suppression list", extra={"changed": changed, "actor": _actor(request)})
        return _json({"changed": int(changed)})

    async def _release_spool(self, request: web.Request) -> web.Response:
        why = text_of(await _object(request, _WHY_KEYS), "reason", required=True)
        self._control.release_spool()
        _log.warning("quarantined spool released", extra={"actor": _actor(request), "why": why})
        return _json({"released": True})


_HERE = frozenset({"here"})
_QUEUE_KEYS = frozenset({"filter", "all", "reason"})
_ACCOUNT_KEYS = frozenset({"account", "reason", "here"})
_ERASE_KEYS = frozenset({"address"})
_WHY_KEYS = frozenset({"reason"})
_LIMIT = frozenset({"limit"})


def _actor(request: web.Request) -> str:
    """Who asks: the user ``relayctl`` names; trustworthy because only the owner can open the socket."""
    return request.headers.get("X-Relay-Actor", "local")[:64]


async def _object(request: web.Request, known: frozenset[str]) -> dict[str, object]:
    parameters(request.query.items())
    return object_of(await request.read(), known)
