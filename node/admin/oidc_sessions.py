"""Who has signed in, and how ``relayctl login`` gets its token: a code of one use, bound to whoever began (RFC 7636).

The browser is sent to the loopback address of the machine it runs on (RFC 8252 §7.3) with a code; only who knows the
verifier behind the challenge it began with gets a token for it.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import msgspec

from node.admin.access import Denied, Gatekeeper, Token
from node.admin.oidc import challenge_of
from node.admin.oidc_claims import Person, refused
from node.policy.passwords import token_digest

CODE_S: Final = 60.0
CODES_MAX: Final = 100
PORT_MIN, PORT_MAX = 1024, 65_535
_TOKEN_BYTES: Final = 32
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)
OF_OIDC: Final = "oidc:"
"""In front of a name that the provider gave; no token of the configuration can be called so."""


class Loopback(msgspec.Struct, frozen=True, kw_only=True):
    """A program on the browser's machine that waits for a code."""

    port: int
    challenge: str
    state: str

    def address(self, code: str) -> str:
        """Give where the browser takes the code."""
        return f"http://127.0.0.1:{self.port}/?{urlencode({'code': code, 'state': self.state})}"


def loopback_of(port: str, challenge: str, state: str) -> Loopback:
    """Read what a program asks for. Raises Denied."""
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0  # noqa: PLR2004 - 65535
    if not PORT_MIN <= number <= PORT_MAX:
        raise Denied(400, f"port: expected {PORT_MIN} to {PORT_MAX}")
    if not _CHALLENGE.fullmatch(challenge) or not _STATE.fullmatch(state):
        raise Denied(400, "challenge and state: expected an S256 challenge and 16 to 128 letters")
    return Loopback(port=number, challenge=challenge, state=state)


class _Code(msgspec.Struct, frozen=True, kw_only=True):
    person: Person
    challenge: str
    until_s: float


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its owner is told of it."""

    token: str
    name: str
    role: str
    until_ms: int


class Sessions:
    """Opens and closes them at the gatekeeper, which knows them by their hash like any token."""

    def __init__(self, gatekeeper: Gatekeeper, now_s: Callable[[], float] = time.monotonic) -> None:
        """None is open."""
        self._gatekeeper, self._now_s = gatekeeper, now_s
        self._codes: dict[str, _Code] = {}

    def open(self, person: Person, now_ms: int) -> Opened:
        """Let somebody in until his sign-in ends. Raises Denied if too many are."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        held = Token(
            name=f"{OF_OIDC}{person.name}", digest=token_digest(token), role=person.role, until_ms=person.until_ms
        )
        self._gatekeeper.open(held, now_ms, person.credential)
        return Opened(token=token, name=held.name, role=person.role.name.lower(), until_ms=person.until_ms)

    def code(self, person: Person, challenge: str) -> str:
        """Give a code for the program that waits. Raises Denied."""
        now_s = self._now_s()
        self._codes = {name: one for name, one in self._codes.items() if one.until_s > now_s}
        if len(self._codes) >= CODES_MAX:
            raise Denied(429, "sign-in: too many are under way; try again in a minute")
        code = secrets.token_urlsafe(_TOKEN_BYTES)
        self._codes[token_digest(code)] = _Code(person=person, challenge=challenge, until_s=now_s + CODE_S)
        return code

    def redeem(self, code: str, verifier: str, now_ms: int) -> Opened:
        """Open the session a code stands for; a code tried once is gone. Raises Denied."""
        held = self._codes.pop(token_digest(code), None)
        fits = held is not None and hmac.compare_digest(challenge_of(verifier).encode(), held.challenge.encode())
        if held is None or not fits or held.until_s <= self._now_s():
            raise refused("the code is not known, was used, or is another program's")
        return self.open(held.person, now_ms)
