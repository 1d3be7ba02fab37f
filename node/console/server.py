"""The console on the administration port: cookies, forms, answers; the only file that imports aiohttp in this room."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

import msgspec
from aiohttp import web

from node.admin.access import Caller, Denied, Gatekeeper
from node.admin.asking import Answer, Ask
from node.admin.oidc_routes import SESSION
from node.admin.once import EVENT, NAME, Once
from node.admin.routes import Route
from node.admin.server import status_of
from node.console.desk import Desk, NotThereError
from node.console.flow import Flow
from node.console.guard import COOKIE, CSRF, HEADERS, StrangerError, check_host, check_origin
from node.console.paint import Painter, served
from node.console.sessions import Session, Sessions
from node.console.site import ACTIONS, PAGES, Place
from node.console.visit import Data, Done, Page, Shown, Visit
from node.errors import RelayError
from node.policy.passwords import token_digest

FIELDS_MAX: Final = 1_100
"""Of a form: a page of messages, each with a box to tick, and what is asked of them."""
WEEK_S: Final = 7 * 86_400
ARRIVED: Final = "/console/arrived"
"""Where a browser comes that signed in by a provider."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door(Protocol):
    """The administration interface (``node/admin/server.py``)."""

    gatekeeper: Gatekeeper
    once: Once

    async def tell(self, entry: dict[str, object]) -> None:
        """Write into the audit."""
        ...

    async def perform(self, route: Route, ask: Ask) -> Answer:
        """Do what a route does for a caller who is known."""
        ...


class Console:
    """The console of one node; ``mount`` adds it to the port's application."""

    def __init__(
        self, door: Door, *, node: str, names: Collection[str] = (), trace_url: str = "", provider: bool = False
    ) -> None:
        """``names``: what ``Host`` may say beside addresses; ``trace_url``: of a trace, with ``{trace_id}`` in it.

        ``provider``: whether people can sign in by an OpenID provider.
        """
        self._door, self._trace_url, self._provider = door, trace_url, provider
        self._names = frozenset({"localhost", *(name.lower() for name in names)})
        self._desk, self._flow, self.sessions = Desk(door.perform), Flow(), Sessions()
        self._static = served()
        self._painter = Painter(node, self._static)

    def mount(self, app: web.Application) -> None:
        """Add ``/console/``."""
        console = web.Application(middlewares=[self._guarded])
        console.router.add_get("/sign-in", self._sign_in_page)
        console.router.add_post("/sign-in", self._sign_in)
        console.router.add_post("/sign-out", self._sign_out)
        console.router.add_get(ARRIVED.removeprefix("/console"), self._arrived)
        console.router.add_get("/static/{name}", self._file)
        for place in PAGES:
            console.router.add_get(place.path, self._showing(place))
        for path, done in ACTIONS.items():
            console.router.add_post(path, self._acting(done))
        app.add_subapp("/console", console)
        app.router.add_get("/console", _to_first)

    # -- each request

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_host(request.host, self._names)
            if request.method == "POST":
                site = request.headers.get("Sec-Fetch-Site", "")
                check_origin(request.headers.get("Origin", ""), site, request.scheme, request.host)
            response = await handler(request)
        except Denied as error:
            response = self._denied(request, error)
        except web.HTTPException as error:
            response = error if error.status < 400 else self._fault(error.status, error.reason)  # noqa: PLR2004 - faults begin there
        except StrangerError as error:
            response = self._fault(403, str(error))
        except NotThereError as error:
            response = self._fault(404, str(error))
        except RelayError as error:
            response = self._fault(status_of(error), str(error))
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _denied(self, request: web.Request, error: Denied) -> web.StreamResponse:
        """Lead whoever is not signed in (any more) to the door; say the rest."""
        if error.status != 401:  # noqa: PLR2004 - not authenticated
            return self._fault(error.status, str(error))
        if request.path == "/console/sign-in":
            return self._sign_in_html(str(error), 401)
        if "HX-Request" in request.headers:
            return web.Response(status=204, headers={"HX-Redirect": "/console/sign-in"})
        response = web.Response(status=303, headers={"Location": "/console/sign-in"})
        response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        return response

    def _fault(self, status: int, text: str) -> web.Response:
        return self._html("fault.html", {"status": status, "text": text}, status)

    def _html(self, template: str, values: dict[str, object], status: int = 200) -> web.Response:
        return web.Response(text=self._painter.paint(template, values), status=status, content_type="text/html")

    # -- in and out

    async def _sign_in_page(self, _request: web.Request) -> web.StreamResponse:
        return self._sign_in_html()

    def _sign_in_html(self, fault: str = "", status: int = 200) -> web.Response:
        return self._html("sign_in.html", {"fault": fault, "provider": self._provider}, status)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        """Take a token, by the same door, the same limits as the API's; or one that is good for one sign-in."""
        token = next(iter((await _form(request)).get("token", ())), "").strip()
        session = self._door.once.take(token, _now_ms())
        if session:
            await self._door.tell({"actor": NAME, "role": "admin", "from": _address(request), "event": EVENT})
        return self._begun(request, session or token)

    async def _arrived(self, request: web.Request) -> web.StreamResponse:
        """Take the session a provider's sign-in has left in the browser."""
        return self._begun(request, request.cookies.get(SESSION, ""))

    def _begun(self, request: web.Request, token: str) -> web.StreamResponse:
        now_ms = _now_ms()
        self._door.gatekeeper.admit(f"Bearer {token}", _address(request), now_ms)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        key, _ = self.sessions.begin(token_digest(token), now_ms)
        response = web.Response(status=303, headers={"Location": "/console/"})
        response.set_cookie(COOKIE, key, path="/", secure=True, httponly=True, samesite="Strict")
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        await self._visit(request)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        raise Denied(401, "signed out")

    def _caller(self, request: web.Request) -> tuple[Session, Caller]:
        now_ms = _now_ms()
        key = request.cookies.get(COOKIE, "")
        session = self.sessions.find(key, now_ms)
        if session is None:
            raise Denied(401, "not signed in")
        try:
            return session, self._door.gatekeeper.again(session.digest, _address(request), now_ms)
        except Denied as error:
            if error.status == 401:  # noqa: PLR2004 - its token is gone
                self.sessions.end(key)
            raise

    async def _visit(self, request: web.Request) -> Visit:
        session, caller = self._caller(request)
        form = await _form(request) if request.method == "POST" else {}
        if request.method == "POST" and not session.meant(next(iter(form.get(CSRF, ())), "")):
            raise StrangerError(f"{CSRF}: this form was made for another session; open the page again")
        return Visit(
            caller=caller,
            session=session,
            desk=self._desk,
            flow=self._flow,
            now_ms=_now_ms(),
            query=dict(request.query),
            form=form,
            match=dict(request.match_info),
            trace_url=self._trace_url,
        )

    # -- pages and actions

    def _showing(self, place: Place) -> Handler:
        async def shown(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(request)
            page: Page | Data = await _show(place.show, visit)
            if isinstance(page, Data):
                return web.Response(body=msgspec.json.encode(page.value), content_type="application/json")
            return self._html(page.template, {**page.values, "visit": visit, "here": place.name})

        return shown

    def _acting(self, act: Done) -> Handler:
        async def done(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(request)
            try:
                to = (await act(visit)).to
            except RelayError as error:  # said on the page where it was asked
                visit.session.tell("bad", str(error))
                to = visit.back
            return web.Response(status=303, headers={"Location": to})

        return done

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self._static.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": f"public, max-age={WEEK_S}, immutable"}
        return web.Response(body=file.data, content_type=file.kind, charset="utf-8", headers=headers)


async def _show(show: Shown, visit: Visit) -> Page | Data:
    return await show(visit)


async def _to_first(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=303, headers={"Location": "/console/"})


async def _form(request: web.Request) -> dict[str, tuple[str, ...]]:
    """Read a form; raises StrangerError for anything else."""
    if request.content_type != "application/x-www-form-urlencoded" or "Content-Encoding" in request.headers:
        raise StrangerError("Content-Type: expected a form, sent as it is")
    fields = await request.post()
    if len(fields) > FIELDS_MAX:
        raise StrangerError(f"form: more than {FIELDS_MAX} fields")
    return {name: tuple(str(value) for value in fields.getall(name)) for name in set(fields)}


def _address(request: web.Request) -> str:
    name = request.transport.get_extra_info("peername") if request.transport else None
    return str((name or ("?",))[0])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
