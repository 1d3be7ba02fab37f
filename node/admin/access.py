"""Who asks, and what they may: tokens, roles, and how often a stranger may try. Pure.

A token is looked up by its hash (operations §2, §5).
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec

from node.errors import PermanentError
from node.policy.passwords import token_digest
from node.policy.proof import Credential, of_token

TRIES: Final = 10
"""Wrong tokens of one address within ``TRIES_S``; then it is not listened to."""
TRIES_S: Final = 60.0
REQUESTS: Final = 200
"""Requests of one token within ``REQUESTS_S``."""
REQUESTS_S: Final = 10.0
SESSIONS_MAX: Final = 1_000
"""People signed in at once; beyond it nobody signs in until some sessions end."""
WATCHED_MAX: Final = 10_000
"""Addresses and tokens counted at once; when there are more all are forgotten."""


class Role(IntEnum):
    """What somebody may do; each includes those before it."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the configuration."""

    name: str
    digest: str
    """SHA-256, 64 hex digits."""
    role: Role
    until_ms: int
    key: bytes = b""
    """Public key of the credential that lies in it; empty: it proves nothing to other nodes."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    name: str
    role: Role
    at: str
    """Where from: ``socket``, or an address."""
    proven: bool = False
    """By a token; on the socket a name is what was told."""
    credential: Credential | None = None
    """What he proves to other nodes with who he is; None: he cannot."""


LOCAL: Final = "socket"


class Denied(PermanentError):  # noqa: N818 - a state of affairs
    """The request is not answered."""

    def __init__(self, status: int, text: str) -> None:
        """``status``: 401, 403 or 429."""
        super().__init__(text)
        self.status = status


class Often:
    """How often something happened lately, by key: a window that starts anew when it is over."""

    def __init__(self, most: int, window_s: float) -> None:
        """Nothing happened yet."""
        self._most, self._window_s = most, window_s
        self._seen: dict[str, tuple[float, int]] = {}

    def over(self, key: str, now_s: float) -> bool:
        """Tell whether it happened as often as it may."""
        began_s, count = self._seen.get(key, (now_s, 0))
        return count >= self._most and now_s - began_s < self._window_s

    def note(self, key: str, now_s: float) -> None:
        """It happened."""
        began_s, count = self._seen.get(key, (now_s, 0))
        if key not in self._seen and len(self._seen) >= WATCHED_MAX:
            self._seen.clear()
        if now_s - began_s >= self._window_s:
            began_s, count = now_s, 0
        self._seen[key] = began_s, count + 1


class Gatekeeper:
    """Knows the tokens."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        """Take those of the configuration."""
        self._tokens: dict[str, Token] = {}
        self._sessions: dict[str, Token] = {}
        self._credentials: dict[str, Credential] = {}
        """By the hash of the token each was made of; no more than there are tokens."""
        self._failed, self._asked = Often(TRIES, TRIES_S), Often(REQUESTS, REQUESTS_S)
        self.replace(tokens)

    def replace(self, tokens: Iterable[Token]) -> None:
        """Others are in force."""
        self._tokens = {token.digest: token for token in tokens}
        self._credentials = {name: one for name, one in self._credentials.items() if self._known(name)}

    def open(self, session: Token, now_ms: int, credential: Credential | None = None) -> None:
        """Know the token of somebody who signed in, until it ends. Raises Denied."""
        self._sessions = {digest: one for digest, one in self._sessions.items() if one.until_ms > now_ms}
        if len(self._sessions) >= SESSIONS_MAX:
            raise Denied(429, "too many people are signed in; try again later")
        self._sessions[session.digest] = session
        self._credentials = {name: one for name, one in self._credentials.items() if self._known(name)}
        if credential is not None:
            self._credentials[session.digest] = credential

    def close(self, token: str) -> Token | None:
        """Forget the token of somebody who signed in; None: there is no such session."""
        self._credentials.pop(token_digest(token), None)
        return self._sessions.pop(token_digest(token), None)

    def admit(self, authorization: str, address: str, now_ms: int) -> Caller:
        """Tell who asks, by ``Authorization: Bearer TOKEN`` (RFC 6750 §2.1). Raises Denied."""
        now_s = now_ms / 1000
        if self._failed.over(address, now_s):
            raise Denied(429, "too many wrong tokens from this address; try again in a minute")
        scheme, _, token = authorization.partition(" ")
        digest = token_digest(token.strip())
        known = self._known(digest) if scheme.lower() == "bearer" else None
        if known is None or known.until_ms <= now_ms:
            if authorization:
                self._failed.note(address, now_s)
            raise Denied(401, "expected Authorization: Bearer with a token that is known" + _ended(known))
        if known.key and digest not in self._credentials and (made := of_token(token.strip())).key == known.key:
            self._credentials[digest] = made
        return self._counted(known, address, now_s)

    def again(self, digest: str, address: str, now_ms: int) -> Caller:
        """Tell who asks by the hash of a token shown before (the console's sessions): still known? Raises Denied."""
        known = self._known(digest)
        if known is None or known.until_ms <= now_ms:
            raise Denied(401, "the token of this session is not known any more" + _ended(known))
        return self._counted(known, address, now_ms / 1000)

    def _known(self, digest: str) -> Token | None:
        return self._tokens.get(digest) or self._sessions.get(digest)

    def _counted(self, known: Token, address: str, now_s: float) -> Caller:
        if self._asked.over(known.name, now_s):
            raise Denied(429, "too many requests with this token; try again in a few seconds")
        self._asked.note(known.name, now_s)
        credential = self._credentials.get(known.digest)
        return Caller(name=known.name, role=known.role, at=address, proven=True, credential=credential)


def permit(caller: Caller, least: Role) -> None:
    """Raise Denied if the caller's role is not enough."""
    if caller.role < least:
        raise Denied(403, f"this takes the role {least.name.lower()}; {caller.name} is {caller.role.name.lower()}")


def _ended(token: Token | None) -> str:
    return "" if token is None else f"; that of {token.name} has ended"
