"""``relayctl login``: signs in by the browser and waits for it on this machine's loopback address (RFC 8252 §7.3)."""

import base64
import hashlib
import hmac
import secrets
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from typing import Annotated, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import typer

from node.cli import signing_in
from node.cli.common import JsonOption, console, show_json, styled, told
from node.cli.errors import UsageError
from node.cli.remote import Api, Remote, UnreachableError
from node.cli.signing_in import NotSignedIn

WAIT_S: Final = 300.0
ASKED_S: Final = 10.0
"""How long one connection to the loopback address may take to say what it wants."""
ASKED_MAX: Final = 50
"""Requests there before it is given up: whoever asks does not know the state."""
DONE: Final = b"Signed in. This page can be closed.\n"


@told
def login(
    url: Annotated[str, typer.Argument(help="Administration port of a node, such as https://relay-a.corp:8443.")],
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM file its certificate is verified with.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser, or print where to.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Sign in at a node by the organisation's provider; later commands on this machine go there until it ends."""
    base = _base(url)
    api = Api(url=base, ca=str(ca.resolve()) if ca is not None else "")
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with _waiting(state) as server:
        query = {"port": server.server_port, "challenge": _challenge(verifier), "state": state}
        where = f"{base}/v1/oidc/begin?{urlencode(query)}"
        if not browser or not webbrowser.open(where):
            typer.echo(where, err=as_json)
        code = server.waited()
    answer = Remote(api).post("/v1/oidc/token", {"code": code, "verifier": verifier})
    signed = signing_in.opened_in(answer, base, api.ca)
    file = signing_in.keep(signed)
    until = datetime.fromtimestamp(signed.until_ms / 1000, UTC).isoformat(timespec="minutes")
    if as_json:
        show_json({"name": signed.name, "role": signed.role, "until_ms": signed.until_ms, "file": str(file)})
        return
    console.print(styled(f"signed in at {base} as {signed.name}, {signed.role}, until {until}"))


@told
def logout() -> None:
    """End the sign-in of this machine, at the node too."""
    try:
        signed = signing_in.kept()
    except NotSignedIn:
        signing_in.forget()  # it has ended, or is of no use
        raise
    if signed is None:
        raise NotSignedIn("nobody is signed in on this machine")
    signing_in.forget()
    Remote(Api(url=signed.url, ca=signed.ca, token=signed.token)).post("/v1/oidc/logout", {})
    console.print(styled(f"signed out at {signed.url}"))


def _base(url: str) -> str:
    parts = urlsplit(url)
    here = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if (parts.scheme != "https" and not here) or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageError(f"{url}: expected https:// and a host, perhaps with its port")
    return f"{parts.scheme}://{parts.netloc}"


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class _Loopback(HTTPServer):
    """Waits for the browser to bring a code."""

    state: str
    code = ""
    timeout = ASKED_S

    def waited(self) -> str:
        """Give the code. Raises UnreachableError when it does not come in time."""
        end = monotonic() + WAIT_S
        for _ in range(ASKED_MAX):
            self.timeout = max(0.0, end - monotonic())
            self.handle_request()
            if self.code:
                return self.code
            if monotonic() >= end:
                break
        raise UnreachableError("nobody came back from the browser; nothing was changed")

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that broke: the browser comes again."""


class _Handler(BaseHTTPRequestHandler):
    server: _Loopback
    timeout = ASKED_S

    def do_GET(self) -> None:
        """Take the code of whoever knows the state."""
        said = parse_qs(urlsplit(self.path).query)
        state, code = said.get("state", [""]), said.get("code", [""])
        right = len(state) == len(code) == 1 and hmac.compare_digest(state[0].encode(), self.server.state.encode())
        if right:
            self.server.code = code[0]
        self.send_response(200 if right else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(DONE if right else b"not found\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: addresses hold the code."""


@contextmanager
def _waiting(state: str) -> Iterator[_Loopback]:
    with _Loopback(("127.0.0.1", 0), _Handler) as server:
        server.state = state
        yield server
