"""Tokens of one use: how the first administrator signs in to the console while no token is configured yet.

Made by whoever is root on the host (or for him, at a start); good for one sign-in within the hour. The session it opens
ends with this process, or after eight hours, and proves nothing to other nodes.
"""

import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from node.admin.access import Gatekeeper, Role, Token
from node.policy.passwords import token_digest

GOOD_S: Final = 3_600
LASTS_S: Final = 8 * 3_600
MOST: Final = 5
"""Not yet used at once; the oldest goes first."""
NAME: Final = "once:first-run"
EVENT: Final = "signed in by a token of one use"
"""Whoever signs in by one, in the audit; no token of the configuration can be called so."""
_TOKEN_BYTES: Final = 32


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A token, as shown once."""

    token: str
    until_ms: int


class Once:
    """Those of one node, in memory, by their hash."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        """There is none; sessions are opened at the gatekeeper."""
        self._gatekeeper = gatekeeper
        self._good: dict[str, int] = {}
        self.on_used: Callable[[], None] = _nothing
        """Called when one was used, or all were withdrawn."""

    def make(self, now_ms: int) -> Made:
        """Make one."""
        self._forget(now_ms)
        while len(self._good) >= MOST:
            del self._good[next(iter(self._good))]
        made = Made(token=secrets.token_urlsafe(_TOKEN_BYTES), until_ms=now_ms + GOOD_S * 1000)
        self._good[token_digest(made.token)] = made.until_ms
        return made

    def good(self, token: str, now_ms: int) -> bool:
        """Whether it could still be used."""
        return self._good.get(token_digest(token), 0) > now_ms

    def take(self, token: str, now_ms: int) -> str:
        """Use one: give the token of the session it opens; empty: it is none.

        Raises Denied if too many people are signed in.
        """
        self._forget(now_ms)
        digest = token_digest(token)
        if digest not in self._good:
            return ""
        session = secrets.token_urlsafe(_TOKEN_BYTES)
        held = Token(name=NAME, digest=token_digest(session), role=Role.ADMIN, until_ms=now_ms + LASTS_S * 1000)
        self._gatekeeper.open(held, now_ms)
        del self._good[digest]
        self.on_used()
        return session

    def withdraw(self) -> None:
        """Let none be used any more."""
        self._good.clear()
        self.on_used()

    def _forget(self, now_ms: int) -> None:
        self._good = {digest: until_ms for digest, until_ms in self._good.items() if until_ms > now_ms}


def _nothing() -> None:
    """Nobody hears of it."""
