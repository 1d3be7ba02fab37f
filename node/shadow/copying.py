"""Stands before the spool at the door: a message is answered when it is durable here and on another machine.

Both are begun at once and both futures are watched; nothing is a task of its own while all goes well. What the spool
does to messages afterwards is told to the other end (``changed``), what is here alone is copied later
(``protecting.py``). Everything happens in one loop.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path

from coordinator.peers.contract import Peers
from node.policy.envelope import NewMessage
from node.shadow.accepting import Accepting, Heard
from node.shadow.beside import Beside
from node.shadow.current import Beginning, Current
from node.shadow.entries import Intent
from node.shadow.idle import Idle
from node.shadow.measures import Measures
from node.shadow.notes import Notes
from node.shadow.numbers import Numbers, Pairs
from node.shadow.outbox import Kept, Pace
from node.shadow.protecting import Protecting
from node.shadow.reports import entries_of
from node.shadow.retelling import Retelling
from node.shadow.sending import Sending
from node.spool.contract import Accepted
from node.spool.paired import Changed, PairedSpool


class Copying:
    """The door's store in a cluster."""

    def __init__(
        self,
        spool: PairedSpool,
        peers: Peers,
        pairs: Pairs,
        *,
        cluster: str,
        now_ms: Callable[[], int],
        pace: Pace | None = None,
        measures: Measures | None = None,
        on_stored: Callable[[NewMessage], None] = lambda _message: None,
        on_unprotected: Callable[[NewMessage], None] = lambda _message: None,
        on_shunned: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_stored``: it may be attempted from now on; ``on_unprotected``: its 250 rests on this machine alone.

        ``on_shunned``: another node had better keep the copies.

        ``changed`` is to be set as the spool's ``on_changed``, ``run`` to be run while the spool is open.
        """
        pace, measures = pace or Pace(), measures or Measures()
        self._spool, self._now_ms, self.shunned = spool, now_ms, on_shunned
        self._pairs, self._numbers = pairs, Numbers(spool, pairs)
        beginning = Beginning(
            spool, peers, pairs, self._numbers, self, cluster=cluster, now_ms=now_ms, pace=pace, measures=measures
        )
        self._sending = Sending(spool, pairs, beginning, self)
        self._beside = Beside(spool, self._numbers, beginning, self, self._sending.ends)
        self._notes = Notes(spool, self._sending.counts)
        self._retelling = Retelling(spool, self._notes, now_ms)
        self._idle = Idle(spool, pairs, self._numbers, self._sending.shunned)
        self._protecting = Protecting(spool, self._sending, self._numbers, self._notes, self.taking, pace)
        heard = Heard(stored=on_stored, unprotected=on_unprotected, alone=self._protecting.wanted)
        self._accepting = Accepting(spool, self._sending, self._notes, heard, measures, now_ms=now_ms)

    # ---- for show ----------------------------------------------------------------------------------------------------

    @property
    def unprotected(self) -> int:
        """Live messages not known to be kept twice, as of about a second ago."""
        return self._protecting.unprotected

    @property
    def shadow(self) -> str:
        """Name the node that gets copies now; empty: none does."""
        current = self._sending.current
        return current.view.key.shadow if current is not None else ""

    @property
    def why(self) -> str:
        """Say why nothing is copied; empty while copies go."""
        return self._sending.why

    def noted(self, message_id: str) -> bool:
        """Whether a message is copied, while the spool is still to hear of it."""
        return message_id in self._notes

    def shunned_until_s(self, node: str) -> float:
        """Say until when others come before a node that is there and took no copies; 0 when they do not."""
        return self._sending.shunned.until_s(node)

    # ---- the door ----------------------------------------------------------------------------------------------------

    def new_body_path(self, message_id: str) -> Path:
        """See the spool's contract."""
        return self._spool.new_body_path(message_id)

    def taking(self, message_id: str) -> bool:
        """Whether a message is not answered yet: it may still be withdrawn, so nothing of it is attempted."""
        return message_id in self._accepting

    def append_soon(self, item: Accepted) -> "Future[None]":
        """Make a message durable here and, as it wants, on another machine.

        The future raises what the spool raises, and NotCopied (temporary; then nothing of it stays).
        """
        return self._accepting.append_soon(item)

    # ---- delivery ----------------------------------------------------------------------------------------------------

    def may_intend(self, number: int) -> bool:
        """Whether the intent of an attempt that must not be repeated could be told now, or nobody need know."""
        return self._counting(number) is not None or self._numbers.free(number)

    async def intend(self, due_pairing: int, intent: Intent) -> bool:
        """Make an intent durable at the other end; True also where nobody need know. False: do not send the dot."""
        current = self._counting(due_pairing)
        if current is not None:
            return await current.sender.intend(intent) is Kept.COPIED
        if not self._numbers.known(due_pairing):
            await self._numbers.read()
        return self._numbers.free(due_pairing)

    def _at(self, number: int) -> Current | None:
        """Give the sender of a number, in use or beside."""
        current = self._sending.current
        return current if current is not None and current.number == number else self._beside.at(number)

    def _counting(self, number: int) -> Current | None:
        current = self._at(number)
        return current if current is not None and current.counts(self._pairs) else None

    # ---- what became of messages -------------------------------------------------------------------------------------

    def changed(self, changes: Sequence[Changed]) -> None:
        """Tell the other end what the spool did; what it cannot be told is told from the disk later."""
        now_ms = self._now_ms()
        for change in changes:
            self._protecting.touched(change.message_id)
            self._retelling.touched(change.message_id)
            if change.finished:
                self._notes.over(change.message_id)
            current = self._at(change.pairing)
            if current is not None:
                self._tell(current, change, now_ms)
            elif change.finished:  # perhaps nobody need hear it
                self._protecting.wanted()

    @staticmethod
    def _tell(current: Current, change: Changed, now_ms: int) -> None:
        for entry in entries_of(change, now_ms):
            current.tell(entry)
        if change.finished:
            current.discard((change.message_id,))

    # ---- what senders say --------------------------------------------------------------------------------------------

    def begun(self, current: Current) -> None:
        """See ``current.Events``."""
        self._retelling.begun(current)
        self._idle.wake()
        self._protecting.wanted()

    def took(self, node: str) -> None:
        """See ``current.Events``."""
        self._sending.shunned.took(node)

    def late(self, number: int, message_id: str) -> None:
        """See ``current.Events``."""
        self._notes.copied(message_id, number)

    def heard(self, message_ids: Sequence[str]) -> None:
        """See ``current.Events``."""
        self._notes.told(message_ids)

    # ---- life --------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Hear that ownership may have changed."""
        self._sending.look()
        self._protecting.wanted()

    async def run(self) -> None:
        """Send, note and protect until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._sending, self._beside, self._retelling, self._notes, self._protecting, self._idle):
                group.create_task(part.run())

    async def close(self) -> None:
        """Let the other end hear what waits, within the time a copy may take; call it when ``run`` has ended."""
        await self._sending.close()
        await self._accepting.close()
        await self._notes.flush()
