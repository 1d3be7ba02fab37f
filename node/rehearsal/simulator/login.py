"""AUTH as the front end does it: what mechanisms send, and a tarpit for failures (facts m365 §3.2, §4.3, §6).

Which mechanisms there are and who may log in is the service's business.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.script import Facts, Moment
from node.rehearsal.simulator.session import Session

_ASK_USER = "334 VXNlcm5hbWU6"
_ASK_PASSWORD = "334 UGFzc3dvcmQ6"  # noqa: S105 - the prompt


async def auth(session: Session, argument: bytes) -> None:
    """Answer AUTH: mechanism, optional initial response, continuations, verdict after the tarpit."""
    mechanism, _, initial = argument.partition(b" ")
    if not session.greeted or session.account or session.transaction is not None:
        session.mistake(texts.BAD_SEQUENCE)
        return
    read = MECHANISMS.get(mechanism.upper())
    if read is None or mechanism.upper().decode("ascii") not in session.service.mechanisms(session):
        session.mistake(texts.AUTH_TYPE)
        return
    account, verdict = await read(session, initial.strip())
    step = await session.fault(Moment.AUTH, Facts(key=account, account=account, service=session.service.name))
    if step is not None and step.speaks:
        if step.positive:
            session.log_in(account)
        return
    if verdict == texts.AUTHENTICATED:
        session.log_in(account)
    else:
        session.hub.counts["failed_logins"] += 1
        await tarpit(session)
    session.say(verdict)


async def tarpit(session: Session) -> None:
    """Let a failure wait as the service does: about 5 s (facts m365 §6)."""
    timing = session.hub.directory.timing
    await session.wire.rest(timing.real_s(timing.tarpit))


Reader = Callable[[Session, bytes], Awaitable[tuple[str, str]]]
"""Reads what a mechanism sends and gives (account, reply)."""


async def _xoauth2(session: Session, initial: bytes) -> tuple[str, str]:
    blob = _decoded(initial) if initial else await _ask(session, "334 ")
    fields = dict(part.partition("=")[::2] for part in (blob or "").split("\x01") if part)
    account = fields.get("user", "").lower()
    token = fields.get("auth", "")
    bearer = token[7:] if token[:7].lower() == "bearer " else None
    return account, session.service.token(session, account, bearer)


async def _login(session: Session, initial: bytes) -> tuple[str, str]:
    user = _decoded(initial) if initial else await _ask(session, _ASK_USER)
    if user is None:
        return "", texts.AUTH_FAILED
    password = await _ask(session, _ASK_PASSWORD)
    return user.lower(), session.service.password(session, user, password)


async def _plain(session: Session, initial: bytes) -> tuple[str, str]:
    blob = _decoded(initial) if initial else await _ask(session, "334 ")
    parts = (blob or "").split("\0")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 4616: authzid, authcid, password
        return "", texts.AUTH_FAILED
    return parts[1].lower(), session.service.password(session, parts[1], parts[2])


async def _ask(session: Session, prompt: str) -> str | None:
    session.say_raw(prompt)
    return _decoded(await session.line())


def _decoded(line: bytes) -> str | None:
    # "*" cancels; the service answers 535, not the 501 of RFC 4954 (facts m365 §3.2). Rubbish gets the same.
    if line == b"=":
        return ""
    try:
        return base64.b64decode(line, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


MECHANISMS: dict[bytes, Reader] = {b"XOAUTH2": _xoauth2, b"LOGIN": _login, b"PLAIN": _plain}
