"""What can be looked up: Sent Items of a mailbox, the message trace of a tenant. Only the filters a relay needs.

What a filter of another form means is not guessed: 400, as Graph says of filters it does not support.
"""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from node.rehearsal.simulator.graph.access import READ, TRACE, DeniedError, caller, error, metered, scripted, spoken
from node.rehearsal.simulator.graph.sent import Copy, Traced
from node.rehearsal.simulator.script import Facts, Moment
from node.rehearsal.web import Answer, Request

if TYPE_CHECKING:
    from node.rehearsal.simulator.hub import Hub

PAGE: Final = 10
_TEXT: Final = r"'((?:[^']|'')*)'"
BY_ID: Final = re.compile(rf"internetMessageId eq {_TEXT}")
BY_PROPERTY: Final = re.compile(
    rf"singleValueExtendedProperties/any\(ep: ?ep/id eq {_TEXT} and ep/value eq {_TEXT}\)", re.IGNORECASE
)
_PART: Final = re.compile(
    rf"(messageId|recipientAddress|senderAddress) eq {_TEXT}|receivedDateTime (ge|le) (\d{{4}}-\d\d-\d\dT[\d:.]+Z)"
)


class Looking:
    """Answers look-ups."""

    def __init__(self, hub: "Hub") -> None:
        """Look into the hub's books."""
        self._hub = hub

    async def sent_items(self, request: Request) -> Answer:
        """Answer ``GET /users/{mailbox}/mailFolders/sentitems/messages``."""
        hub = self._hub
        try:
            who = caller(hub, request, READ)
            async with metered(hub, who):
                hub.counts["graph_looks"] += 1
                step = await scripted(hub, Moment.LOOK, Facts(key=who.mailbox, account=who.mailbox, service="graph"))
                found = [_listed(one) for one in self._wanted(who.mailbox, request.query.get("$filter", ""))]
                normal = Answer(value={"value": found[: top(request)]})
                return spoken(hub, step, normal) if step is not None else normal
        except DeniedError as no:
            return no.answer

    async def sent_value(self, request: Request) -> Answer:
        """Answer ``GET /users/{mailbox}/mailFolders/sentitems/messages/{id}/$value``: the message in MIME."""
        hub = self._hub
        try:
            who = caller(hub, request, READ)
            async with metered(hub, who):
                wanted = unquote(request.path["id"])
                found = next((one for one in self._there(who.mailbox) if one.id == wanted), None)
                if found is None:
                    return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
                return Answer(text=f"{found.head}\r\n\r\nbody\r\n", headers={"Content-Type": "text/plain"})
        except DeniedError as no:
            return no.answer

    async def traces(self, request: Request) -> Answer:
        """Answer ``GET /admin/exchange/tracing/messageTraces``."""
        hub = self._hub
        try:
            who = caller(hub, request, TRACE)
        except DeniedError as no:
            return no.answer
        hub.counts["graph_traces"] += 1
        wanted = request.query.get("$filter", "")
        step = await scripted(hub, Moment.TRACE, Facts(key=wanted, id=wanted, service="graph"))
        try:
            rows = self._rows(who.tenant_id, wanted)
        except DeniedError as no:
            return no.answer
        normal = Answer(value={"value": [_row(one) for one in rows[:1000]]})
        return spoken(hub, step, normal) if step is not None else normal

    def _there(self, mailbox: str) -> list[Copy]:
        """Copies are there once the delay is over."""
        delay_ms = round(self._hub.directory.timing.real_s(self._hub.directory.graph.sent_items_after) * 1000)
        return list(self._hub.graph.outbox.seen(mailbox, self._hub.now_ms() - delay_ms))

    def _wanted(self, mailbox: str, text: str) -> list[Copy]:
        there = self._there(mailbox)
        by_id, by_property = BY_ID.fullmatch(text), BY_PROPERTY.fullmatch(text)
        if by_id is not None:
            return [one for one in there if one.message_id == plain(by_id[1])]
        if by_property is not None:
            wanted = (plain(by_property[1]), plain(by_property[2]))
            return [one for one in there if wanted in one.properties]
        if not text:
            return there
        raise DeniedError(error(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more errors."))

    def _rows(self, tenant_id: str, text: str) -> list[Traced]:
        delay_ms = round(self._hub.directory.timing.real_s(self._hub.directory.graph.trace_after) * 1000)
        rows = list(self._hub.graph.outbox.rows(tenant_id, self._hub.now_ms() - delay_ms))
        for part in text.split(" and ") if text else []:
            match = _PART.fullmatch(part.strip())
            if match is None:
                raise DeniedError(error(400, "BadRequest", f"filter not supported: {part}"))
            rows = [one for one in rows if _fits(one, match)]
        return rows


def _fits(one: Traced, match: re.Match[str]) -> bool:
    name, value, sign, date = match.groups()
    if name is not None:
        have = {
            "messageId": one.message_id,
            "recipientAddress": one.recipient,
            "senderAddress": one.sender,
        }[name]
        return have.lower() == plain(value).lower()
    at_ms = dt.datetime.fromisoformat(date).timestamp() * 1000
    return one.at_ms >= at_ms if sign == "ge" else one.at_ms <= at_ms


def plain(text: str) -> str:
    """Give the text of an OData literal."""
    return text.replace("''", "'")


def top(request: Request) -> int:
    """Give how many rows are wanted."""
    text = request.query.get("$top", "")
    return min(int(text), 1000) if text.isdigit() and int(text) else PAGE


def date(at_ms: int) -> str:
    """Word a moment as Graph does."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _listed(one: Copy) -> dict[str, Any]:
    return {"id": one.id, "internetMessageId": one.message_id, "sentDateTime": date(one.at_ms), "isDraft": False}


def _row(one: Traced) -> dict[str, Any]:
    return {
        "id": f"{one.at_ms}",
        "messageId": one.message_id,
        "senderAddress": one.sender,
        "recipientAddress": one.recipient,
        "receivedDateTime": date(one.at_ms),
        "status": one.status,
    }
