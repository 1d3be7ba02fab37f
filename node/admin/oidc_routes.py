"""What the sign-in's addresses answer, apart from the library that carries them.

A browser leaves with a cookie that holds its session; ``relayctl`` with a code, and a token for it. Cookies have the
``__Host-`` prefix: they are of this very host, and are sent by TLS or to this machine only (RFC 6265bis §4.1.3.2).
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypedDict

import msgspec

from node.admin.access import Caller, Denied, Gatekeeper, Often, Role
from node.admin.asking import JSON, Deed
from node.admin.oidc import PENDING_S, Oidc, new_mark
from node.admin.oidc_claims import refused
from node.admin.oidc_sessions import Loopback, Opened, Sessions, loopback_of
from node.admin.queries import object_of, parameters, text_of

BROWSER: Final = "__Host-relay-browser"
SESSION: Final = "__Host-relay-session"
TRIES, TRIES_S = 30, 60.0
"""Requests of one address; a sign-in takes two or three."""
WAITING_MAX: Final = 1_000
CLEAR: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Codes stand in these addresses: nobody keeps them or is told of them."""
SIGNED_IN: Final = "Signed in as {name}, {role}. This page can be closed.\n"
LEADS_ON: Final = (
    '<!doctype html><html lang="en"><title>Signed in</title><meta http-equiv="refresh" content="0; url={home}">'
    '<p>Signed in. <a href="{home}">Go on to the console</a></p></html>\n'
)
"""A page of our own leads on: a cookie that is ``Strict`` is not sent where the provider's redirects lead."""
BEGIN_KEYS: Final = ("port", "challenge", "state")
TOKEN_KEYS: Final = frozenset({"code", "verifier"})
_log = logging.getLogger(__name__)


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    query: tuple[tuple[str, str], ...] = ()
    cookies: Mapping[str, str] = {}
    authorization: str = ""
    body: bytes = b""
    address: str = ""


class Cookie(msgspec.Struct, frozen=True, kw_only=True):
    """One to set; an empty value takes it away."""

    name: str
    value: str
    lasts_s: int
    same_site: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    value: object = None
    """Becomes JSON, where there is no text."""
    text: str = ""
    status: int = 200
    location: str = ""
    cookies: tuple[Cookie, ...] = ()
    kind: str = JSON
    who: Caller | None = None
    deed: Deed | None = None
    """What was done, and by whom, for the audit."""


class SignIn:
    """The addresses below ``/v1/oidc``."""

    def __init__(
        self,
        oidc: Oidc,
        gatekeeper: Gatekeeper,
        *,
        home: str = "",
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``home``: where a browser goes that has signed in; empty: it is told so and stays."""
        self.oidc, self._gatekeeper, self.home, self._now_ms = oidc, gatekeeper, home, now_ms
        self.sessions = Sessions(gatekeeper)
        self._often = Often(TRIES, TRIES_S)
        self._waiting: dict[str, tuple[Loopback, int]] = {}

    def routes(self) -> Mapping[tuple[str, str], Callable[[Came], Awaitable[Reply]]]:
        """Give every address with what answers it."""
        return {
            ("GET", "/v1/oidc/begin"): self.begin,
            ("GET", "/v1/oidc/callback"): self.callback,
            ("POST", "/v1/oidc/token"): self.token,
            ("POST", "/v1/oidc/logout"): self.logout,
        }

    async def begin(self, came: Came) -> Reply:
        """Send a browser to the provider; with a port, for a program that waits there."""
        self._slow(came)
        asked = parameters(came.query, frozenset(BEGIN_KEYS))
        waiting = loopback_of(*(asked.get(name, "") for name in BEGIN_KEYS)) if asked else None
        mark = new_mark()
        where = await self.oidc.begin(mark, again=waiting is not None)
        if waiting is not None:
            self._wait(mark, waiting)
        cookie = Cookie(name=BROWSER, value=mark, lasts_s=int(PENDING_S), same_site="Lax")
        return Reply(status=302, location=where, cookies=(cookie,))

    async def callback(self, came: Came) -> Reply:
        """Take what the browser came back with: a session for it, or a code for the program that waits."""
        self._slow(came)
        mark = came.cookies.get(BROWSER, "")
        waiting = self._waiting.pop(mark, None)
        try:
            person = await self.oidc.finish(came.query, mark)
        except Denied as error:
            _log.warning("%s", error, extra={"source": came.address})
            raise
        gone = Cookie(name=BROWSER, value="", lasts_s=0, same_site="Lax")
        if waiting is not None:
            code = self.sessions.code(person, waiting[0].challenge)
            return Reply(status=302, location=waiting[0].address(code), cookies=(gone,))
        opened = self.sessions.open(person, self._now_ms())
        lasts_s = max(1, (opened.until_ms - self._now_ms()) // 1000)
        cookie = Cookie(name=SESSION, value=opened.token, lasts_s=lasts_s, same_site="Strict")
        return Reply(
            text=LEADS_ON.format(home=self.home) if self.home else SIGNED_IN.format(name=person.name, role=opened.role),
            kind="text/html" if self.home else "text/plain",
            cookies=(gone, cookie),
            **_done(opened, came, "signed in"),
        )

    async def token(self, came: Came) -> Reply:
        """Give a program the token its code stands for."""
        self._slow(came)
        body = object_of(came.body, TOKEN_KEYS)
        code, verifier = text_of(body, "code", required=True), text_of(body, "verifier", required=True)
        opened = self.sessions.redeem(code, verifier, self._now_ms())
        return Reply(value=opened, **_done(opened, came, "signed in"))

    async def logout(self, came: Came) -> Reply:
        """End the session whose token is given in ``Authorization``."""
        self._slow(came)
        scheme, _, token = came.authorization.partition(" ")
        held = self._gatekeeper.close(token.strip()) if scheme.lower() == "bearer" else None
        if held is None:
            raise refused("expected Authorization: Bearer with the token of a sign-in")
        who = Caller(name=held.name, role=held.role, at=came.address)
        gone = Cookie(name=SESSION, value="", lasts_s=0, same_site="Strict")
        return Reply(value={"ended": True}, cookies=(gone,), who=who, deed=Deed(text="signed out"))

    def _slow(self, came: Came) -> None:
        now_s = self._now_ms() / 1000
        if self._often.over(came.address, now_s):
            raise Denied(429, "sign-in: too many requests from this address; try again in a minute")
        self._often.note(came.address, now_s)

    def _wait(self, mark: str, waiting: Loopback) -> None:
        now_ms = self._now_ms()
        self._waiting = {name: one for name, one in self._waiting.items() if one[1] > now_ms}
        if len(self._waiting) >= WAITING_MAX:
            raise Denied(429, "sign-in: too many are under way; try again in a few minutes")
        self._waiting[mark] = waiting, now_ms + int(PENDING_S * 1000)


class _Done(TypedDict):
    who: Caller
    deed: Deed


def _done(opened: Opened, came: Came, what: str) -> _Done:
    role = Role[opened.role.upper()]
    return {"who": Caller(name=opened.name, role=role, at=came.address), "deed": Deed(text=what)}
