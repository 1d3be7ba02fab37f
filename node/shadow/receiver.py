"""Answers the peers whose copies this node keeps: whose they are is checked, and only what is durable is answered.

The caller's name comes from its certificate. A few batches of one pairing are under way at once and may overtake each
other on their connections; one that is early waits a moment for those before it. All that waits is bounded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from coordinator.ownership.answers import received
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Kind, Row
from coordinator.ownership.views import Me, View
from coordinator.peers.contract import Handler
from node.errors import RelayError
from node.shadow.contract import Copies
from node.shadow.entries import Copy, Piece
from node.shadow.errors import Busy, CopiesLost, QuotaReached, WrongCluster, WrongEpoch, WrongNode
from node.shadow.frames import BATCH_BYTES_MAX, Batch, decode, shown
from node.shadow.words import BATCH, BEGIN, WINDOW, Answer, begin_of, encode, refusal

BATCHES_MAX: Final = 24
"""Batches read and not answered; with BATCH_BYTES_MAX the bound on memory."""
LINES_MAX: Final = 256
"""Pairings whose order is remembered; the others' is read again."""
EARLY_S: Final = 0.3
"""How long an early batch waits for those before it: less than a sender waits for its answer."""

BODY_MAX: Final[Mapping[str, int]] = {BATCH: BATCH_BYTES_MAX}
"""For ``PeerServer(body_max=…)``."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the receiver asks of its node."""

    cluster: str
    me: Callable[[], Me]
    view: Callable[[PairKey], View | None]
    """The pairing as the coordination store tells it; None: not known (yet)."""
    owned: Callable[[Attached, Batch], None] = lambda _attached, _batch: None
    """A batch came, and is kept, of a pairing that this node has taken over."""
    begun: Callable[[Attached], None] = lambda _attached: None
    """A stream of copies begins."""
    refused: Callable[[str], None] = lambda _word: None
    """What came was refused, with this word."""
    full: Callable[[], bool] = lambda: False
    """The disk has no room for more copies."""
    retired: Callable[[str], bool] = lambda _spool: False
    """Whether a spool's disk was given up as lost."""
    judged: Callable[[], bool] = lambda: True
    """Whether the spool was judged good in this process; before, nothing is taken."""


@dataclass(slots=True, kw_only=True)
class _Line:
    """The order of one pairing's batches."""

    node: str
    stream: int
    next: int
    early: dict[int, "asyncio.Future[None]"] = field(default_factory=dict)


class Receiver:
    """Serves the two routes."""

    def __init__(self, copies: Copies, here: Here) -> None:
        """Keep the parts; ``copies`` is open while peers are answered."""
        self._copies, self._here = copies, here
        self._lines: dict[Attached, _Line] = {}
        self._waiting = 0

    def routes(self) -> dict[str, Handler]:
        """Give the handlers for the peer channel."""
        return {BEGIN: self.begin, BATCH: self.batch}

    async def begin(self, node: str, body: bytes) -> bytes:
        """Answer ``Begin``."""
        return await self._said(self._begin(node, body))

    async def batch(self, node: str, body: bytes) -> bytes:
        """Take a batch."""
        return await self._said(self._batch(node, body))

    async def _said(self, answer: Awaitable[Answer]) -> bytes:
        try:
            return encode(await answer)
        except RelayError as error:
            _log.info("copies refused: %s", error)
            said = refusal(error, self._copies.store_id)
            self._here.refused(said.word)
            return encode(said)

    async def _begin(self, node: str, body: bytes) -> Answer:
        asked = begin_of(body)
        attached = self._checked(node, asked.cluster, asked.spool, asked.epoch, asked.copy)[0]
        store = self._copies.store_id
        if asked.store and asked.store != store:
            raise CopiesLost(f"this is store {store}, not the one that has them")
        self._forget(attached)
        stream = await self._copies.begin(attached, node)
        self._here.begun(attached)
        return Answer(stream=stream, store=store)

    async def _batch(self, node: str, body: bytes) -> Answer:
        if self._waiting >= BATCHES_MAX:
            raise Busy(f"{self._waiting} batches wait")
        self._waiting += 1
        try:
            return await self._taken(node, decode(body))
        finally:
            self._waiting -= 1

    async def _taken(self, node: str, batch: Batch) -> Answer:
        header = batch.header
        about = header.cluster, header.spool, header.epoch, header.copy
        attached, kind = self._checked(node, *about)
        view = self._here.view(attached.key)
        if self._here.full() and any(isinstance(entry, Copy | Piece) for entry in batch.entries):
            raise QuotaReached("this node's disk is too full for copies")  # what makes room is always taken
        await self._in_turn(node, attached, batch)
        try:
            durable = await self._copies.put(attached, batch)
            # Looked at once more: it may have become void, or this node's own, while the batch was written.
            same = view is not None and self._here.view(attached.key) is view and self._here.judged()
            same = same and not self._here.retired(attached.key.spool)
            if not same:
                _, kind = self._checked(node, *about)
        except BaseException:
            self._forget(attached)  # what comes after it is judged by what is kept
            raise
        if kind is Kind.OWN:
            self._here.owned(attached, batch)
        return Answer(durable=durable, stream=header.stream, store=self._copies.store_id)

    def _checked(self, node: str, cluster: str, spool: str, epoch: int, copy: str) -> tuple[Attached, Kind]:
        """Say whose copies these are, and as what they are kept. Raises WrongCluster, WrongEpoch, WrongNode, Busy.

        What is meant for another disk of this node is refused whatever the pairing says: its sender looks at it anew.
        """
        if not self._here.judged():
            raise Busy("this node's spool is not judged yet")
        if cluster != self._here.cluster:
            raise WrongCluster("of another cluster")
        me = self._here.me()
        attached = Attached(key=PairKey(spool=spool, shadow=me.node), epoch=epoch)
        view = self._here.view(attached.key)
        row = received(Row(attached=attached), view, me, copy=copy, retired=self._here.retired(spool))
        known = view.pairing if view is not None else None
        pairing = known if known is not None and known.epoch == epoch else None
        if row is None or epoch < 1 or spool == me.spool or (pairing is not None and pairing.copy != copy):
            raise WrongEpoch(f"spool {spool} epoch {epoch} is not to be kept here beside {copy}")
        if pairing is not None and pairing.owner not in {node, me.node}:
            raise WrongNode(f"spool {spool} belongs to {pairing.owner}, not to {node}")
        return attached, row.kind

    # ---- order -------------------------------------------------------------------------------------------------------

    async def _in_turn(self, node: str, attached: Attached, batch: Batch) -> None:
        """Wait until the batches before this one have been handed to the store; after a while it decides alone."""
        line, sequence = await self._line(node, attached), batch.header.sequence
        if line is None or line.stream != batch.header.stream or sequence > line.next + WINDOW:
            return  # the store knows what is wrong
        if sequence > line.next:
            await self._early(line, sequence)
        if sequence == line.next:
            line.next += 1
            waiting = line.early.get(line.next)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        elif sequence > line.next:
            _log.info("copies: %s came before its turn, %d is due", shown(batch.header), line.next)

    @staticmethod
    async def _early(line: _Line, sequence: int) -> None:
        future = line.early.setdefault(sequence, asyncio.get_running_loop().create_future())
        await asyncio.wait([future], timeout=EARLY_S)
        line.early.pop(sequence, None)

    async def _line(self, node: str, attached: Attached) -> _Line | None:
        found = self._lines.get(attached)
        if found is None:
            kept = await self._copies.stream(attached)
            if kept is None:
                return None
            line = _Line(node=kept.node, stream=kept.number, next=kept.expected)
            found = self._lines.setdefault(attached, line)
            while len(self._lines) > LINES_MAX:
                self._forget(next(iter(self._lines)))
        if found.node != node:
            raise WrongNode(f"copies of this spool come from {found.node}, not from {node}")
        return found

    def _forget(self, attached: Attached) -> None:
        line = self._lines.pop(attached, None)
        for waiting in line.early.values() if line is not None else ():
            if not waiting.done():
                waiting.set_result(None)
