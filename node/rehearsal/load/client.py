"""One SMTP conversation of the load generator: it always knows whether a final answer was read.

Own client over ``wire.py``: what matters here is the exact moment a connection breaks, before or after the final dot.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from dataclasses import dataclass
from enum import StrEnum

from node.rehearsal.errors import ConversationOverError, LineTooLongError, NobodyThereError, WaitedTooLongError
from node.rehearsal.load.plan import MT_PRIORITY, Draft, Tls
from node.rehearsal.wire import Wire

REPLY_LINE_BYTES = 8192
REPLY_LINES = 100
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_QUEUED_AS = re.compile(r"queued as (\S+)", re.IGNORECASE)


class Result(StrEnum):
    """How a try ended."""

    ACCEPTED = "accepted"  # 250 to the final dot was read
    REFUSED = "refused"  # 5xx: final
    DEFERRED = "deferred"  # 4xx: the message was not taken
    LOST = "lost"  # the connection failed before the final dot was sent
    UNKNOWN = "unknown"  # it failed after the dot: the relay may have taken the message


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One try."""

    result: Result
    reply: str = ""
    recipients: tuple[str, ...] = ()
    """Those the relay said 250 to."""

    @property
    def queue_id(self) -> str:
        """The relay's id of the message, if its reply names one."""
        found = _UUID.search(self.reply) or _QUEUED_AS.search(self.reply)
        return found[found.re.groups] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The relay and how to talk to it."""

    host: str
    port: int
    tls: Tls = Tls.NONE
    context: ssl.SSLContext | None = None
    server_name: str = ""
    """Verified against the certificate; defaults to ``host``."""
    user: str = ""
    password: str = ""
    timeout_s: float = 60.0
    helo: str = "rehearsal.invalid"


class RefusedError(Exception):
    """The relay answered something else than hoped; carries code and text."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the reply."""
        super().__init__(text)
        self.code, self.text = code, text


class Conversation:
    """A connection ready for messages."""

    def __init__(self, target: Target, wire: Wire) -> None:
        """Made by ``connect``."""
        self._target = target
        self._wire = wire
        self._extensions: frozenset[str] = frozenset()
        self._whole = True

    async def send(self, message: Draft, content: bytes) -> Outcome:
        """Send one message with the envelope pipelined where offered; raises nothing."""
        sent_dot = False
        accepted: tuple[str, ...] = ()
        try:
            accepted = await self._envelope(message)
            self._wire.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            sent_dot = True
            code, text = await self._reply()
        except RefusedError as no:
            return Outcome(result=_by_code(no.code), reply=no.text)
        except (ConversationOverError, WaitedTooLongError, LineTooLongError) as error:
            self._break()
            lost = Result.UNKNOWN if sent_dot else Result.LOST
            return Outcome(result=lost, reply=type(error).__name__, recipients=accepted)
        return Outcome(result=_by_code(code), reply=text, recipients=accepted)

    @property
    def usable(self) -> bool:
        """Whether another message may be tried here."""
        return self._whole and not self._wire.lost

    async def ended(self) -> bool:
        """Look before the next message whether the relay has ended the session in between (RFC 5321 §3.8)."""
        if self.usable and not await self._wire.spoke():
            return False
        self._break()
        return True

    async def reset(self) -> None:
        """Clear a transaction that was refused half-way."""
        try:
            await self._command("RSET")
        except (RefusedError, ConversationOverError, WaitedTooLongError, LineTooLongError):
            self._break()

    def _break(self) -> None:
        # The event loop reports the loss only later; until then nothing may be tried here.
        self._whole = False
        self._wire.abort()

    async def quit(self) -> None:
        """Say goodbye; does not wait long."""
        self._wire.send(b"QUIT\r\n")
        with contextlib.suppress(ConversationOverError, WaitedTooLongError, LineTooLongError):
            await self._reply(2.0)
        self._wire.abort()

    async def greet(self) -> None:
        """Read the banner, say EHLO, STARTTLS and AUTH as the target wants; raises RefusedError or our errors."""
        target = self._target
        await self._expect(2)
        await self._ehlo()
        if target.tls is Tls.STARTTLS and target.context is not None:
            await self._command("STARTTLS")
            await self._wire.start_tls(target.context, server_hostname=target.server_name or target.host)
            await self._ehlo()
        if target.user:
            blob = base64.b64encode(f"\0{target.user}\0{target.password}".encode()).decode()
            await self._command(f"AUTH PLAIN {blob}")

    async def _ehlo(self) -> None:
        text = await self._command(f"EHLO {self._target.helo}")
        self._extensions = frozenset(line.split(" ")[0].upper() for line in text.split("\n")[1:])

    async def _envelope(self, message: Draft) -> tuple[str, ...]:
        lines = [self._mail(message), *(f"RCPT TO:<{one}>" for one in message.recipients), "DATA"]
        if "PIPELINING" not in self._extensions:
            return await self._one_by_one(message, lines)
        self._wire.send("".join(f"{line}\r\n" for line in lines).encode())
        replies: list[tuple[int, str]] = []
        try:
            for _ in lines:
                replies.append(await self._reply())  # noqa: PERF401 - what was read must survive the break
        except ConversationOverError:
            unkind = next((reply for reply in replies if reply[0] >= 400), None)  # noqa: PLR2004
            if unkind is None:
                raise
            raise RefusedError(*unkind) from None  # said 421 and hung up before the rest
        return self._judged(message, replies)

    async def _one_by_one(self, message: Draft, lines: list[str]) -> tuple[str, ...]:
        replies = []
        for line in lines:
            self._wire.send(f"{line}\r\n".encode())
            replies.append(await self._reply())
            if len(replies) == 1 and replies[0][0] >= 400:  # noqa: PLR2004 - MAIL was refused: the rest is pointless
                raise RefusedError(*replies[0])
        return self._judged(message, replies)

    def _judged(self, message: Draft, replies: list[tuple[int, str]]) -> tuple[str, ...]:
        accepted = tuple(
            one
            for one, (code, _) in zip(message.recipients, replies[1:-1], strict=True)
            if code < 300  # noqa: PLR2004
        )
        if replies[-1][0] == 354:  # noqa: PLR2004 - RFC 5321 §4.2.2
            return accepted
        raise RefusedError(*next(reply for reply in replies if reply[0] >= 400))  # noqa: PLR2004

    def _mail(self, message: Draft) -> str:
        line = f"MAIL FROM:<{message.sender}>"
        if "SIZE" in self._extensions:
            line += f" SIZE={message.size_bytes}"
        if message.priority and "MT-PRIORITY" in self._extensions:
            line += f" MT-PRIORITY={MT_PRIORITY[message.priority]}"
        return line

    async def _command(self, line: str) -> str:
        self._wire.send(f"{line}\r\n".encode())
        return await self._expect(2)

    async def _expect(self, first_digit: int) -> str:
        code, text = await self._reply()
        if code // 100 != first_digit:
            raise RefusedError(code, text)
        return text

    async def _reply(self, timeout_s: float | None = None) -> tuple[int, str]:
        lines: list[str] = []
        for _ in range(REPLY_LINES):
            line = (await self._wire.line(REPLY_LINE_BYTES, timeout_s or self._target.timeout_s)).decode(
                "utf-8", "replace"
            )
            if not line[:3].isdigit():
                raise ConversationOverError("not a reply")
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)
        raise ConversationOverError("endless reply")


async def connect(target: Target) -> Conversation:
    """Open a conversation; raises RefusedError (an unkind reply), NobodyThereError, else ConversationOverError."""
    tls = target.context if target.tls is Tls.IMPLICIT else None
    try:
        async with asyncio.timeout(target.timeout_s):
            _, wire = await asyncio.get_running_loop().create_connection(
                Wire,
                target.host,
                target.port,
                ssl=tls,
                server_hostname=(target.server_name or target.host) if tls else None,
            )
    except (OSError, TimeoutError) as error:
        raise NobodyThereError(f"cannot connect: {type(error).__name__}") from error
    conversation = Conversation(target, wire)
    try:
        await conversation.greet()
    except (RefusedError, ConversationOverError):
        wire.abort()
        raise
    except (WaitedTooLongError, LineTooLongError) as error:
        wire.abort()
        raise ConversationOverError(type(error).__name__) from error
    return conversation


def _by_code(code: int) -> Result:
    if code < 400:  # noqa: PLR2004 - RFC 5321 §4.2.1: first digit
        return Result.ACCEPTED
    return Result.DEFERRED if code < 500 else Result.REFUSED  # noqa: PLR2004
