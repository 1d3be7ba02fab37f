"""Drafts with attachments and upload sessions: how mail that is too large for one request is built and sent.

Strict where the facts are (m365 §1.2 F): ordered chunks below 4 MB, 3 to 150 MB only by upload session.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from node.rehearsal.simulator.chronicle import NOBODY
from node.rehearsal.simulator.graph.access import (
    READ,
    SEND,
    WRITE,
    Caller,
    DeniedError,
    caller,
    error,
    metered,
    scripted,
    spoken,
)
from node.rehearsal.simulator.graph.letters import Attached, attached, from_draft, unsound
from node.rehearsal.simulator.graph.looking import BY_PROPERTY, date, plain, top
from node.rehearsal.simulator.graph.sending import Counted, Sending
from node.rehearsal.simulator.script import Facts, Moment
from node.rehearsal.web import Answer, Request

if TYPE_CHECKING:
    from node.rehearsal.simulator.hub import Hub

INLINE_BYTES: Final = 3 << 20
CHUNK_BYTES: Final = 4 << 20
ATTACHMENT_BYTES: Final = 150 << 20
DRAFTS: Final = 1_000
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(slots=True, kw_only=True)
class Draft:
    """One message being built."""

    mailbox: str
    value: dict[str, Any]
    message_id: str
    created_ms: int
    attachments: list[Attached] = field(default_factory=list)
    open: int = 0
    """Upload sessions that are not at their end."""

    def has(self, name: str, value: str) -> bool:
        """Whether it has an extended property with this value."""
        wanted = {"id": name.lower(), "value": value}
        properties = self.value.get("singleValueExtendedProperties") or []
        return any({"id": str(one.get("id")).lower(), "value": one.get("value")} == wanted for one in properties)


@dataclass(slots=True, kw_only=True)
class Upload:
    """One attachment being uploaded."""

    draft: Draft
    client: str
    item: dict[str, Any]
    size_bytes: int
    data: bytearray = field(default_factory=bytearray)


class Drafts:
    """Takes drafts, attachments and uploads, and sends them."""

    def __init__(self, hub: "Hub", sending: Sending) -> None:
        """Send through ``sending``."""
        self._hub, self._sending = hub, sending
        self._drafts: dict[str, Draft] = hub.graph.drafts
        self._uploads: dict[str, Upload] = {}
        self._number = 0

    async def create(self, request: Request) -> Answer:
        """Answer ``POST /users/{mailbox}/messages``."""
        return await self._guarded(request, WRITE, Moment.DRAFT, self._create)

    async def listed(self, request: Request) -> Answer:
        """Answer ``GET /users/{mailbox}/mailFolders/drafts/messages``, filtered by an extended property or not."""
        return await self._guarded(request, READ, Moment.LOOK, self._list)

    async def attach(self, request: Request) -> Answer:
        """Answer ``POST …/messages/{id}/attachments``."""
        return await self._guarded(request, WRITE, Moment.DRAFT, self._attach)

    async def session(self, request: Request) -> Answer:
        """Answer ``POST …/messages/{id}/attachments/createUploadSession``."""
        return await self._guarded(request, WRITE, Moment.UPLOAD, self._session)

    async def send(self, request: Request) -> Answer:
        """Answer ``POST …/messages/{id}/send``."""
        return await self._guarded(request, SEND, None, self._send)

    async def delete(self, request: Request) -> Answer:
        """Answer ``DELETE …/messages/{id}``."""
        return await self._guarded(request, WRITE, Moment.DELETE, self._delete)

    async def put(self, request: Request) -> Answer:
        """Answer ``PUT`` of one chunk; its address is its right, so a token has no business here."""
        hub, upload = self._hub, self._uploads.get(request.path["upload"])
        text = await request.load() if request.load is not None else request.body
        if upload is None or text is None:
            return error(404, "ErrorItemNotFound", "The upload session was not found.")
        if "authorization" in request.headers:
            hub.violations["graph_token_at_upload"] += 1
        facts = Facts(key=upload.draft.mailbox, account=upload.draft.mailbox, service="graph")
        step = await scripted(hub, Moment.UPLOAD, facts)
        if step is not None and (step.speaks or step.cut):
            if step.accepted:
                self._chunk(request, upload, text)
            return spoken(hub, step, Answer(status=200, value={}))
        return self._chunk(request, upload, text)

    def _chunk(self, request: Request, upload: Upload, text: bytes) -> Answer:
        hub = self._hub
        match = _RANGE.fullmatch(request.headers.get("content-range", ""))
        first, last, total = (int(one) for one in match.groups()) if match else (-1, -1, -1)
        fits = first == len(upload.data) and last - first + 1 == len(text) and total == upload.size_bytes
        if not fits or len(text) > CHUNK_BYTES:
            hub.violations["graph_upload_order"] += 1
            return error(416, "ErrorInvalidRange", "The range is not the one expected.")
        if not hub.graph.meter(hub.directory.graph, upload.client, upload.draft.mailbox).upload_fits(
            hub.now_s(), len(text)
        ):
            wait_s = hub.directory.graph.retry_after
            return error(429, "ApplicationThrottled", "Too many bytes uploaded.", retry_after_s=wait_s)
        upload.data += text
        if len(upload.data) < upload.size_bytes:
            return Answer(status=200, value={"nextExpectedRanges": [f"{len(upload.data)}-"]})
        upload.draft.attachments.append(attached(upload.item, bytes(upload.data)))
        upload.draft.open -= 1
        del self._uploads[request.path["upload"]]
        return Answer(status=201, value={})

    async def _guarded(self, request: Request, roles: frozenset[str], moment: Moment | None, work: Any) -> Answer:
        hub = self._hub
        try:
            who = caller(hub, request, roles)
            async with metered(hub, who):
                if moment is not None:
                    facts = Facts(key=who.mailbox, account=who.mailbox, service="graph")
                    step = await scripted(hub, moment, facts)
                    if step is not None and (step.speaks or step.cut):
                        if step.accepted:
                            await work(request, who)
                        return spoken(hub, step, Answer(status=200, value={}))
                answer: Answer = await work(request, who)
                return answer
        except DeniedError as no:
            return no.answer

    async def _create(self, request: Request, who: Caller) -> Answer:
        value = await self._json(request)
        fault = unsound(value)
        if fault is not None:
            raise DeniedError(fault)
        if len(self._drafts) >= DRAFTS:
            self._drafts.pop(next(iter(self._drafts)))
        self._number += 1
        name = f"AAMkDraft/{self._number}=="
        # A chosen Message-ID is ignored in this form (facts m365 §5, item 15).
        message_id = f"<draft{self._number}.{self._hub.reply_id()}@{self._hub.directory.host}.prod.outlook.com>"
        self._drafts[name] = Draft(
            mailbox=who.mailbox, value=value, message_id=message_id, created_ms=self._hub.now_ms()
        )
        self._hub.counts["graph_drafts"] += 1
        return Answer(status=201, value={"id": name, "internetMessageId": message_id, "isDraft": True})

    async def _list(self, request: Request, who: Caller) -> Answer:
        wanted = request.query.get("$filter", "")
        by_property = BY_PROPERTY.fullmatch(wanted)
        if wanted and by_property is None:
            raise DeniedError(error(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more errors."))
        rows = [
            {"id": name, "createdDateTime": date(one.created_ms), "isDraft": True}
            for name, one in self._drafts.items()
            if one.mailbox == who.mailbox
            and (by_property is None or one.has(plain(by_property[1]), plain(by_property[2])))
        ]
        return Answer(value={"value": rows[: top(request)]})

    async def _attach(self, request: Request, who: Caller) -> Answer:
        draft, value = self._draft(request, who), await self._json(request)
        try:
            data = base64.b64decode(str(value.get("contentBytes", "")), validate=True)
        except (binascii.Error, ValueError):
            raise DeniedError(error(400, "ErrorInvalidAttachment", "contentBytes is no base64.")) from None
        if len(data) >= INLINE_BYTES:
            raise DeniedError(error(413, "ErrorMessageSizeExceeded", "Use an upload session from 3 MB on."))
        draft.attachments.append(attached(value, data))
        return Answer(status=201, value={"id": str(len(draft.attachments))})

    async def _session(self, request: Request, who: Caller) -> Answer:
        draft, value = self._draft(request, who), await self._json(request)
        item = value.get("AttachmentItem") or {}
        size = item.get("size")
        if item.get("attachmentType") != "file" or not isinstance(size, int) or not 0 < size <= ATTACHMENT_BYTES:
            raise DeniedError(error(400, "ErrorInvalidAttachment", "AttachmentItem needs type, name and size."))
        self._number += 1
        name = f"{self._number}-{self._hub.reply_id()}"
        self._uploads[name] = Upload(draft=draft, client=who.client, item=item, size_bytes=size)
        draft.open += 1
        url = f"{request.base_url}/upload/{name}"
        return Answer(status=201, value={"uploadUrl": url, "nextExpectedRanges": ["0-"]})

    async def _send(self, request: Request, who: Caller) -> Answer:
        draft = self._draft(request, who)
        hub = self._hub
        if draft.open:
            hub.violations["graph_sent_unfinished"] += 1
        meter, number = hub.meter(who.mailbox), hub.graph.next_request()
        meter.enter(number)
        hub.chronicle.login(hub.directory, who.mailbox, number, "")
        try:
            letter = from_draft(draft.value, draft.attachments, draft.message_id)
            operation = hub.chronicle.begun(hub.directory, who.mailbox, "graph", NOBODY, who.tenant_id)
            answer = await self._sending.finish(who, letter, meter, Counted(meter.begin(hub.now_s()), operation))
        finally:
            meter.leave(number)
            hub.chronicle.gone(who.mailbox, number)
        if letter.id in hub.receipts.unanswered or answer.status == 202:  # noqa: PLR2004 - HTTP
            self._drafts.pop(unquote(request.path["id"]), None)
        return answer

    async def _delete(self, request: Request, who: Caller) -> Answer:
        self._draft(request, who)
        del self._drafts[unquote(request.path["id"])]
        return Answer(status=204)

    def _draft(self, request: Request, who: Caller) -> Draft:
        draft = self._drafts.get(unquote(request.path["id"]))
        if draft is None or draft.mailbox != who.mailbox:
            raise DeniedError(error(404, "ErrorItemNotFound", "The specified object was not found in the store."))
        return draft

    async def _json(self, request: Request) -> dict[str, Any]:
        text = await request.load() if request.load is not None else request.body
        if text is None:
            raise DeniedError(Answer(status=400, value={}, cut=True))
        if len(text) > self._hub.directory.graph.request:
            raise DeniedError(Answer(status=413, text="Request Entity Too Large"))
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DeniedError(error(400, "BadRequest", "Unable to read JSON request payload."))
        return value
