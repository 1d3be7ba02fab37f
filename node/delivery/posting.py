"""One message through Microsoft Graph: its recipients written into it, one POST, the answer for every recipient.

The last piece of the body stands for SMTP's final dot: a body cut before it is no message to anybody (its length was
said), so that the intent is made durable and the fence asked just before it, and nothing that fails earlier can have
been sent. What fails later is unknown, unless Graph itself says no (design §1 I5, facts m365 §4.9).
"""

from collections.abc import AsyncIterator
from typing import Final

from node.delivery.clock import wall_ms
from node.delivery.encoding import encoded, encoded_length, last_held, size_of
from node.delivery.errors import Fenced, Refused
from node.delivery.graph_line import GraphLine
from node.delivery.letter import Letter
from node.delivery.transaction import Course, Fence, Intend, always
from node.m365.errors import HttpFailed
from node.m365.graph import MIME, GraphAnswer, mailbox_url
from node.m365.https import Body
from node.policy.http_reply import answer_reply
from node.policy.reply import Reply, Stage

UNAUTHORIZED: Final = 401
_SUCCESS: Final = 2
_STAGES: Final = {"tls": Stage.TLS, "certificate": Stage.TLS}
"""Where a conversation failed that never began; all else is the way there."""


class Posting:
    """Sends one letter over one line; what Graph does is told by the course."""

    def __init__(self, line: GraphLine, letter: Letter, intend: Intend | None, may_send: Fence = always) -> None:
        """Prepare; ``intend`` None: the claim serves as intent."""
        self._line = line
        self._letter = letter
        self._intend = intend
        self._may_send = may_send
        self._front = letter.front(letter.recipients)
        self._failure: BaseException | None = None
        self.course = Course()

    async def run(self) -> Course:
        """Send. Raises Refused when nothing was sent, and what ``intend`` or reading the body raises."""
        try:
            await self._send()
        except BaseException:
            self.course.broken = self.course.dot_said
            self._line.lost = self._line.lost or self.course.dot_said
            raise
        finally:
            self.course.finished_ms = wall_ms()
        return self.course

    async def _send(self) -> None:
        line, course = self._line, self.course
        line.used += 1
        course.relayed = True
        token = await line.token()
        for again in (True, False):
            try:
                answer = await line.graph.call(
                    "POST",
                    mailbox_url(line.endpoint.graph, line.endpoint.user, "sendMail"),
                    token,
                    body=await self._body(),
                    kind=MIME,
                    timeout_s=line.endpoint.timings.dot_s,
                )
            except HttpFailed as error:
                self._failed(error)
                return
            if not (again and answer.status == UNAUTHORIZED and line.refused(token)):
                self._answered(answer)
                return
            # A 401 is said before the message is looked at: nothing was sent so far.
            course.stage, course.mail_said, course.dot_said = Stage.MAIL, False, False
            token = await line.token()

    async def _body(self) -> Body:
        size_bytes = len(self._front) + await size_of(self._letter.body)
        return Body(encoded_length(size_bytes), self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece, last in last_held(encoded(self._front, self._letter.body)):
                if last:
                    await self._agree()
                yield piece
        except Exception as error:
            # aiohttp tells its own story of it; who asked must get the true one.
            self._failure = error
            raise

    async def _agree(self) -> None:
        """Do what must be done before the message can be whole over there."""
        if self._intend is not None:
            intend, self._intend = self._intend, None
            await intend()
        if not self._may_send():
            raise Fenced("this node may not send any more")
        course = self.course
        course.stage, course.mail_said, course.dot_said = Stage.HTTP, True, True

    def _failed(self, error: HttpFailed) -> None:
        if self._failure is not None and not self.course.dot_said:
            raise self._failure
        if not self.course.dot_said:
            stage = _STAGES.get(error.word, Stage.CONNECT)
            raise Refused(stage, Reply(code=0, text=f"{error.word} {error}")) from error
        self.course.broken = self._line.lost = True
        self._all(Reply(code=0, text=f"{error.word} {error}"))

    def _answered(self, answer: GraphAnswer) -> None:
        course = self.course
        reply = answer_reply(
            answer.status,
            answer.code,
            answer.message,
            readable=answer.readable,
            request_id=answer.request_id,
        )
        if not course.dot_said and reply.code // 100 in (0, _SUCCESS):
            # It answered before it had the message: nobody we know, and nothing was sent.
            raise Refused(Stage.CONNECT, Reply(code=0, text=f"protocol {answer.status} before the message was sent"))
        course.final = reply
        course.broken = self._line.lost = reply.code == 0
        course.retry_after_s = answer.retry_after_s
        self._all(reply)

    def _all(self, reply: Reply) -> None:
        self.course.accepted = list(self._letter.recipients)
        self.course.replies = {one.index: (Stage.HTTP, reply) for one in self._letter.recipients}
