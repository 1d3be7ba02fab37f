"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616): decodes what the client says and asks the door whether it is true.

Knows no hashes and keeps no password longer than the question takes. Same reply for unknown user and wrong password.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Final

import msgspec

from node.errors import TemporaryError
from node.intake.door import Sight
from node.intake.replies import Say
from node.intake.sequence import Mode

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from node.intake.conversation import Conversation

MAX_DELAY_S: Final = 30.0
"""A refusal is never held back longer, whatever the guard asks for; the session's idle time is longer still."""
MAX_USER_CHARS: Final = 255
MAX_PASSWORD_OCTETS: Final = 1024


class Exchange(msgspec.Struct, kw_only=True):
    """An AUTH exchange waiting for the client's next line."""

    mechanism: str
    user: str = ""


def auth(session: Conversation, argument: str) -> bytes | Awaitable[bytes]:  # noqa: PLR0911 - one reply a rule
    """Begin: ``AUTH mechanism [initial-response]``."""
    if session.user:
        return Say.ALREADY_AUTHENTICATED
    if not session.gate.auth_offered(tls_on=bool(session.tls_version)):
        return Say.AUTH_NEEDS_TLS if session.gate.starttls and not session.tls_version else Say.NO_AUTH
    words = argument.split(" ")
    if not argument or len(words) > 2:  # noqa: PLR2004 - mechanism and initial response
        return Say.BAD_AUTH
    mechanism = words[0].upper()
    if mechanism not in {"PLAIN", "LOGIN"}:
        return Say.BAD_MECHANISM
    session.auth_tries += 1
    if session.auth_tries > session.house.limits.auth_tries:
        return session.close(Say.TOO_MANY_AUTHS)
    session.sasl = Exchange(mechanism=mechanism)
    if len(words) == 1:
        session.mode = Mode.SASL
        return Say.ASK if mechanism == "PLAIN" else Say.ASK_USER
    return respond(session, b"" if words[1] == "=" else words[1].encode())


def respond(session: Conversation, line: bytes) -> bytes | Awaitable[bytes]:
    """Go on with the client's next line, without its CRLF."""
    exchange, session.sasl = session.sasl, None
    session.mode = Mode.COMMAND
    if line == b"*":
        return Say.CANCELLED
    try:
        said = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return Say.BAD_BASE64
    if exchange is None or exchange.mechanism == "PLAIN":
        return _plain(session, said)
    return _login(session, exchange, said)


def _plain(session: Conversation, said: bytes) -> bytes | Awaitable[bytes]:
    parts = said.split(b"\0")
    if len(parts) != 3 or (parts[0] and parts[0] != parts[1]):  # noqa: PLR2004 - authzid, authcid, password
        return Say.BAD_BASE64 if len(parts) != 3 else Say.AUTH_FAILED  # noqa: PLR2004
    user = _text(parts[1])
    return check(session, user, parts[2]) if user else Say.AUTH_FAILED


def _login(session: Conversation, exchange: Exchange, said: bytes) -> bytes | Awaitable[bytes]:
    if exchange.user:
        return check(session, exchange.user, said)
    user = _text(said)
    if not user:
        return Say.AUTH_FAILED
    session.sasl = Exchange(mechanism="LOGIN", user=user)
    session.mode = Mode.SASL
    return Say.ASK_PASSWORD


def _text(octets: bytes) -> str:
    """The user's name, or nothing if it cannot be one."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(text) <= MAX_USER_CHARS else ""


async def check(session: Conversation, user: str, password: bytes) -> bytes:
    """Ask the door; hold a refusal back as long as the guard wants."""
    if not password or len(password) > MAX_PASSWORD_OCTETS:
        return Say.AUTH_FAILED
    try:
        outcome = await session.house.door.verify(user, password, session.ip)
    except TemporaryError:
        return Say.AUTH_TRY_LATER
    result = "ok" if outcome.user else "busy" if outcome.temporary else "refused"
    session.house.telemetry.count("relay_intake_auth", result=result)
    if outcome.user:
        session.signed_in(outcome.user)
        return Say.AUTHENTICATED
    if not outcome.temporary:
        session.see(Sight.AUTH_FAILED)
    if outcome.delay_s > 0:
        await asyncio.sleep(min(outcome.delay_s, MAX_DELAY_S))
    return Say.AUTH_TRY_LATER if outcome.temporary else Say.AUTH_FAILED
