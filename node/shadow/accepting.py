"""Messages on their way in: answered when durable here and there, or as its plan has it when there is no copy."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from time import time_ns

from msgspec.structs import replace

from node.errors import RelayError
from node.policy.envelope import Copies, NewMessage
from node.shadow.current import Current
from node.shadow.errors import NotCopied
from node.shadow.measures import Measures, Outcome
from node.shadow.notes import Notes
from node.shadow.outbox import Kept
from node.shadow.sending import Sending
from node.spool.contract import Accepted
from node.spool.errors import SpoolBroken
from node.spool.paired import PairedSpool

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Whom accepting tells; all return at once."""

    stored: Callable[[NewMessage], None]
    """It is accepted: it may be attempted from now on."""
    unprotected: Callable[[NewMessage], None]
    """Its 250 rests on this machine alone, though its plan would rather have two."""
    alone: Callable[[], None]
    """There is something to copy later."""


class Accepting:
    """Takes messages in; holds the names of those not answered yet."""

    def __init__(
        self,
        spool: PairedSpool,
        sending: Sending,
        notes: Notes,
        heard: Heard,
        measures: Measures,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        """Keep the parts."""
        self._measures = measures
        self._spool, self._sending, self._notes, self._heard, self._now_ms = spool, sending, notes, heard, now_ms
        self._names: set[str] = set()
        self._withdrawing: set[asyncio.Task[None]] = set()

    def __contains__(self, message_id: str) -> bool:
        """Whether a message is not answered yet."""
        return message_id in self._names

    def append_soon(self, item: Accepted) -> "Future[None]":
        """See ``Copying``."""
        message = item.message
        current = self._sending.current if message.copies is not Copies.ONE else None
        if current is not None:
            return self._both(replace(item, pairing=current.number), current)
        if message.copies is Copies.REQUIRED:
            self._measures.crossed(message, Outcome.REFUSED)
            refused: Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(NotCopied(self._sending.why))
            return refused
        stored = self._spool.append_soon(replace(item, pairing=0))
        stored.add_done_callback(lambda done: self._stored_alone(message, done))
        return stored

    def _stored_alone(self, message: NewMessage, stored: "Future[None]") -> None:
        if stored.cancelled() or stored.exception() is not None:
            return
        if message.copies is not Copies.ONE:
            self._measures.crossed(message, Outcome.UNPROTECTED)
            self._unprotected(message)
        self._heard.stored(message)

    def _both(self, item: Accepted, current: Current) -> "Future[None]":
        stored = self._spool.append_soon(item)
        kept = current.sender.copy_soon(item)
        self._names.add(item.message.id)
        return _Arrival(self, item.message, current, stored, kept).future

    async def close(self) -> None:
        """Wait until what must be taken back is."""
        while self._withdrawing:
            await asyncio.wait(self._withdrawing)

    # ---- what became of one ------------------------------------------------------------------------------------------

    def decide(self, arrival: "_Arrival", kept: Kept) -> None:
        """It is durable here, and this is known of its copy."""
        message, number = arrival.message, arrival.current.number
        if kept is Kept.COPIED and self._sending.counts(number):
            self._notes.copied(message.id, number)
            self._crossed(arrival, Outcome.COPIED)
            self.accept(arrival)
        elif message.copies is Copies.REQUIRED:
            task = asyncio.get_running_loop().create_task(self._withdraw(arrival))
            self._withdrawing.add(task)
            task.add_done_callback(self._withdrawing.discard)
        else:
            self._crossed(arrival, Outcome.UNPROTECTED)
            self._unprotected(message)
            self.accept(arrival)

    def _crossed(self, arrival: "_Arrival", outcome: Outcome) -> None:
        view = arrival.current.view
        self._measures.crossed(arrival.message, outcome, view, arrival.began_ns, arrival.kept_ns)

    def accept(self, arrival: "_Arrival") -> None:
        """Answer that it is accepted."""
        self._names.discard(arrival.message.id)
        if not arrival.future.done():  # whoever waited may have gone away
            arrival.future.set_result(None)
        self._heard.stored(arrival.message)

    def refuse(self, arrival: "_Arrival", error: BaseException) -> None:
        """Answer that it is not."""
        self._names.discard(arrival.message.id)
        if not arrival.future.done():
            arrival.future.set_exception(error)

    def fail(self, arrival: "_Arrival", error: BaseException | None) -> None:
        """It is not durable here: its client sends it again, so no copy of it may stay."""
        arrival.current.sender.discard(arrival.message.id)
        self.refuse(arrival, error or SpoolBroken("the spool gave up"))

    def _unprotected(self, message: NewMessage) -> None:
        self._heard.unprotected(message)
        self._heard.alone()

    async def _withdraw(self, arrival: "_Arrival") -> None:
        """Take back what may not be on one machine alone; its client sends it again."""
        name, why = arrival.message.id, self._sending.why or "the copy did not arrive in time"
        try:
            if not await self._spool.withdraw(name, "not copied", self._now_ms()):
                _log.warning("message %s is accepted without a copy: something of it was tried already", name)
                self._crossed(arrival, Outcome.UNPROTECTED)
                self._unprotected(arrival.message)
                self.accept(arrival)
                return
        except RelayError as error:
            _log.warning("message %s is refused, and may be sent all the same: %s", name, error)
        except Exception:  # noqa: BLE001 - its client must hear something
            _log.exception("message %s is refused, and may be sent all the same", name)
        self._crossed(arrival, Outcome.REFUSED)
        self.refuse(arrival, NotCopied(why))


class _Arrival:
    """One message between its first octet on disk and its answer."""

    __slots__ = ("_accepting", "_kept", "_over", "_stored", "began_ns", "current", "future", "kept_ns", "message")

    def __init__(
        self,
        accepting: Accepting,
        message: NewMessage,
        current: Current,
        stored: "Future[None]",
        kept: "Future[Kept]",
    ) -> None:
        self._accepting, self.message, self.current = accepting, message, current
        self._stored, self._kept, self._over = stored, kept, False
        self.began_ns, self.kept_ns = time_ns(), 0
        self.future: Future[None] = asyncio.get_running_loop().create_future()
        stored.add_done_callback(self._look)
        kept.add_done_callback(self._look)

    def _look(self, done: "Future[None] | Future[Kept]") -> None:
        stored = self._stored
        if done is self._kept:
            self.kept_ns = time_ns()
        if self._over or not stored.done():
            return
        error = None if stored.cancelled() else stored.exception()
        if stored.cancelled() or error is not None:
            self._over = True
            self._accepting.fail(self, error)
        elif self._kept.done():
            self._over = True
            self._accepting.decide(self, self._kept.result())
