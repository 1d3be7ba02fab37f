"""Moves octets: aiosmtpd's SMTP protocol with its per-line machinery replaced by flow control, TLS and an orderly end.

The only file that imports aiosmtpd. Measured: the stock protocol spends most of a short session on reflection in its
constructor and on a stream read for every line. Knows no dialogue; connection.py does.
"""

import asyncio
import logging
import select
import ssl
from abc import abstractmethod
from asyncio.streams import FlowControlMixin
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP

from node.intake.house import Gate, plain_ip, reason_of
from node.intake.leaving import Stage
from node.intake.sockets import hear
from node.tls.server import WEAK_VERSIONS, certificate_names

if TYPE_CHECKING:
    from node.intake.conversation import Conversation

log = logging.getLogger(__name__)
HANDSHAKE_S: Final = 30.0
EARLY_MAX_BYTES: Final = 64 << 10
"""A ClientHello that came before the handshake was in place; more is no handshake."""
LINGER_S: Final = 2.0
"""After the last reply to a client that still sends: read on so that the reply is not lost in a reset."""
FLUSH_S: Final = 10.0
"""How long a closing connection may take to hand out its last replies."""


class Link(SMTP):
    """One connection's transport side."""

    stage = Stage.OPEN
    """How far a stop has come for this connection."""

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop, open_links: "set[Link]") -> None:
        # The parents' constructors are left out on purpose: reflection, a stream reader and a future per session.
        FlowControlMixin.__init__(self, loop)
        self.gate = gate
        self.house = gate.house
        self.loop = loop
        self.talk: Conversation | None = None
        self.transport: Any = None
        self.deadline_s = self.ends_s = float("inf")
        self._open = open_links
        self._address = ""
        self._buffer = b""
        self._early: bytes | None = b""
        """What came before the handshake was in place; None once it was handed over."""
        self._awaited: asyncio.Future[Any] | None = None
        self._shaking: asyncio.Task[None] | None = None
        self._expect_proxy = False
        self._paused_reading = False
        self._write_paused = False
        self._eof = False
        self._done = False
        self._skipping = 0
        self._progress = 0

    def __del__(self) -> None:
        """The library's looks for a future this class never makes."""

    @abstractmethod
    def _encrypted_now(self) -> None:
        """The handshake is over."""

    @abstractmethod
    def _written_out(self) -> None:
        """The client has read its replies; go on."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the library's signature
        """Forget the session; a commit under way is left to end by itself."""
        self._done = True
        self._open.discard(self)
        if self._address:
            left = self.house.by_address.get(self._address, 1) - 1
            if left > 0:
                self.house.by_address[self._address] = left
            else:
                self.house.by_address.pop(self._address, None)
            self._address = ""
        if self.talk is not None:
            self.talk.give_up()

    @abstractmethod
    def tick(self, now_s: float) -> None:
        """End what has taken too long."""

    @property
    def ended(self) -> bool:
        """Whether the last was said, and the client only has to hang up."""
        return self._done

    @abstractmethod
    def leave(self, stage: Stage) -> None:
        """Go along with a stop."""

    def hear(self) -> None:
        """Take every segment, also where the connection came about while newcomers were held back."""
        opened = self.transport.get_extra_info("socket")
        if opened is not None:
            hear(opened)

    def is_at(self, addresses: frozenset[str]) -> bool:
        """Whether the client came by one of these addresses of ours."""
        name = self.transport.get_extra_info("sockname")
        return bool(name) and plain_ip(str(name[0])) in addresses

    def _has_more(self) -> bool:
        """Whether the client has sent something that nobody has read yet."""
        opened = self.transport.get_extra_info("socket")
        if self._buffer or opened is None or opened.fileno() < 0:
            return bool(self._buffer)
        looking = select.poll()
        looking.register(opened.fileno(), select.POLLIN)
        return bool(looking.poll(0))

    def stop(self) -> None:
        """End at once."""
        self._finish(now=True)
        self.transport.abort()

    def _turn_away(self, reply: bytes) -> None:
        self.house.telemetry.count("relay_intake_refused", reason=reason_of(reply))
        self.transport.write(reply)
        self._finish()

    def pause_writing(self) -> None:
        """The client does not read its replies: stop answering and reading."""
        self._write_paused = True
        self._pause()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_paused = False
        if not self._done:
            self._written_out()
            self._resume()

    def _pause(self) -> None:
        if not self._paused_reading and not self._done:
            self._paused_reading = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused_reading and not self._write_paused and self._awaited is None and not self._done:
            self._paused_reading = False
            self.transport.resume_reading()

    def _finish(self, *, linger: bool = False, now: bool = False) -> None:
        """Close: at once, after the last replies are out, or after listening a little longer."""
        if self._done:
            return
        self._done = True
        self._buffer = b""
        if self.talk is not None:
            self.talk.give_up()
        if now:
            self.transport.abort() if self._write_paused else self.transport.close()
        elif linger and not self._eof and self.transport.can_write_eof():
            self.deadline_s = self.house.clock_s + LINGER_S
            self.transport.write_eof()
            if self._paused_reading:
                self.transport.resume_reading()
        else:
            self.deadline_s = self.house.clock_s + FLUSH_S
            self.transport.close()

    def _start_tls(self, reply: bytes = b"") -> None:
        """Begin a handshake; input read so far belongs to nobody and is dropped (RFC 3207 §4.2)."""
        self._pause()
        self._buffer = self._early = b""
        if reply:
            self.transport.write(reply)
        self.deadline_s = self.house.clock_s + HANDSHAKE_S + 1
        self._shaking = self.loop.create_task(self._handshake())

    async def _handshake(self) -> None:
        plain, tls, talk = self.transport, self.gate.tls, self.talk
        try:
            if tls is None or talk is None:
                raise ConnectionError("no certificate")
            upgrade = self.loop.create_task(
                self.loop.start_tls(plain, self, tls.context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S)
            )
            await asyncio.sleep(0)  # the upgrade has put its protocol in place and scheduled its start
            self.loop.call_soon(self._hand_over_early, plain)
            encrypted = await upgrade
            if encrypted is None:
                raise ConnectionError("closed during the handshake")
        except (OSError, ssl.SSLError, TimeoutError) as error:
            log.info("listener %s: TLS handshake failed: %s", self.gate.name, type(error).__name__)
            self.house.telemetry.count("relay_intake_refused", reason="tls_handshake")
            plain.abort()
            self.connection_lost(None)
            return
        finally:
            self._shaking = None
        self.transport = encrypted
        self._paused_reading = False
        self._secured(talk, encrypted.get_extra_info("ssl_object"))

    def _keep_shaking(self, data: bytes) -> None:
        """Octets of the handshake before it is in place; after it, decrypted ones that came before we were told."""
        if self._early is not None:
            self._early += data
        else:
            self._buffer += data
        if len(self._early or self._buffer) > EARLY_MAX_BYTES:
            self.transport.abort()

    def _hand_over_early(self, plain: Any) -> None:
        """Give the handshake what was read before it was in place: a loop may start reading despite the pause."""
        early, self._early = self._early, None
        if early and not self._done and not plain.is_closing():
            handshake = plain.get_protocol()
            handshake.get_buffer(len(early))[: len(early)] = early
            handshake.buffer_updated(len(early))

    def _secured(self, talk: "Conversation", ssl_object: ssl.SSLObject) -> None:
        version = str(ssl_object.version())
        cipher = ssl_object.cipher()
        words = f"{version} {cipher[0]}" if cipher else version
        talk.encrypted(words, certificate_names(ssl_object), old=version in WEAK_VERSIONS)
        self._encrypted_now()
