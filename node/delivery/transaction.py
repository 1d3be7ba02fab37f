"""One mail transaction on an open connection: MAIL, RCPT, DATA, the body, the final dot; a reply for each recipient.

Knows the order of commands (RFC 5321 §3.3, pipelining RFC 2920) and records how far the conversation came, so that
whoever is told of a break can say what is still unknown. It judges no reply and touches neither spool nor budgets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from node.delivery.clock import wall_ms
from node.delivery.connection import Connection, broken_reply
from node.delivery.errors import WireBroken
from node.delivery.letter import Letter, mail_command, missing, pieces, rcpt_command, safe, whole
from node.delivery.wire import Answer
from node.policy.reply import Reply, Stage, reply_from
from node.spool.contract import Queued

_GO_AHEAD = 354
_SUCCESS = 2
_UNSAFE = Reply(code=501, enhanced="5.1.3", text="the address cannot be said in SMTP")

Intend = Callable[[], Awaitable[None]]
"""Makes the intent durable; awaited after the body and before the final dot."""
Fence = Callable[[], bool]
"""Whether this node may still send: asked last before the final dot (I3)."""


def always() -> bool:
    """Answer for a node that shares with nobody."""
    return True


@dataclass(slots=True, kw_only=True)
class Course:
    """How a transaction went; valid at every moment, also after a break or a cancellation."""

    replies: dict[int, tuple[Stage, Reply]] = field(default_factory=dict)
    """By recipient index: what decided its fate."""
    accepted: list[Queued] = field(default_factory=list)
    """Recipients the server took at RCPT."""
    stage: Stage = Stage.MAIL
    mail_said: bool = False
    mail_taken: bool = False
    dot_said: bool = False
    undone: bool = False
    """RSET before DATA was answered: the server counts nothing."""
    finished_ms: int = 0
    final: Reply | None = None
    """The answer to the final dot."""
    retry_after_s: float = 0.0
    """How long the other side asks us to wait (RFC 9110 §10.2.3)."""
    waited_s: float = 0.0
    """The longest wait for one answer before the data: how a tarpit shows."""
    broken: bool = False
    """The conversation ended without an answer that settles it: the upstream may still be counting."""
    relayed: bool = False
    """The next server takes no DSN wishes: a report of success, if one is due, is ours to write (RFC 3461 §5.2.2)."""
    local: bool = False
    """Decided here, nothing was said."""


class Transaction:
    """Runs one letter over one connection; never raises for what the server does: the course tells."""

    def __init__(self, connection: Connection, letter: Letter, intend: Intend | None, may_send: Fence = always) -> None:
        """Prepare; ``intend`` None: the claim serves as intent and the dot goes out with the body."""
        self._connection = connection
        self._wire = connection.wire
        self._timings = connection.endpoint.timings
        self._letter = letter
        self._intend = intend
        self._may_send = may_send
        self._data_answer: Answer | None = None
        self.course = Course()

    async def run(self) -> Course:
        """Send the letter as far as the server lets it. Raises only what ``intend`` or reading the body raises."""
        course = self.course
        try:
            await self._steps()
        except WireBroken as error:
            course.broken = True
            self._rest(course.stage, broken_reply(error))
            self._wire.cut()
        except BaseException:
            course.broken = True
            # Half a body is on the line: the server must never take it for a whole one.
            self._wire.cut()
            raise
        finally:
            course.finished_ms = wall_ms()
        return course

    async def _steps(self) -> None:
        lack = missing(self._letter, self._connection.extensions)
        if lack is not None:
            code, enhanced, text = lack
            self.course.local = True
            self._rest(Stage.MAIL, Reply(code=code, enhanced=enhanced, text=text))
            return
        wanted = [recipient for recipient in self._letter.recipients if safe(recipient.address)]
        for recipient in self._letter.recipients:
            if not safe(recipient.address):
                self.course.replies[recipient.index] = (Stage.RCPT, _UNSAFE)
        if not wanted:
            self.course.local = True
            return
        self._connection.used += 1
        self.course.relayed = "DSN" not in self._connection.extensions
        await self._envelope(wanted)
        if not self.course.accepted:
            await self._undo()
            return
        if await self._data():
            await self._body()

    async def _envelope(self, wanted: list[Queued]) -> None:
        """Say MAIL and every RCPT, in one group where the server allows it (RFC 2920 §3.1)."""
        extensions = self._connection.extensions
        commands = [mail_command(self._letter, extensions)]
        commands.extend(rcpt_command(recipient, extensions) for recipient in wanted)
        grouped = "PIPELINING" in extensions
        # On a metered way DATA waits for the answers: before DATA, RSET returns the permit (coordination-review §4).
        with_data = grouped and not self._connection.endpoint.metered
        self.course.mail_said = True
        if grouped:
            self._wire.say(*commands, *((b"DATA",) if with_data else ()))
        answer = await self._next(commands[0], said=grouped)
        self.course.mail_taken = answer.code // 100 == _SUCCESS
        if not self.course.mail_taken:
            self._rest(Stage.MAIL, reply_from(*answer))
        self.course.stage = Stage.RCPT
        if grouped or self.course.mail_taken:
            for recipient, command in zip(wanted, commands[1:], strict=True):
                self._recipient(recipient, await self._next(command, said=grouped))
        self.course.stage = Stage.DATA
        if with_data:
            self._data_answer = await self._wire.answer(self._timings.data_s)

    async def _next(self, command: bytes, *, said: bool) -> Answer:
        if not said:
            self._wire.say(command)
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        answer = await self._wire.answer(self._timings.command_s)
        self.course.waited_s = max(self.course.waited_s, loop.time() - since_s)
        return answer

    def _recipient(self, recipient: Queued, answer: Answer) -> None:
        if answer.code // 100 == _SUCCESS and self.course.mail_taken:
            self.course.accepted.append(recipient)
        elif self.course.mail_taken:
            self.course.replies[recipient.index] = (Stage.RCPT, reply_from(*answer))

    async def _undo(self) -> None:
        """Nobody was accepted: take the transaction back, so that connection and permit can be used again."""
        if self._data_answer is not None and self._data_answer.code == _GO_AHEAD:
            # The server wants data for nobody. Whatever it would do with a lone dot, closing is safe.
            self._wire.cut()
            return
        try:
            answer = await self._wire.ask(b"RSET", self._timings.command_s)
        except WireBroken:
            self._wire.cut()
            return
        self.course.undone = answer.code // 100 == _SUCCESS
        if not self.course.undone:
            self._wire.cut()

    async def _data(self) -> bool:
        """Ask for the go-ahead; True when the body may be sent."""
        answer = self._data_answer
        if answer is None:
            answer = await self._wire.ask(b"DATA", self._timings.data_s)
        if answer.code == _GO_AHEAD:
            return True
        if answer.code < 400:  # noqa: PLR2004 - neither go-ahead nor refusal
            raise WireBroken("protocol", f"{answer.code} to DATA")
        self._rest(Stage.DATA, reply_from(*answer))
        try:
            reset = await self._wire.ask(b"RSET", self._timings.command_s)
        except WireBroken:
            self._wire.cut()
        else:
            if reset.code // 100 != _SUCCESS:
                self._wire.cut()
        return False

    async def _body(self) -> None:
        body, front = self._letter.body, self._letter.front(self.course.accepted)
        ending = b".\r\n"
        if isinstance(body, Path):
            self._wire.put(front)
            async for piece in pieces(body):
                self._wire.put(piece)
                await self._wire.drained()
        elif self._intend is None:
            # One write, usually one packet: the common case is paid for two thousand times a second.
            ending = front + whole(body) + ending
        else:
            self._wire.put(front + whole(body))
            await self._wire.drained()
        if self._intend is not None:
            await self._intend()
        if not self._may_send():
            raise WireBroken("closed", "fenced: this node may not send any more")
        self._wire.owe()
        self.course.stage, self.course.dot_said = Stage.DOT, True
        self._wire.put(ending)
        answer = await self._wire.answer(self._timings.dot_s)
        self.course.final = reply_from(*answer)
        self._rest(Stage.DOT, self.course.final)

    def _rest(self, stage: Stage, reply: Reply) -> None:
        """Give every recipient without a reply of its own this one."""
        for recipient in self._letter.recipients:
            self.course.replies.setdefault(recipient.index, (stage, reply))
