"""One large message through Graph: a draft, its attachments, and the word to send it.

Nothing is sent before that last request, so that what fails earlier is tried again from the beginning; the intent is
made durable and the fence asked before it, and what fails from then on is unknown, as with any other way (design §1
I5). A draft that is surely not sent is taken away again; one that could not be, or of which nobody knows, is found by
its property when the message is tried again, and by ``leftovers`` if it is not.
"""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import msgspec

from node.delivery.clock import wall_ms
from node.delivery.drafts import attachments, draft, drafts_of, found, messages
from node.delivery.errors import Fenced, Refused
from node.delivery.graph_line import GraphLine
from node.delivery.letter import Letter
from node.delivery.transaction import Course, Fence, Intend, always
from node.errors import RelayError
from node.m365.errors import HttpFailed
from node.m365.graph import GraphAnswer, mailbox_url
from node.policy.http_reply import answer_reply, before_reply
from node.policy.marker import MARKER_PROPERTY, marker_value
from node.policy.parts import Piece, UnbuildableError
from node.policy.rebuild import Rebuilt, rebuilt
from node.policy.reply import Reply, Stage

INLINE_BYTES: Final = 3_000_000
"""Attachments from here on go by an upload session (facts m365 §1.2 F)."""
CHUNK_BYTES: Final = 3_932_160
"""Below 4 MB, and a multiple of 320 KiB."""
STEP_S: Final = 120.0
BUILD_S: Final = 1200.0
"""For everything before the last request; far below the age at which a draft counts as left behind."""
AWAY_S: Final = 5.0
UNAUTHORIZED: Final = 401
_SUCCESS, _CLIENT_ERROR = 2, 4
_NEVER_SENT: Final = frozenset({"dns", "refused", "certificate"})
"""How a request fails that never left: there was no connection to send it on."""


class _StoppedError(Exception):
    """Graph said no before anything was sent: the course holds its words."""


async def take_apart(front: bytes, body: bytes | Path, queue_id: str, mark: str) -> Rebuilt:
    """Read a message and take it apart, in a thread. Raises UnbuildableError, OSError."""
    return await asyncio.to_thread(_apart, front, body, queue_id, mark)


def _apart(front: bytes, body: bytes | Path, queue_id: str, mark: str) -> Rebuilt:
    whole = front + (body if isinstance(body, bytes) else body.read_bytes())
    made = rebuilt(BytesParser().parsebytes(whole), queue_id, mark)
    for piece in made.pieces:
        piece.data()  # what cannot be decoded is found out before anything is asked of Graph
    return made


class Rebuilding:
    """Sends one letter over one line; what Graph does is told by the course."""

    def __init__(self, line: GraphLine, letter: Letter, intend: Intend | None, may_send: Fence = always) -> None:
        """Prepare; ``intend`` None: the claim serves as intent."""
        self._line = line
        self._letter = letter
        self._intend = intend
        self._may_send = may_send
        self._draft = ""
        self._unsent = True
        """The draft is surely not sent: it may be taken away."""
        self.course = Course()

    async def run(self) -> Course:
        """Send. Raises Refused when nothing was sent, and what ``intend`` or reading the body raises."""
        course = self.course
        try:
            async with self._line.graph.large:
                await self._send()
        except _StoppedError:
            pass
        except BaseException:
            course.broken = course.dot_said
            self._line.lost = self._line.lost or course.dot_said
            raise
        finally:
            course.finished_ms = wall_ms()
            if self._draft and self._unsent:
                await asyncio.shield(self._taken_away())
        return course

    async def _send(self) -> None:
        self._line.used += 1
        self.course.relayed = True
        try:
            async with asyncio.timeout(BUILD_S):
                await self._build()
        except TimeoutError as error:
            raise Refused(Stage.CONNECT, Reply(code=0, text="timeout, the draft took too long")) from error
        except UnbuildableError as error:
            # Looked at before the claim, so that this is a file that changed since.
            raise Refused(Stage.CONNECT, Reply(code=0, text=f"protocol {error}")) from error
        await self._agree()
        await self._sent()

    async def _build(self) -> None:
        letter = self._letter
        name = letter.message.id
        mark = marker_value(name, [one.index for one in letter.recipients])
        made = await take_apart(letter.head, letter.body, name, mark)
        old = await self._step("look", "GET", drafts_of(MARKER_PROPERTY, name))
        for one in found(old):
            # Of an attempt that ended badly: it is not sent, and must not be, now that another one is made.
            await self._step("clear", "DELETE", draft(one.id))
        answer = await self._step("draft", "POST", messages(), made.value)
        self._draft = str(answer.value.get("id", "")) if isinstance(answer.value, dict) else ""
        if not self._draft:
            self._stop("draft", answer)
        for piece in made.pieces:
            await self._attach(piece)

    async def _attach(self, piece: Piece) -> None:
        data = await asyncio.to_thread(piece.data)
        facts = {"name": piece.name, "contentType": piece.kind, "isInline": piece.inline}
        if piece.content_id:
            facts["contentId"] = piece.content_id
        where = attachments(self._draft)
        if len(data) < INLINE_BYTES:
            encoded = (await asyncio.to_thread(base64.b64encode, data)).decode()
            value = {"@odata.type": "#microsoft.graph.fileAttachment", **facts, "contentBytes": encoded}
            await self._step("attachment", "POST", where, value)
            return
        item = {"attachmentType": "file", **facts, "size": len(data)}
        answer = await self._step("upload", "POST", f"{where}/createUploadSession", {"AttachmentItem": item})
        url = str(answer.value.get("uploadUrl", "")) if isinstance(answer.value, dict) else ""
        if urlsplit(url).scheme != "https":
            self._stop("upload", answer)
        for start in range(0, len(data), CHUNK_BYTES):
            await self._chunk(url, data, start)

    async def _chunk(self, url: str, data: bytes, start: int) -> None:
        piece = data[start : start + CHUNK_BYTES]
        headers = {"Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(data)}"}
        try:
            # The address is the right to it; a token has no business there.
            answer = await self._line.graph.call(
                "PUT", url, None, body=piece, kind="application/octet-stream", headers=headers, timeout_s=STEP_S
            )
        except HttpFailed as error:
            raise _unreached(error) from error
        if not answer.readable or answer.status // 100 != _SUCCESS:
            self._stop("upload", answer)

    async def _step(self, step: str, method: str, what: str, value: Mapping[str, Any] | None = None) -> GraphAnswer:
        """Ask before anything is sent. Raises Refused if nobody answers, _StoppedError if the answer is no."""
        try:
            answer = await self._ask(method, what, value, STEP_S)
        except HttpFailed as error:
            raise _unreached(error) from error
        if not answer.readable or answer.status // 100 != _SUCCESS:
            self._stop(step, answer)
        return answer

    async def _ask(self, method: str, what: str, value: Mapping[str, Any] | None, timeout_s: float) -> GraphAnswer:
        line = self._line
        url = mailbox_url(line.endpoint.graph, line.endpoint.user, what)
        body = msgspec.json.encode(value) if value is not None else b"" if method == "POST" else None
        for again in (True, False):
            token = await line.token()
            answer = await line.graph.call(method, url, token, body=body, timeout_s=timeout_s)
            if not (again and answer.status == UNAUTHORIZED and line.refused(token)):
                break
        return answer

    async def _agree(self) -> None:
        if self._intend is not None:
            await self._intend()
        if not self._may_send():
            raise Fenced("this node may not send any more")
        course = self.course
        course.stage, course.mail_said, course.dot_said = Stage.HTTP, True, True
        self._unsent = False

    async def _sent(self) -> None:
        try:
            answer = await self._ask("POST", f"{draft(self._draft)}/send", None, self._line.endpoint.timings.dot_s)
        except Refused:
            # No token any more: it was refused before the draft was looked at, so that nothing was sent.
            self._not_sent()
            raise
        except HttpFailed as error:
            if error.word in _NEVER_SENT:
                self._not_sent()
                raise _unreached(error) from error
            self.course.broken = self._line.lost = True
            self._all(Reply(code=0, text=f"{error.word} {error}"))
            return
        self._answered(answer)

    def _answered(self, answer: GraphAnswer) -> None:
        course = self.course
        reply = answer_reply(
            answer.status, answer.code, answer.message, readable=answer.readable, request_id=answer.request_id
        )
        if answer.code == "ErrorItemNotFound":
            # The draft is gone: sent, or taken away by somebody. Nobody can tell from here.
            reply = Reply(code=0, text="protocol the draft is gone")
        self._unsent = reply.code // 100 == _CLIENT_ERROR
        course.final = reply
        course.broken = self._line.lost = reply.code == 0
        course.retry_after_s = answer.retry_after_s
        self._all(reply)

    def _not_sent(self) -> None:
        course = self.course
        course.stage, course.mail_said, course.dot_said = Stage.MAIL, False, False
        self._unsent = True

    def _stop(self, step: str, answer: GraphAnswer) -> NoReturn:
        # It was heard and answered: not a session that died while it lay idle.
        self.course.stage, self.course.mail_taken = Stage.HTTP, True
        self.course.retry_after_s = answer.retry_after_s
        self._all(before_reply(answer.status, answer.code, answer.message, readable=answer.readable, step=step))
        raise _StoppedError

    async def _taken_away(self) -> None:
        with contextlib.suppress(RelayError, TimeoutError):
            await self._ask("DELETE", draft(self._draft), None, AWAY_S)

    def _all(self, reply: Reply) -> None:
        self.course.accepted = list(self._letter.recipients)
        self.course.replies = {one.index: (Stage.HTTP, reply) for one in self._letter.recipients}


def _unreached(error: HttpFailed) -> Refused:
    return Refused(Stage.CONNECT, Reply(code=0, text=f"{error.word} {error}"))
