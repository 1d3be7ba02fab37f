"""One client connection: feeds what arrives to the dialogue and sends what it answers.

Everything a client sends in one packet is answered in one write, without a task; a task exists only while the door,
the authenticator or a TLS handshake is awaited. Knows no SMTP beyond line ends and modes.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from node.intake.conversation import MAX_AUTH_OCTETS, MAX_COMMAND_OCTETS, Answer, Conversation
from node.intake.house import plain_ip, reason_of, within
from node.intake.protocol import Link
from node.intake.proxy import MAX_V2_BYTES, ProxyError, parse_proxy
from node.intake.replies import Say
from node.intake.sequence import Mode

log = logging.getLogger(__name__)
_COMMAND, _DATA, _SASL, _TLS, _CLOSE = Mode  # a member asked of its class costs ten times a name, at every line
PENDING_MAX_BYTES: Final = 64 << 10
"""Pipelined input kept while an answer is awaited; beyond, reading pauses."""
LINE_SKIP_MAX_BYTES: Final = 256 << 10
"""How much of an endless command line is thrown away before the session is closed."""
PROGRESS_BYTES: Final = 4096
"""Data must come at this pace to renew the data idle time, so that one octet a minute does not hold a session."""
PROXY_S: Final = 5.0
COMMIT_S: Final = 90.0
"""Longest wait for the door before the client is told to try later; then the message may still become durable."""


class Connection(Link):
    """One client connection, from the first octet to the last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection: bound the number, expect PROXY where it is due, else greet."""
        self.transport = transport
        self._open.add(self)
        self.ends_s = self.house.clock_s + self.house.limits.session
        peer = transport.get_extra_info("peername") or ("", 0)
        ip, port = plain_ip(str(peer[0])), int(peer[1]) if len(peer) > 1 else 0
        if len(self._open) > self.house.sessions_max:
            self._turn_away(Say.TOO_MANY_SESSIONS)
        elif self.gate.proxy_from and within(ip, self.gate.proxy_from):
            self._expect_proxy = True
            self.deadline_s = self.house.clock_s + PROXY_S
        else:
            self._begin(ip, port)

    def _begin(self, ip: str, port: int) -> None:
        house = self.house
        if self.gate.networks and not within(ip, self.gate.networks):
            self._turn_away(Say.CLOSED_TO_YOU)
            return
        count = house.by_address.get(ip, 0) + 1
        if count > house.sessions_per_address_max:
            self._turn_away(Say.TOO_MANY_FROM_ADDRESS)
            return
        house.by_address[ip] = count
        self._address = ip
        house.telemetry.count("relay_intake_sessions", listener=self.gate.name)
        self.talk = Conversation(self.gate, ip, port, self._when_free)
        if self.gate.implicit_tls:
            self._start_tls()
        else:
            self._greet()

    def _greet(self) -> None:
        self.deadline_s = self.house.clock_s + self.house.limits.idle
        if self.house.draining:
            self._turn_away(Say.SHUTTING_DOWN)
        else:
            self.transport.write(self.gate.banner)

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
        """Answer what can be answered."""
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

    def _proxy(self, data: bytes) -> None:
        try:
            header = parse_proxy(data)
        except ProxyError as error:
            log.warning("listener %s: no PROXY header from a balancer: %s", self.gate.name, error)
            self.house.telemetry.count("relay_intake_refused", reason="bad_proxy")
            self._finish(now=True)
            return
        if header is None:
            if len(data) > MAX_V2_BYTES:
                self._finish(now=True)
            self._buffer = data
            return
        self._expect_proxy = False
        if not header.ip:  # the balancer asks whether we live; nothing can be relayed for it
            self._finish(now=True)
            return
        rest = data[header.consumed :]
        self._begin(plain_ip(header.ip), header.port)
        if self._shaking is not None:
            self._early = rest
        elif rest and not self._done:
            self._pump(rest)

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
            if type(answer) is bytes:
                out.append(answer)
            elif answer is not None:
                self._await(cast("Awaitable[bytes]", answer))
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

    def _await(self, answer: Awaitable[bytes]) -> None:
        self.deadline_s = self.house.clock_s + COMMIT_S
        self._awaited = asyncio.ensure_future(answer)
        self._awaited.add_done_callback(self._answered)

    def _answered(self, future: "asyncio.Future[bytes]") -> None:
        self._awaited = None
        talk = cast("Conversation", self.talk)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            log.error("session on listener %s failed", self.gate.name, exc_info=error)
            reply = talk.close(Say.TRY_LATER)
        else:
            reply = future.result()
        if self._done:
            return
        self.deadline_s = self.house.clock_s + self.house.limits.idle
        self.transport.write(talk.judged(reply))
        if talk.mode is _CLOSE or (self.house.draining and talk.transfer is None):
            self._leave(talk)
            return
        self._go_on()

    def _leave(self, talk: Conversation) -> None:
        if talk.mode is not _CLOSE:
            self.transport.write(Say.SHUTTING_DOWN)
        self._finish(linger=bool(self._buffer))

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

    def tick(self, now_s: float) -> None:
        """End what has taken too long."""
        if now_s < self.deadline_s and now_s < self.ends_s:
            return
        talk = self.talk
        if self._done or talk is None:
            self.transport.abort()
        elif self._awaited is not None:
            if now_s >= self.deadline_s:
                self._say_last(talk, Say.TRY_LATER)
        elif now_s >= self.ends_s:
            self._say_last(talk, Say.SESSION_TOO_LONG)
        else:
            self._say_last(talk, Say.TOO_SLOW if talk.mode is _DATA else Say.IDLE)

    def drain(self) -> None:
        """Say goodbye unless a transaction is under way."""
        talk = self.talk
        if not self._done and talk is not None and talk.transfer is None and self._awaited is None:
            self._say_last(talk, Say.SHUTTING_DOWN)

    def _say_last(self, talk: Conversation, reply: bytes) -> None:
        self.house.telemetry.count("relay_intake_refused", reason=reason_of(reply))
        talk.close(reply)
        if not self._shaking:
            self.transport.write(reply)
        self._finish(linger=True)
