"""AUTH as the front end does it: XOAUTH2 and LOGIN after STARTTLS, a tarpit for failures (facts m365 §3.2, §3.5, §4.3).

As a smart host: PLAIN and LOGIN against a list of users. Never tells the client more than the service does.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.directory import Mailbox, TenantSpec
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
    read = _mechanisms(session).get(mechanism.upper())
    if read is None:
        session.mistake(texts.AUTH_TYPE)
        return
    account, verdict = await read(session, initial.strip())
    step = await session.fault(Moment.AUTH, Facts(key=account, account=account))
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


def _mechanisms(session: Session) -> dict[bytes, Reader]:
    smarthost = session.hub.directory.smarthost
    if smarthost is None:
        return {b"XOAUTH2": _xoauth2, b"LOGIN": _login} if session.wire.tls_version else {}
    protected = smarthost.tls != "required" or session.wire.tls_version
    return {b"PLAIN": _plain, b"LOGIN": _login} if smarthost.users and protected else {}


async def _xoauth2(session: Session, initial: bytes) -> tuple[str, str]:
    blob = _decoded(initial) if initial else await _ask(session, "334 ")
    fields = dict(part.partition("=")[::2] for part in (blob or "").split("\x01") if part)
    account = fields.get("user", "").lower()
    token = fields.get("auth", "")
    found = session.hub.mailbox(account)
    if found is None or token[:7].lower() != "bearer " or not session.hub.token_admits(token[7:], account):
        return account, texts.AUTH_FAILED
    return account, _switches(*found) or texts.AUTHENTICATED


async def _login(session: Session, initial: bytes) -> tuple[str, str]:
    user = _decoded(initial) if initial else await _ask(session, _ASK_USER)
    if user is None:
        return "", texts.AUTH_FAILED
    password = await _ask(session, _ASK_PASSWORD)
    return user.lower(), _basic(session, user, password)


async def _plain(session: Session, initial: bytes) -> tuple[str, str]:
    blob = _decoded(initial) if initial else await _ask(session, "334 ")
    parts = (blob or "").split("\0")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 4616: authzid, authcid, password
        return "", texts.AUTH_FAILED
    return parts[1].lower(), _basic(session, parts[1], parts[2])


def _basic(session: Session, user: str, password: str | None) -> str:
    smarthost = session.hub.directory.smarthost
    if smarthost is not None:
        return texts.AUTHENTICATED if _same(smarthost.users.get(user), password) else texts.AUTH_FAILED
    found = session.hub.mailbox(user.lower())
    if found is None:
        return texts.AUTH_CREDENTIALS
    off = _switches(*found)
    if off:
        return off
    if not found[0].basic:
        return texts.AUTH_BASIC_OFF
    return texts.AUTHENTICATED if _same(found[1].password, password) else texts.AUTH_CREDENTIALS


def _switches(tenant: TenantSpec, mailbox: Mailbox) -> str | None:
    # The mailbox's own switch wins over the tenant's when it is set (facts m365 §3.5), also for OAuth.
    if mailbox.smtp_auth is False:
        return texts.AUTH_MAILBOX_OFF
    if mailbox.smtp_auth is None and not tenant.smtp_auth:
        return texts.AUTH_TENANT_OFF
    return None


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


def _same(expected: str | None, given: str | None) -> bool:
    if expected is None or given is None:
        return False
    return hmac.compare_digest(expected.encode(), given.encode())
