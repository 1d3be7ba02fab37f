"""The SMTP line towards an upstream: commands out, replies in, several at once where the server allows it.

The only file that knows aiosmtplib. It takes that library's protocol layer (transport, flow control, STARTTLS
with its injection guard, refusal of control characters) and adds a queue of replies, because the stock layer
pairs exactly one reply with one command and would lose those of a pipelined group (RFC 2920). It knows
neither mail nor accounts nor what a reply means.
"""

import asyncio
import ssl
from collections import deque
from typing import NamedTuple, cast

from aiosmtplib.errors import SMTPException, SMTPResponseException
from aiosmtplib.protocol import COMMAND_INJECTION_REGEX, SMTPProtocol
from aiosmtplib.response import SMTPResponse

from node.delivery.errors import UnsafeCommand, WireBroken

MAX_LINE_BYTES = 16 << 10  # RFC 5321 says 512; some servers put whole stack traces into one line
MAX_REPLY_BYTES = 64 << 10  # continuation lines of one reply; a real EHLO has about 1 KB
SEND_STALL_S = 180.0  # RFC 5321 §4.5.3.2.5: three minutes for a block of data to get away
_CODE_LENGTH = 3


class Answer(NamedTuple):
    """One reply as read: the code, and the text, one line of it a line."""

    code: int
    text: str


class Wire(SMTPProtocol):
    """One conversation. Not safe for two tasks at once."""

    def __init__(self) -> None:
        """Begin owed one answer: the banner."""
        super().__init__(loop=asyncio.get_running_loop())
        self._owed = 1
        self._answers: deque[Answer] = deque()
        self._lines: list[str] = []
        self._reply_bytes = 0
        self._failure: WireBroken | None = None
        self._reader: asyncio.Future[None] | None = None
        self.spoke_unasked = False
        self._leaving = False

    # -- what the transport tells us -------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Cut what came into replies; anything not asked for is dropped and remembered as a bad sign."""
        self._buffer.extend(data)
        while self._owed and self._failure is None:
            end = self._buffer.find(b"\n")
            if end < 0 or end > MAX_LINE_BYTES:
                break
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            self._line(line)
        if not self._owed or self._failure is not None:
            self.spoke_unasked = self.spoke_unasked or bool(self._buffer)
            self._buffer.clear()
        elif len(self._buffer) > MAX_LINE_BYTES:
            self._fail(WireBroken("protocol", "reply line too long"))

    def _line(self, line: bytes) -> None:
        code = line[:_CODE_LENGTH]
        mark = line[_CODE_LENGTH : _CODE_LENGTH + 1]
        if len(code) < _CODE_LENGTH or not code.isdigit() or code[:1] not in b"2345" or mark not in (b"", b" ", b"-"):
            self._fail(WireBroken("protocol", "not an SMTP reply"))
            return
        self._reply_bytes += len(line)
        if self._reply_bytes > MAX_REPLY_BYTES:
            self._fail(WireBroken("protocol", "reply too long"))
            return
        self._lines.append(line[_CODE_LENGTH + 1 :].decode("utf-8", "replace").strip())
        if mark == b"-":
            return
        self._leaving = self._leaving or code == b"421"
        self._answers.append(Answer(int(code), "\n".join(self._lines)))
        self._lines = []
        self._reply_bytes = 0
        self._owed -= 1
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end; answers already read stay readable."""
        super().connection_lost(exc)
        self._fail(WireBroken("closed", type(exc).__name__ if exc else ""))

    def eof_received(self) -> bool:
        """A server that says goodbye cannot take mail any more."""
        self._fail(WireBroken("closed"))
        return super().eof_received()

    def _fail(self, failure: WireBroken) -> None:
        if self._failure is None:
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- what a conversation does ----------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """True while nothing went wrong, the server said nothing out of turn and has not announced to leave (421)."""
        return self._failure is None and not self.spoke_unasked and not self._leaving and self.is_connected

    @property
    def silent(self) -> bool:
        """True when the server stopped answering instead of closing: it may still count the session."""
        return self._failure is not None and self._failure.word == "timeout"

    def say(self, *commands: bytes) -> None:
        """Write commands, each owed one answer, in one piece. Raises WireBroken, UnsafeCommand."""
        for command in commands:
            if COMMAND_INJECTION_REGEX.search(command):
                raise UnsafeCommand("a command holds a control character")
        self.put(b"\r\n".join((*commands, b"")))
        self._owed += len(commands)

    def owe(self) -> None:
        """Expect one more answer, for data that was put and not said."""
        self._owed += 1

    def put(self, data: bytes) -> None:
        """Write raw bytes. Raises WireBroken."""
        if self._failure is not None:
            raise self._failure
        try:
            self.write(data)
        except (SMTPException, OSError) as error:
            raise WireBroken("closed", type(error).__name__) from error

    async def drained(self) -> None:
        """Wait until the transport takes more, at most ``SEND_STALL_S``. Raises WireBroken."""
        if not self._paused:
            return
        try:
            async with asyncio.timeout(SEND_STALL_S):
                await self._drain_helper()
        except (OSError, TimeoutError) as error:
            raise WireBroken("timeout" if isinstance(error, TimeoutError) else "closed") from error

    async def answer(self, timeout_s: float) -> Answer:
        """Give the next reply. Raises WireBroken; after a timeout the line is dead, as replies could be mixed up."""
        if not self._answers:
            if self._failure is None:
                await self._wait(timeout_s)
            if not self._answers:
                raise self._failure or WireBroken("closed")
        return self._answers.popleft()

    async def _wait(self, timeout_s: float) -> None:
        # call_later and a bare future: asyncio.wait_for costs a task switch more, paid four times a message.
        loop = self._loop
        self._reader = loop.create_future()
        timer = loop.call_later(timeout_s, self._fail, WireBroken("timeout"))
        try:
            await self._reader
        finally:
            timer.cancel()
            self._reader = None

    async def ask(self, command: bytes, timeout_s: float) -> Answer:
        """Say one command and give its reply."""
        self.say(command)
        return await self.answer(timeout_s)

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:  # noqa: ASYNC109 - the base's name
        """Serve the base class's ``start_tls``, which writes its command itself and then reads here."""
        self._owed += 1
        answer = await self.answer(timeout or SEND_STALL_S)
        return SMTPResponse(answer.code, answer.text)

    async def secure(self, context: ssl.SSLContext, name: str, timeout_s: float) -> Answer | None:
        """STARTTLS and handshake; None when secured, else the server's refusal. Raises WireBroken.

        Everything the server said before the handshake is forgotten (RFC 3207 §4.2).
        """
        try:
            await self.start_tls(context, server_hostname=name, timeout=timeout_s)
        except SMTPResponseException as error:
            return Answer(error.code, error.message)
        except ssl.SSLCertVerificationError as error:
            raise WireBroken("certificate", error.verify_message) from error
        except (SMTPException, OSError, ssl.SSLError) as error:
            raise WireBroken("tls", type(error).__name__) from error
        self._buffer.clear()
        self._answers.clear()
        self.spoke_unasked = False
        return None

    def goodbye(self) -> None:
        """Say QUIT without waiting for the answer, and close."""
        if self.usable:
            self.write(b"QUIT\r\n")
        if self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """Close at once, dropping what is not sent yet."""
        transport = self.transport
        if transport is not None:
            # Not asked by isinstance: uvloop's transports do not inherit from asyncio's, yet all of them abort.
            cast("asyncio.WriteTransport", transport).abort()
