"""Graph as far as a reader of mailboxes needs it, and what the control port says of them.

``mailFolders/{folder}/messages/delta`` with pages, next and delta links, and ``messages/{id}/$value``.
"""

import datetime as dt
from collections import deque
from typing import Any
from urllib.parse import quote, unquote

from node.rehearsal.simulator.graph.access import READ, DeniedError, bearer, caller, error
from node.rehearsal.simulator.graph.looking import BY_ID, plain
from node.rehearsal.simulator.headers import read_headers
from node.rehearsal.simulator.postmaster import INBOX, Box, Kept, Postmaster
from node.rehearsal.web import Answer, Handler, Request

PAGE = 10
FOLDERS = (INBOX, "junkemail")
DOMAINS_ROLE = "Domain.Read.All"


def mailbox_routes(post: Postmaster) -> dict[tuple[str, str], Handler]:
    """Give the routes of Graph that read mailboxes."""
    graph = _Mailboxes(post)
    return {
        ("GET", "/v1.0/users/{mailbox}/mailFolders/{folder}/messages/delta"): graph.delta,
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
        ("GET", "/reports"): control.reports,
    }


class _MailboxControl:
    def __init__(self, post: Postmaster) -> None:
        self._post = post

    async def put(self, request: Request) -> Answer:
        sender = request.query.get("sender", "somebody@example.com")
        folder = request.query.get("folder", INBOX)
        kept = self._post.put(unquote(request.path["mailbox"]), sender, request.body, folder)
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

    async def reports(self, _request: Request) -> Answer:
        """Say how many reports are still to come, are due and on their way now, and have come."""
        return Answer(value=self._post.standing())


class _Mailboxes:
    def __init__(self, post: Postmaster) -> None:
        self._post = post

    async def delta(self, request: Request) -> Answer:
        mailbox = unquote(request.path["mailbox"]).lower()
        refused = self._refused(request, mailbox)
        if refused is not None:
            return refused
        if request.path["folder"] not in FOLDERS:
            return error(404, "ErrorFolderNotFound", "The specified folder could not be found in the store.")
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
        folder = request.path["folder"]
        fresh = [one for one in box.messages if one.number > after and one.at_ms >= since_ms and one.folder == folder]
        page, more = fresh[:PAGE], len(fresh) > PAGE
        newest = max((one.number for one in box.messages), default=0)
        upto = page[-1].number if more else max(newest, after)
        link, name = ("@odata.nextLink", "$skiptoken") if more else ("@odata.deltaLink", "$deltatoken")
        path = f"/v1.0/users/{quote(mailbox, safe='@')}/mailFolders/{folder}/messages/delta"
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
