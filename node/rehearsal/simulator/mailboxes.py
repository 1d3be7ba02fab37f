"""What comes back later: reports into mailboxes, read through Graph delta queries, or by SMTP to the return path.

Graph as far as a reader of mailboxes needs it: ``mailFolders/inbox/messages/delta`` with pages, next and delta links,
and ``messages/{id}/$value``. Bounded: messages a mailbox, reports under way.
"""

import asyncio
import base64
import contextlib
import datetime as dt
import math
import random
import smtplib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, unquote

from node.rehearsal.simulator.arrived import arrived
from node.rehearsal.simulator.graph.access import READ, DeniedError, bearer, caller, error
from node.rehearsal.simulator.graph.looking import BY_ID, plain
from node.rehearsal.simulator.headers import read_headers
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.ndr_text import Failure, exchange_ndr
from node.rehearsal.simulator.receipts import Receipt
from node.rehearsal.web import Answer, Handler, Request

PENDING_MAX = 100_000
PAGE = 10
DOMAINS_ROLE = "Domain.Read.All"
SMTP_S = 30.0
AGAIN_S = 5.0
TRIES = 20


@dataclass(slots=True, kw_only=True)
class Kept:
    """One message in a mailbox."""

    number: int
    at_ms: int
    sender: str
    data: bytes

    @property
    def id(self) -> str:
        """Give its id as Graph's look: opaque, with characters that must be quoted in a URL."""
        return base64.b64encode(f"AAMk/{self.number}".encode()).decode()


@dataclass(slots=True, kw_only=True)
class Box:
    """One mailbox's inbox."""

    messages: deque[Kept]
    generation: int = 1
    """Cursors of an older one are refused: 410."""


@dataclass(slots=True)
class Postmaster:
    """Sends reports later and keeps what lies in mailboxes."""

    hub: Hub
    boxes: dict[str, Box] = field(default_factory=dict)
    _pending: set["asyncio.Task[None]"] = field(default_factory=set)
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - waits, no secrets
    _number: int = 0

    def taken(self, receipt: Receipt) -> None:
        """Hear of a message that was taken: it lies in its mailboxes, or reports are sent of recipients that fail."""
        failures = tuple(self._failing(receipt))
        failing = {one.recipient for one in failures}
        for recipient in receipt.recipients:
            if recipient not in failing and self.hub.mailbox(recipient.lower()) is not None:
                self.put(recipient, receipt.sender, arrived(receipt))
        if failures and len(self._pending) < PENDING_MAX:
            task = asyncio.get_running_loop().create_task(self._report(receipt, failures))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    def put(self, mailbox: str, sender: str, data: bytes) -> Kept:
        """Lay a message into a mailbox."""
        self._number += 1
        kept = Kept(number=self._number, at_ms=self.hub.now_ms(), sender=sender, data=data)
        limit = self.hub.directory.reports.kept
        self.boxes.setdefault(mailbox.lower(), Box(messages=deque(maxlen=limit))).messages.append(kept)
        return kept

    async def stop(self) -> None:
        """Forget the reports that have not come yet."""
        for task in list(self._pending):
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)

    def _failing(self, receipt: Receipt) -> Iterator[Failure]:
        patterns = self.hub.directory.reports.recipients
        for recipient in receipt.recipients:
            status = next((s for one, s in patterns.items() if fnmatchcase(recipient.lower(), one.lower())), None)
            if status is not None:
                yield Failure(recipient=recipient, status=status)

    async def _report(self, receipt: Receipt, failures: tuple[Failure, ...]) -> None:
        reports, timing = self.hub.directory.reports, self.hub.directory.timing
        first, last = (max(0.001, seconds) for seconds in reports.after)
        await asyncio.sleep(timing.real_s(math.exp(self._random.uniform(math.log(first), math.log(last)))))
        mailbox, to = self._mailbox(receipt)
        if not to:
            return
        self._number += 1
        data = exchange_ndr(
            failures,
            to=to,
            message_id=receipt.message_id,
            returned=receipt.headers if reports.returned else "",
            number=self._number,
            now_s=self.hub.now_ms() / 1000,
        )
        if mailbox:
            self.put(mailbox, f"microsoftexchange329e71ec88ae4615bbc36ab6ce41109e@{to.rpartition('@')[2]}", data)
        elif reports.to is not None:
            await self._hand_in(reports.to, to, data)
        self.hub.counts["reports"] += 1

    def _mailbox(self, receipt: Receipt) -> tuple[str, str]:
        """Say in which mailbox the report lands (empty: in none of ours) and whom it is addressed to (operations A11).

        Where no mailbox sent it goes to the envelope sender, as any mail would: what is behind a plus sign is his too.
        """
        login, sender = receipt.account.lower(), receipt.sender.lower()
        if self.hub.mailbox(login) is not None:
            own = self.hub.directory.reports.place == "from" and self.hub.mailbox(sender) is not None
            return (sender, sender) if own else (login, login)
        local, _, domain = sender.rpartition("@")
        base = f"{local.partition('+')[0]}@{domain}"
        return (base if self.hub.mailbox(base) is not None else ""), receipt.sender

    async def _hand_in(self, where: str, to: str, data: bytes) -> None:
        """Bring a report to the return path, again and again as a mail server does."""
        for _ in range(TRIES):
            with contextlib.suppress(OSError, smtplib.SMTPException):
                await asyncio.to_thread(_sent, where, to, data)
                return
            await asyncio.sleep(self.hub.directory.timing.real_s(AGAIN_S))
        self.hub.counts["reports_undelivered"] += 1


def _sent(where: str, to: str, data: bytes) -> None:
    host, _, port = where.rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="mail.example", timeout=SMTP_S) as smtp:
        smtp.sendmail("", [to], data)


# -- Graph


def mailbox_routes(post: Postmaster) -> dict[tuple[str, str], Handler]:
    """Give the routes of Graph that read mailboxes."""
    graph = _Mailboxes(post)
    return {
        ("GET", "/v1.0/users/{mailbox}/mailFolders/inbox/messages/delta"): graph.delta,
        ("GET", "/v1.0/users/{mailbox}/messages"): graph.found,
        ("GET", "/v1.0/users/{mailbox}/messages/{id}/$value"): graph.value,
        ("GET", "/v1.0/domains"): graph.domains,
    }


def mailbox_control_routes(post: Postmaster) -> dict[tuple[str, str], Handler]:
    """Give the routes of the control port about mailboxes: put a message there, make every cursor stale."""
    control = _MailboxControl(post)
    return {
        ("POST", "/mailboxes/{mailbox}"): control.put,
        ("DELETE", "/mailboxes/{mailbox}/cursors"): control.forget,
        ("GET", "/mailboxes/{mailbox}"): control.listed,
    }


class _MailboxControl:
    def __init__(self, post: Postmaster) -> None:
        self._post = post

    async def put(self, request: Request) -> Answer:
        sender = request.query.get("sender", "somebody@example.com")
        kept = self._post.put(unquote(request.path["mailbox"]), sender, request.body)
        return Answer(value={"id": kept.id})

    async def forget(self, request: Request) -> Answer:
        box = self._post.boxes.get(unquote(request.path["mailbox"]).lower())
        if box is not None:
            box.generation += 1
        return Answer(value={"stale": box is not None})

    async def listed(self, request: Request) -> Answer:
        box = self._post.boxes.get(unquote(request.path["mailbox"]).lower())
        found = [] if box is None else [{"id": one.id, "sender": one.sender} for one in box.messages]
        return Answer(value=found)


class _Mailboxes:
    def __init__(self, post: Postmaster) -> None:
        self._post = post

    async def delta(self, request: Request) -> Answer:
        mailbox = unquote(request.path["mailbox"]).lower()
        refused = self._refused(request, mailbox)
        if refused is not None:
            return refused
        box = self._post.boxes.setdefault(mailbox, Box(messages=deque(maxlen=self._post.hub.directory.reports.kept)))
        token = request.query.get("$deltatoken") or request.query.get("$skiptoken")
        since_ms = _since_ms(request.query.get("$filter", ""))
        after = 0
        if token is not None:
            generation, _, number = token.partition("-")
            if not generation.isdigit() or int(generation) != box.generation or not number.isdigit():
                return error(410, "syncStateNotFound", "The sync state is not found, begin anew")
            after, since_ms = int(number), 0
        return self._page(request, mailbox, box, after, since_ms)

    def _page(self, request: Request, mailbox: str, box: Box, after: int, since_ms: int) -> Answer:
        fresh = [one for one in box.messages if one.number > after and one.at_ms >= since_ms]
        page, more = fresh[:PAGE], len(fresh) > PAGE
        newest = max((one.number for one in box.messages), default=0)
        upto = page[-1].number if more else max(newest, after)
        link, name = ("@odata.nextLink", "$skiptoken") if more else ("@odata.deltaLink", "$deltatoken")
        path = f"/v1.0/users/{quote(mailbox, safe='@')}/mailFolders/inbox/messages/delta"
        value = {
            "@odata.context": f"{request.base_url}/v1.0/$metadata#Collection(message)",
            "value": [_listed(one) for one in page],
            link: f"{request.base_url}{path}?{name}={box.generation}-{upto}",
        }
        return Answer(value=value)

    async def found(self, request: Request) -> Answer:
        """Look a message up by its Message-ID; what another filter means is not guessed."""
        mailbox = unquote(request.path["mailbox"]).lower()
        refused = self._refused(request, mailbox)
        if refused is not None:
            return refused
        wanted = BY_ID.fullmatch(request.query.get("$filter", ""))
        if wanted is None:
            return error(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more errors.")
        box, name = self._post.boxes.get(mailbox), plain(wanted[1])
        lying = [] if box is None else list(box.messages)
        return Answer(value={"value": [_listed(one) for one in lying if read_headers(one.data).message_id == name]})

    async def value(self, request: Request) -> Answer:
        mailbox = unquote(request.path["mailbox"]).lower()
        refused = self._refused(request, mailbox)
        if refused is not None:
            return refused
        box, wanted = self._post.boxes.get(mailbox), unquote(request.path["id"])
        found = None if box is None else next((one for one in box.messages if one.id == wanted), None)
        if found is None:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return Answer(text=found.data.decode("latin-1"), headers={"Content-Type": "text/plain; charset=iso-8859-1"})

    async def domains(self, request: Request) -> Answer:
        """List the accepted domains to an application that was consented to see them."""
        try:
            claims = bearer(self._post.hub, request)
        except DeniedError as no:
            return no.answer
        tenant = self._post.hub.directory.tenants.get(str(claims.get("tid")))
        if tenant is None:
            return error(401, "InvalidAuthenticationToken", "The token's application or tenant is not known.")
        if DOMAINS_ROLE not in claims.get("roles", ()):
            return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        return Answer(value={"value": [{"id": domain, "isVerified": True} for domain in tenant.domains]})

    def _refused(self, request: Request, mailbox: str) -> Answer | None:
        """Say why this application may not read this mailbox."""
        hub = self._post.hub
        hub.counts["mailbox_requests"] += 1
        try:
            caller(hub, request, READ)
        except DeniedError as no:
            return no.answer
        readable = hub.directory.reports.readable
        if readable is not None and mailbox not in (one.lower() for one in readable):
            return error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        return None


def _listed(one: Kept) -> dict[str, Any]:
    at = dt.datetime.fromtimestamp(one.at_ms / 1000, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"id": one.id, "receivedDateTime": at, "from": {"emailAddress": {"name": "", "address": one.sender}}}


def _since_ms(text: str) -> int:
    _, _, date = text.partition(" ge ")
    try:
        return int(dt.datetime.fromisoformat(date.strip()).timestamp() * 1000)
    except ValueError:
        return 0
