"""One client connection: feeds what arrives to the dialogue and sends what it answers.

Everything a client sends in one packet is answered in one write, without a task; a task exists only while the door,
the authenticator or a TLS handshake is awaited. Knows no SMTP beyond line ends and modes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from node.intake.conversation import KNOWN, MAX_AUTH_OCTETS, MAX_COMMAND_OCTETS, Answer, Conversation
from node.intake.leaving import Stage, leaves_answered
from node.intake.parting import Parting
from node.intake.replies import Say
from node.intake.sequence import Mode
from node.intake.transfer import Storing

log = logging.getLogger(__name__)
_COMMAND, _DATA, _SASL, _TLS, _CLOSE = Mode  # a member asked of its class costs ten times a name, at every line
_OPEN: Final = Stage.OPEN
PENDING_MAX_BYTES: Final = 64 << 10
"""Pipelined input kept while an answer is awaited; beyond, reading pauses."""
LINE_SKIP_MAX_BYTES: Final = 256 << 10
"""How much of an endless command line is thrown away before the session is closed."""
PROGRESS_BYTES: Final = 4096
"""Data must come at this pace to renew the data idle time, so that one octet a minute does not hold a session."""
COMMIT_S: Final = 90.0
"""Longest wait for the door before the client is told to try later; then the message may still become durable."""


class Connection(Parting):
    """One client connection, from the first octet to the last."""

    def eof_received(self) -> bool:
        """A half-closed socket still gets its replies; a message cut off in the middle is dropped."""
        self._eof = True
        talk = self.talk
        encrypted = talk is not None and bool(talk.tls_version)
        if self._done or talk is None or self._awaited is None:
            self._finish(now=True)
            return False
        return not encrypted

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered; at once what most packets are: one command known by heart."""
        talk = self.talk
        if (
            talk is None
            or talk.mode is not _COMMAND
            or (command := KNOWN.get(data)) is None
            or self._buffer
            or self._awaited is not None
            or self._done
            or self._write_paused
            or self._skipping
            or self._shaking is not None
        ):
            self._received(data)
            return
        answer = talk.known(command)
        if not isinstance(answer, bytes):
            if answer is not None:
                self._await(answer)
            return
        mode, house = talk.mode, self.house
        if mode is _COMMAND:
            self.deadline_s = house.clock_s + house.limits.idle
        elif mode is _DATA:
            self._progress = 0
            self.deadline_s = house.clock_s + house.limits.data_idle
        else:
            self._after(talk, b"", [answer])
            return
        self.transport.write(answer)

    def _received(self, data: bytes) -> None:
        """The general way, for any octets in any state."""
        if self._done:
            return
        if self._shaking is not None:
            self._keep_shaking(data)
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if self._expect_proxy:
            self._proxy(data)
        elif self._awaited is not None or self._write_paused or self.talk is None:
            self._keep(data)
        else:
            self._pump(data)

    def _keep(self, data: bytes) -> None:
        self._buffer = data
        if len(data) > PENDING_MAX_BYTES:
            self._pause()

    def _pump(self, data: bytes) -> None:
        """Answer every complete line, hand over message data, stop where an answer must be awaited."""
        talk = cast("Conversation", self.talk)
        at, size = 0, len(data)
        out: list[bytes] = []
        while at < size:
            if talk.mode is _DATA:
                answer = talk.data(data[at:] if at else data)
                self._pace(size - at)
                data, at = talk.leftover, 0
                talk.leftover = b""
                size = len(data)
            else:
                end = data.find(b"\n", at)
                if end < 0:
                    break
                answer = self._line(talk, data[at : end + 1])
                at = end + 1
            if isinstance(answer, bytes):
                out.append(answer)
            elif answer is not None:
                self._await(answer)
                break
            if talk.mode is _CLOSE or talk.mode is _TLS:
                break
        self._after(talk, data[at:] if at else data, out)

    def _after(self, talk: Conversation, rest: bytes, out: list[bytes]) -> None:
        """Send the replies, keep what is left, and do what the last answer asks for."""
        if talk.mode is _TLS:
            self._pause()  # before 220 is out: what follows it is the handshake
            self._start_tls(b"".join(out))
            return
        if out:
            self.transport.write(b"".join(out) if len(out) > 1 else out[0])
        if talk.mode is _CLOSE and self._awaited is None:
            self._finish(linger=not out[-1].startswith(b"221"))
            return
        if rest:
            self._rest(talk, rest)
        elif talk.mode is _DATA and talk.transfer is not None and talk.transfer.busy:
            self._pause()

    def _rest(self, talk: Conversation, rest: bytes) -> None:
        """An unfinished line, or input that came while an answer is awaited."""
        bound = MAX_AUTH_OCTETS if talk.mode is _SASL or rest[:5].upper() == b"AUTH " else MAX_COMMAND_OCTETS
        if self._awaited is not None or len(rest) <= bound + 2:
            self._keep(rest)
            return
        if not self._skipping:
            reply = talk.refused(Say.AUTH_LINE_TOO_LONG if talk.mode is _SASL else Say.LINE_TOO_LONG)
            self.transport.write(reply)
            talk.sasl = None
            talk.mode = _COMMAND if talk.mode is _SASL else talk.mode
        self._skipping += len(rest)
        if self._skipping > LINE_SKIP_MAX_BYTES or talk.mode is _CLOSE:
            self._finish(linger=True)

    def _line(self, talk: Conversation, line: bytes) -> Answer:
        if self._skipping:
            self._skipping = 0
            return None
        self.deadline_s = self.house.clock_s + self.house.limits.idle
        if talk.mode is not _SASL:
            answer = talk.line(line)
        elif len(line) > MAX_AUTH_OCTETS:
            talk.sasl = None
            talk.mode = _COMMAND
            answer = talk.refused(Say.AUTH_LINE_TOO_LONG)
        else:
            answer = talk.sasl_line(line)
        if talk.mode is _DATA:
            self._progress = 0
            self.deadline_s = self.house.clock_s + self.house.limits.data_idle
        return answer

    def _pace(self, size: int) -> None:
        self._progress += size
        if self._progress >= PROGRESS_BYTES:
            self._progress = 0
            self.deadline_s = self.house.clock_s + self.house.limits.data_idle

    def _await(self, answer: Awaitable[bytes] | Storing) -> None:
        self.deadline_s = self.house.clock_s + COMMIT_S
        if isinstance(answer, Storing):
            durable = self._awaited = answer.durable
            durable.add_done_callback(partial(self._answered, answer.transfer.settle))
        else:
            future = self._awaited = asyncio.ensure_future(answer)
            future.add_done_callback(partial(self._answered, asyncio.Future.result))

    def _answered(self, reply_of: "Callable[[asyncio.Future[Any]], bytes]", future: "asyncio.Future[Any]") -> None:
        """Send the reply that was waited for; a message is settled even if its client is gone."""
        self._awaited = None
        talk = cast("Conversation", self.talk)
        if future.cancelled():
            return
        try:
            reply = reply_of(future)
        except Exception:
            log.exception("session on listener %s failed", self.gate.name)
            reply = talk.close(Say.TRY_LATER)
        if self._done:
            return
        house = self.house
        self.deadline_s = house.clock_s + house.limits.idle
        if reply[:1] > b"3":
            reply = talk.refused(reply)
        if talk.mode is _CLOSE:
            self.transport.write(reply)
            self._finish(linger=bool(self._buffer))
        elif self.stage is not _OPEN and leaves_answered(self.stage, self._doing(talk), more=self._has_more()):
            talk.close(Say.SHUTTING_DOWN)
            # In one piece: a client that looks before it goes on then sees that it is asked to leave.
            self.transport.write(reply + Say.SHUTTING_DOWN)
            self._finish(linger=True)
        else:
            self.transport.write(reply)
            if self._buffer or self._eof or self._paused_reading:
                self._go_on()

    def _go_on(self) -> None:
        """Take up what came meanwhile."""
        data, self._buffer = self._buffer, b""
        if data and not self._write_paused:
            self._pump(data)
        elif data:
            self._buffer = data
        if self._eof and self._awaited is None and not self._done:
            self._finish()
        if not self._done and self._awaited is None and len(self._buffer) <= PENDING_MAX_BYTES:
            self._resume()

    def _when_free(self) -> None:
        talk = self.talk
        if not self._done and talk is not None and (talk.transfer is None or not talk.transfer.busy):
            self._resume()

    def _written_out(self) -> None:
        if self._awaited is None:
            self._go_on()

    def _encrypted_now(self) -> None:
        if self.gate.implicit_tls:
            self._greet()
        else:
            self.deadline_s = self.house.clock_s + self.house.limits.idle
        if not self._done:
            self._go_on()
