"""Sends what this node accepts to the shadow of one pairing: in batches, a few under way, answered when durable there.

Nobody waits longer than ``copy_wait_s``. A shadow that refuses or falls silent ends the sending: everything that waits
is unprotected at once, it is said once, and whoever made the sender may begin another. Everything happens in one loop.
"""

import asyncio
from collections.abc import Callable

from coordinator.peers.contract import PeerError, Peers, PeerUnreachable
from node.shadow import pieces
from node.shadow.deadlines import ROOM_S, Deadlines
from node.shadow.entries import Copy, Discard, Entry, Intent, Piece, Progress
from node.shadow.errors import Refused, ShadowError
from node.shadow.frames import encode
from node.shadow.link import Link, Told
from node.shadow.outbox import NEVER, Kept, Outbox, Pace, Waiting, What
from node.shadow.words import BATCH, BEGIN, answer_of
from node.shadow.words import encode as encode_word
from node.spool.contract import Accepted


class Sender:
    """One pairing's sender, from ``begin`` until it ends."""

    def __init__(
        self, peers: Peers, link: Link, *, now_ms: Callable[[], int], pace: Pace | None = None, told: Told | None = None
    ) -> None:
        """Send nothing yet. ``now_ms``: wall clock, for history."""
        self._peers, self._link, self._now_ms = peers, link, now_ms
        self._pace, self._told = pace or Pace(), told or Told()
        self.ended = "not begun"
        """Why nothing is sent; empty while copies go."""
        self.store = link.store
        """The copy store at the other end, known after ``begin``; to be remembered with the pairing's epoch."""
        self._outbox = Outbox(self._pace)
        self._stream = self._sequence = self._under_way_bytes = 0
        self._under_way: dict[asyncio.Task[None], list[Waiting]] = {}
        self._large: dict[str, asyncio.Task[None]] = {}
        self._carried: set[str] = set()
        self._deadlines = Deadlines()
        self._gathering: asyncio.TimerHandle | None = None
        self._waking = False

    async def begin(self) -> None:
        """Agree on a stream. Raises PeerError, Refused."""
        question, node = encode_word(self._link.question()), self._link.node
        body = await self._peers.ask(node, BEGIN, question, timeout_s=self._pace.silence_s)
        answer = answer_of(body)
        if answer.stream < 1 or not answer.store:
            raise Refused("malformed", "an answer without a stream or a store")
        self._stream, self.store, self.ended = answer.stream, answer.store, ""

    # ---- what is sent ------------------------------------------------------------------------------------------------

    def copy_soon(
        self, item: Accepted, progress: tuple[Progress, ...] = (), *, patient: bool = False
    ) -> "asyncio.Future[Kept]":
        """Begin to copy a message; the future says within ``copy_wait_s`` what is known. It never raises.

        ``progress``: where recipients stand, of a message that has been here for a while. ``patient``: its caller waits
        as long as it takes, or until the sending ends.
        """
        future = self._future()
        if self.ended or self._crowded(item):
            future.set_result(Kept.UNPROTECTED)
            return future
        if pieces.is_large(item):
            self._begin_large(item, progress, future, patient=patient)
        else:
            self._carried.add(item.message.id)
            self._add(pieces.copy_of(item, progress), future, waits=not patient)
        return future

    def carries(self, message_id: str) -> bool:
        """Whether a copy is on its way, also one whose caller was told that nobody knows."""
        return message_id in self._carried

    @property
    def room_bytes(self) -> int:
        """How much more may wait: whoever copies what is not urgent leaves room for what is."""
        return self._pace.bytes_max - self._outbox.size_bytes - self._under_way_bytes

    def intend(self, intent: Intent) -> "asyncio.Future[Kept]":
        """Tell of an attempt about to be sent; for classes that must wait until it is durable there."""
        future = self._future()
        if self.ended:
            future.set_result(Kept.UNPROTECTED)
        else:
            self._add(intent, future)
        return future

    def tell(self, what: What) -> None:
        """Tell something nobody waits for, within ``gather_s``."""
        if not self.ended:
            self._outbox.add_later(what)
            self._gather()

    def discard(self, message_id: str) -> None:
        """Tell that a message is settled, within ``gather_s``. One still on its way in pieces is given up."""
        if self.ended:
            return
        large = self._large.get(message_id)
        if large is not None:
            large.cancel()
        self._outbox.discard_later(message_id)
        self._gather()

    def all_heard(self) -> "asyncio.Future[Kept]":
        """Let what gathers go now; the future says when all that was told so far is durable there, or it is not."""
        future = self._future()
        if self.ended:
            future.set_result(Kept.UNPROTECTED)
            return future
        self._outbox.gathered(self._now_ms())
        self._add(Discard(message_ids=(), at_ms=self._now_ms()), future, waits=False)  # batches are taken in order
        return future

    def flush(self) -> None:
        """Let what gathers go now."""
        if not self.ended:
            self._gathered()

    async def close(self) -> None:
        """Send what waits, as far as it is answered within ``copy_wait_s``, and end."""
        self._gathered()
        self._pump(anyway=True)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._pace.copy_wait_s
        while self._under_way and loop.time() < until_s:
            await asyncio.wait(self._under_way, timeout=until_s - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            self._pump(anyway=True)
        self._end("closed")

    @staticmethod
    def _future() -> "asyncio.Future[Kept]":
        return asyncio.get_running_loop().create_future()

    def _crowded(self, item: Accepted) -> bool:
        size_bytes = len(item.body) if isinstance(item.body, bytes) else 0
        large = pieces.is_large(item) and len(self._large) >= self._pace.large_max
        return large or len(self._outbox) > self._pace.entries_max or size_bytes > self.room_bytes

    def _add(self, entry: Entry, future: "asyncio.Future[Kept]", *, waits: bool = True) -> None:
        deadline_s = asyncio.get_running_loop().time() + self._pace.copy_wait_s if waits else NEVER
        waiting = self._outbox.add(entry, future, deadline_s)
        if waits:
            self._deadlines.watch(waiting)
        self._wake()

    # ---- large bodies ------------------------------------------------------------------------------------------------

    def _begin_large(
        self, item: Accepted, progress: tuple[Progress, ...], future: "asyncio.Future[Kept]", *, patient: bool
    ) -> None:
        try:
            source = pieces.Source(item.body)
        except OSError:
            future.set_result(Kept.UNPROTECTED)
            return
        copy = pieces.copy_of(item, progress)
        if not patient:  # its caller waits from now on, not only once its pieces have gone
            deadline_s = asyncio.get_running_loop().time() + self._pace.copy_wait_s
            self._deadlines.watch(Waiting(entry=copy, size_bytes=0, future=future, deadline_s=deadline_s))
        self._carried.add(copy.message_id)
        task = asyncio.create_task(self._send_large(source, copy, future))
        self._large[copy.message_id] = task
        task.add_done_callback(lambda _: self._large.pop(copy.message_id, None))

    async def _send_large(self, source: pieces.Source, copy: Copy, future: "asyncio.Future[Kept]") -> None:
        try:
            whole = await pieces.send(source, copy, self._add_piece)
        except (OSError, asyncio.CancelledError):
            whole = False
        finally:
            source.close()
        if whole and not self.ended:
            self._outbox.add(copy, future)
            self._wake()
            return
        self._carried.discard(copy.message_id)
        if not future.done():
            future.set_result(Kept.UNPROTECTED)

    def _add_piece(self, piece: Piece) -> "asyncio.Future[Kept]":
        future = self._future()
        if self.ended:
            future.set_result(Kept.UNPROTECTED)
        else:
            self._add(piece, future, waits=False)
        return future

    # ---- times -------------------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        if self._outbox.later > self._pace.entries_max:
            self._end("the shadow is too far behind")
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(self._pace.gather_s, self._gathered)

    def _gathered(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._outbox.gathered(self._now_ms())
        self._wake()

    # ---- batches -----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Look once a turn of the loop, so that what comes together goes together."""
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self, *, anyway: bool = False) -> None:
        self._waking = False
        while not self.ended and self._outbox and len(self._under_way) < self._pace.window:
            if self._under_way and not anyway and not self._outbox.worth():
                return
            batch = self._outbox.cut()
            self._sequence += 1
            task = asyncio.create_task(self._send(self._sequence, batch))
            self._under_way[task] = batch
            self._under_way_bytes += sum(each.size_bytes for each in batch)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        batch = self._under_way.pop(task, [])
        self._under_way_bytes -= sum(each.size_bytes for each in batch)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(f"{type(error).__name__} while sending")
        self._pump()

    async def _send(self, sequence: int, batch: list[Waiting]) -> None:
        try:
            data = encode(self._link.header(self._stream, sequence), [each.entry for each in batch])
            answer = answer_of(await self._asked(data))
        except (PeerError, ShadowError) as error:
            self._end(str(error))
            return
        if answer.durable < sequence:
            self._end(f"answered {answer.durable} to batch {sequence}")
            return
        if not self.ended:
            self._durable(batch)

    def _durable(self, batch: list[Waiting]) -> None:
        copies = 0
        for each in batch:
            told, entry = each.settle(Kept.COPIED), each.entry
            if isinstance(entry, Copy):
                copies += 1
                self._carried.discard(entry.message_id)
                if not told:
                    self._told.late(entry.message_id)
            elif isinstance(entry, Discard):
                self._told.heard(entry.message_ids)
        self._told.sent(copies, sum(each.size_bytes for each in batch))

    async def _asked(self, data: bytes) -> bytes:
        """Ask; once more at once if a connection broke: a batch that came before changes nothing."""
        loop, node = asyncio.get_running_loop(), self._link.node
        until_s = loop.time() + self._pace.silence_s
        try:
            return await self._peers.ask(node, BATCH, data, timeout_s=self._pace.silence_s)
        except PeerUnreachable:
            left_s = until_s - loop.time()
            if left_s <= ROOM_S:
                raise
        return await self._peers.ask(node, BATCH, data, timeout_s=left_s)

    def _end(self, why: str) -> None:
        if self.ended:
            return
        self.ended = why
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        for task in (*self._large.values(), *self._under_way):
            if task is not asyncio.current_task():
                task.cancel()
        under_way = [each for batch in self._under_way.values() for each in batch]
        waiting = self._outbox.clear()
        self._carried.clear()
        for each in (*under_way, *waiting, *self._deadlines.clear()):
            each.settle(Kept.UNPROTECTED)
        self._told.ended(why)
