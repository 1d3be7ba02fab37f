"""Who may ask what: bearer tokens for Graph, the application's permissions, its mailboxes; and Graph's error answers.

Order as in life: the token (401), the mailbox (404), the permission (403), then the throttle (429).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from node.rehearsal.simulator.inhabitants import Application, Mailbox, TenantSpec
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.simulator.tokens import TokenRefusedError
from node.rehearsal.web import Answer, Request

if TYPE_CHECKING:
    from node.rehearsal.simulator.graph.meter import GraphMeter
    from node.rehearsal.simulator.hub import Hub

AUDIENCES: Final = frozenset({"https://graph.microsoft.com"})
SEND: Final = frozenset({"Mail.Send"})
WRITE: Final = frozenset({"Mail.ReadWrite"})
READ: Final = frozenset({"Mail.Read", "Mail.ReadWrite"})
"""Either lets a mailbox be read; ``Mail.ReadBasic`` does not: it shows no body."""
TRACE: Final = frozenset({"ExchangeMessageTrace.Read.All"})


class DeniedError(Exception):
    """The request gets this answer and nothing else."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An application that may do what it asks."""

    tenant_id: str
    tenant: TenantSpec
    client: str
    mailbox: str = ""
    box: Mailbox | None = None
    meter: "GraphMeter | None" = None


def error(status: int, code: str, message: str, *, retry_after_s: float | None = None) -> Answer:
    """Word an error as Graph does."""
    inner = {"request-id": "5f3d7a0e-0000-4000-8000-000000000000", "date": "2026-11-23T10:00:00"}
    headers = {"Retry-After": str(round(retry_after_s))} if retry_after_s is not None else {}
    value = {"error": {"code": code, "message": message, "innerError": inner}}
    return Answer(status=status, value=value, headers={"request-id": inner["request-id"], **headers})


def caller(hub: "Hub", request: Request, roles: frozenset[str]) -> Caller:
    """Admit a request of a mailbox, or of the tenant where the path names none; one of ``roles`` is wanted.

    Raises DeniedError.
    """
    claims = bearer(hub, request)
    tenant_id, client = str(claims.get("tid", "")), str(claims.get("appid", ""))
    tenant = hub.directory.tenants.get(tenant_id)
    app = tenant.apps.get(client) if tenant is not None else None
    if tenant is None or app is None:
        raise _denied(hub, 401, "InvalidAuthenticationToken", "The token's application or tenant is not known.")
    mailbox = unquote(request.path.get("mailbox", "")).lower()
    box = tenant.mailboxes.get(mailbox) if mailbox else None
    if mailbox:
        _mailbox(hub, mailbox, box)
    if not roles & set(claims.get("roles", ())) and not (mailbox and _scoped(app, mailbox, roles)):
        raise _denied(hub, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    return Caller(tenant_id=tenant_id, tenant=tenant, client=client, mailbox=mailbox, box=box)


def bearer(hub: "Hub", request: Request) -> dict[str, Any]:
    """Give the claims of a request's token, if it is one for Graph that is still good. Raises DeniedError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise _denied(hub, 401, "InvalidAuthenticationToken", "Access token is empty.")
    try:
        claims = hub.signer.verify(token)
    except TokenRefusedError as no:
        raise _denied(hub, 401, "InvalidAuthenticationToken", f"CompactToken parsing failed: {no}.") from None
    if claims.get("aud") not in AUDIENCES:
        text = "Access token validation failure. Invalid audience."
        raise _denied(hub, 401, "InvalidAuthenticationToken", text)
    if float(claims.get("exp", 0)) <= hub.now_ms() / 1000:
        text = "Lifetime validation failed, the token is expired."
        raise _denied(hub, 401, "InvalidAuthenticationToken", text)
    if hub.entra.issuer.revoked(claims):
        raise _denied(hub, 401, "InvalidAuthenticationToken", "The token has been revoked.")
    return claims


def _mailbox(hub: "Hub", mailbox: str, box: Mailbox | None) -> None:
    if box is None:
        # A mailbox of another tenant is no mailbox to this token: the directory is the token's own.
        where = "another tenant's" if hub.directory.tenant_of(mailbox) else "nobody's"
        hub.tokens[f"refused: {where} mailbox at graph"] += 1
        raise _denied(hub, 404, "ErrorInvalidUser", f"The requested user '{mailbox}' is invalid.")
    if not box.graph:
        text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        raise _denied(hub, 404, "MailboxNotEnabledForRESTAPI", text)


def _scoped(app: Application, mailbox: str, roles: frozenset[str]) -> bool:
    """Whether Exchange gave it a role for this mailbox; a consent reaches every mailbox besides (operations M12)."""
    granted = app.mailboxes is None or mailbox in (name.lower() for name in app.mailboxes)
    return granted and bool(roles & set(app.scoped_graph))


def _denied(hub: "Hub", status: int, code: str, message: str) -> DeniedError:
    hub.counts[f"graph_{status}"] += 1
    if status == 401:  # noqa: PLR2004 - HTTP
        hub.tokens[f"refused: {message}"] += 1
    return DeniedError(error(status, code, message))


@asynccontextmanager
async def metered(hub: "Hub", who: Caller) -> AsyncIterator["GraphMeter"]:
    """Count a request of a mailbox while it runs; raises DeniedError beyond a limit."""
    meter = hub.graph.meter(hub.directory.graph, who.client, who.mailbox)
    over = meter.enter(hub.now_s())
    try:
        if over:
            hub.counts["graph_429"] += 1
            text = {
                "concurrency": "Application is over its MailboxConcurrency limit.",
                "requests": "Application is over its request limit.",
            }[over]
            wait_s = hub.directory.graph.retry_after
            raise DeniedError(error(429, "ApplicationThrottled", text, retry_after_s=wait_s))
        yield meter
    finally:
        meter.leave()


async def scripted(hub: "Hub", moment: Moment, facts: Facts) -> Step | None:
    """Give the step that acts now, its delay over."""
    if not hub.script.expects(moment):
        return None
    step = hub.script.next(moment, facts)
    if step is not None and step.delay:
        await asyncio.sleep(hub.directory.timing.real_s(step.delay))
    return step


def spoken(hub: "Hub", step: Step, normal: Answer) -> Answer:
    """Give the answer a step wants instead of the normal one."""
    if step.cut:
        hub.counts["cut"] += 1
        return Answer(status=503, value={}, cut=True)
    if step.half:
        hub.counts["cut"] += 1
        longer = normal if normal.value is not None else Answer(status=normal.status, text=" " * 512)
        return Answer(status=longer.status, value=longer.value, text=longer.text, headers=longer.headers, half=True)
    if step.garbage:
        text = "<html><body>sign in to continue</body></html>"
        return Answer(status=200, text=text, headers={"Content-Type": "text/html"})
    return normal if step.reply is None else _reply(step.reply, step, normal)


def _reply(said: str, step: Step, normal: Answer) -> Answer:
    if step.status // 100 == 2:  # noqa: PLR2004 - HTTP
        return Answer(status=step.status, value=normal.value)
    code, _, message = said[4:].partition(": ")
    if not message:  # such as "502 Bad Gateway": a front end's words
        return Answer(status=step.status, text=code, headers={"Content-Type": "text/html", **_later(step)})
    worded = error(step.status, code, message)
    return replace(worded, headers={**worded.headers, **_later(step)})


def _later(step: Step) -> dict[str, str]:
    if step.retry_after is None:
        return {}
    if step.retry_after_date:
        return {"Retry-After": formatdate(time.time() + step.retry_after, usegmt=True)}
    return {"Retry-After": str(round(step.retry_after))}
