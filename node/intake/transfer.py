"""One transaction from MAIL to its reply: gathers envelope and octets, has them finished, hands them to the door.

Owns what a transaction holds (memory share, body file, the client's reservation) and gives each back exactly once.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import uuid_utils

from node.errors import RelayError
from node.intake.door import Sight
from node.intake.house import INLINE_BODY_BYTES, now_ms
from node.intake.incoming import DataReader, Fault
from node.intake.replies import Say
from node.intake.spill import Spill
from node.intake.telling import tell
from node.policy.admission import Denial, MailFrom, size_denial
from node.policy.facts import Facts
from node.policy.finish import Finished, finish_headers, new_message
from node.spool.contract import Accepted
from node.telemetry.contract import TraceContext

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable

    from node.intake.conversation import Conversation
    from node.policy.clients import ClientRule
    from node.policy.envelope import NewMessage, Recipient

log = logging.getLogger(__name__)
_FAULTS: Final = {
    Fault.BARE_LF: Say.BARE_LF,
    Fault.BARE_CR: Say.BARE_CR,
    Fault.ENDLESS_LINE: Say.BODY_LINE_TOO_LONG,
    Fault.ENDLESS: Say.TOO_LARGE,
    Fault.NUL: Say.NUL,
    Fault.BODY_LINE: Say.BODY_LINE_TOO_LONG,
    Fault.HEADER: Say.HEADER_TOO_LARGE,
    Fault.SIZE: Say.TOO_LARGE,
}


class Storing(NamedTuple):
    """An answer that hangs on a message becoming durable."""

    durable: Future[None]
    transfer: Transfer


class Transfer:
    """A transaction under way."""

    __slots__ = (
        "_context",
        "_dot_ns",
        "_facts",
        "_finished",
        "_inline",
        "_inline_bytes",
        "_message",
        "_shares",
        "_spill",
        "client",
        "denial",
        "held",
        "id",
        "mail",
        "reader",
        "recipients",
        "reserved",
        "session",
        "started_ns",
    )

    def __init__(self, session: Conversation, client: ClientRule, mail: MailFrom, started_ns: int) -> None:
        self.session = session
        self.client = client
        self.mail = mail
        self.started_ns = started_ns
        self.id = ""
        self.recipients: list[Recipient] = []
        self.reserved = 0
        """Recipients reserved at the door for this client; 0 for clients without a rate."""
        self.held = False
        self.reader: DataReader | None = None
        self.denial: Denial | None = None
        self._facts: Facts | None = None
        self._finished: Finished | None = None
        self._message: NewMessage | None = None
        self._context: TraceContext | None = None
        self._inline: list[bytes] = []
        self._inline_bytes = 0
        self._spill: Spill | None = None
        self._shares = 0
        self._dot_ns = 0

    def open(self) -> bool:
        """Set memory aside for the data; False when there is none."""
        house = self.session.house
        if not house.begin_transfer():
            return False
        self._shares = 1
        self.id = str(uuid_utils.uuid7())
        limit = min(house.rules.size_bytes, self.client.size_bytes)
        self.reader = DataReader(limit, normalise=self.session.gate.normalise)
        return True

    @property
    def busy(self) -> bool:
        """Whether reading should pause until the file has caught up."""
        return self._spill is not None and self._spill.busy

    def feed(self, chunk: bytes, when_free: Callable[[], None]) -> bool:
        """Take octets; whether the message has ended."""
        reader = self.reader
        assert reader is not None  # noqa: S101 - DATA mode begins with open()
        reader.feed(chunk)
        if reader.done:
            self._dot_ns = time.time_ns()
        if reader.header_done and self._finished is None and self.denial is None and reader.fault is None:
            self._finish_header(reader)
        if reader.body:
            self._keep(reader.take_body(), when_free)
        return reader.done

    def _finish_header(self, reader: DataReader) -> None:
        session = self.session
        facts = self._facts = Facts(
            rules=session.house.rules,
            client=self.client,
            mail=self.mail,
            recipients=tuple(self.recipients),
            id=self.id,
            now_ms=now_ms(),
            helo=session.helo,
            peer=session.ip,
            protocol=session.protocol,
            tls=session.tls_version,
            lenient=session.gate.legacy,
        )
        outcome = finish_headers(reader.header, facts)
        if isinstance(outcome, Denial):
            self.denial = outcome
            return
        self._finished = outcome
        self._inline = [outcome.header]
        self._inline_bytes = len(outcome.header)
        if outcome.body_at < len(reader.header):
            self._inline.append(reader.header[outcome.body_at :])
            self._inline_bytes += len(self._inline[-1])

    def _keep(self, parts: list[bytes], when_free: Callable[[], None]) -> None:
        if self.denial is not None or self._finished is None:
            return
        if self._spill is not None:
            self._spill.write(parts)
            return
        self._inline += parts
        self._inline_bytes += sum(map(len, parts))
        if self._inline_bytes > INLINE_BODY_BYTES:
            house = self.session.house
            self._spill = Spill(house.door.new_body_path(self.id), house.pool, when_free)
            self._spill.write(self._inline)
            self._inline = []

    def conclude(self) -> bytes | Awaitable[bytes] | Storing:
        """The message has ended: refuse it, or make it durable and say so."""
        reader = self.reader
        assert reader is not None  # noqa: S101 - called after feed() said so
        if reader.normalised:
            self.session.see(Sight.BARE_LF)
        if reader.fault is not None:
            self.session.refused_reason = reader.fault.value
            return self._refuse(_FAULTS[reader.fault])
        denial = self.denial or size_denial(self.session.house.rules, self.client, reader.size_bytes)
        if denial is not None:
            return self._refuse(self.session.deny(denial))
        return self._commit() if self._spill is None else self._commit_file(self._spill)

    def _refuse(self, reply: bytes) -> bytes:
        self.abandon()
        return reply

    def _commit(self) -> bytes | Storing:
        """Make the message durable; the reply is 250 only then (I1). One future: a task costs as much as a step."""
        message = self._make_message()
        try:
            durable = self.session.house.door.append(Accepted(message=message, body=b"".join(self._inline)))
        except (RelayError, OSError) as error:
            return self._not_stored(error)
        return Storing(durable, self)

    def settle(self, durable: Future[None]) -> bytes:
        """The reply, once it is known whether the message is durable. Raises what is no error of ours."""
        error = durable.exception()
        if error is None:
            self._stored()
            return self._queued()
        if isinstance(error, RelayError | OSError):
            return self._not_stored(error)
        raise error

    async def _commit_file(self, spill: Spill) -> bytes:
        """The same for a body in a file, which must be whole on disk before."""
        try:
            message = self._make_message()
            body = await spill.finish()
            self._spill = None  # from here on the file is the spool's
            await self.session.house.door.append(Accepted(message=message, body=body))
        except (RelayError, OSError) as error:
            return self._not_stored(error)
        self._stored()
        return self._queued()

    def _stored(self) -> None:
        self._settle(used=len(self.recipients))
        message, context = self._message, self._context
        assert message is not None and context is not None  # noqa: S101, PT018 - made before it was stored
        parent = self._finished.traceparent if self._finished is not None else ""
        tell(self.session, message, context, parent, self.started_ns, self._dot_ns)

    def _queued(self) -> bytes:
        return b"250 2.0.0 Ok: queued as " + self.id.encode() + b"\r\n"

    def _not_stored(self, error: Exception) -> bytes:
        self.abandon()
        self.session.refused_reason = "not_stored"
        log.warning("message %s from client %s not stored: %s", self.id, self.client.name, type(error).__name__)
        return Say.NOT_STORED

    def _make_message(self) -> NewMessage:
        finished, facts, reader, session = self._finished, self._facts, self.reader, self.session
        assert finished is not None and facts is not None and reader is not None  # noqa: S101, PT018 - no denial
        context = self._context = session.house.telemetry.root(finished.traceparent)
        body_bytes = (self._spill.size_bytes if self._spill else self._inline_bytes) - len(finished.header)
        message = self._message = new_message(
            facts,
            finished,
            body_bytes=body_bytes,
            eight_bit=reader.eight_bit,
            traceparent=f"00-{context.trace_id:032x}-{context.span_id:016x}-{'01' if context.sampled else '00'}",
            source=f"{session.ip}:{session.port}",
            listener=session.gate.name,
            held=self.held,
        )
        return message

    def abandon(self) -> None:
        """Give everything back: no message came of it."""
        self._settle(used=0)

    def _settle(self, used: int) -> None:
        house = self.session.house
        if self.reserved:
            house.door.client_done(self.client.name, self.reserved, used)
            self.reserved = 0
        if self._spill is not None:
            self._spill.abandon()
            self._spill = None
        if self._shares:
            self._shares = 0
            house.end_transfer()
        self._inline = []
