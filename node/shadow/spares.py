"""Keeps rows where ownership says they belong: own ones in the spool, spares in the copy store.

What became this node's is taken over into the spool, what became another's is moved out of it, and spares are compared
with their owner until each is settled, or the owner has it. Everything can be done again after a failure or a crash.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from coordinator.errors import CoordinatorError
from coordinator.ownership import moves
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import End, State, View, end_of
from coordinator.peers.contract import Handler, Peers
from node.errors import RelayError
from node.shadow import ownership as owners
from node.shadow.adoption import Adoption
from node.shadow.answering import Answering
from node.shadow.asking import ANOTHERS, Asking
from node.shadow.bringing import Bringing
from node.shadow.comparing import Comparing
from node.shadow.contract import Copies
from node.shadow.frames import Batch
from node.shadow.giving import Giving, StillMoving
from node.shadow.late import Late
from node.shadow.measures import Measures
from node.shadow.ownership import Ownership
from node.shadow.serving import Serving
from node.spool.paired import Here, PairedSpool

_log = logging.getLogger(__name__)


class Spares:
    """Implements ``coordinator.keeping.contract.Rows``; ``run`` lasts as long as the node."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        peers: Peers,
        ownership: Ownership,
        *,
        now_ms: Callable[[], int],
        arrived: Callable[[], None] = lambda: None,
        taking: Callable[[str], bool] = lambda _message_id: False,
        measures: Measures | None = None,
    ) -> None:
        """``arrived``: mail to deliver has come; ``taking``: whether a message is not answered to its client yet."""
        self._copies, self._spool, self._ownership = copies, spool, ownership
        lock, measures = asyncio.Lock(), measures or Measures()
        self._measures = measures
        self._adoption = Adoption(copies, spool, now_ms=now_ms, arrived=arrived, lock=lock, measures=measures)
        self._giving = Giving(copies, spool, taking=taking, lock=lock, measures=measures)
        self._asking = Asking(copies, spool, peers, ownership, now_ms=now_ms, measures=measures)
        answering = Answering(copies, spool, ownership, taking=taking, now_ms=now_ms, lock=lock)
        bringing = Bringing(copies, spool, ownership, now_ms=now_ms, arrived=arrived, lock=lock, measures=measures)
        self._serving = Serving(answering, bringing, ownership)
        self._comparing = Comparing(copies, self._asking, ownership, peers, again=self._again)
        self._late = Late(spool, copies, answering, adopt=self._adopt_late, sender=self._sender)
        self._left: dict[Attached, int] = {}
        """How many copies of a pairing that is this node's cannot be taken over."""

    def routes(self) -> dict[str, Handler]:
        """Give the handlers for the peer channel, beside the receiver's; ``questions.BODY_MAX`` goes with them."""
        return self._serving.routes()

    async def run(self) -> None:
        """Compare spares with their owners and follow what comes late, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._comparing.run())
            group.create_task(self._comparing.run_asking_back())
            group.create_task(self._late.run())

    def begun(self, _attached: Attached) -> None:
        """Take that a stream of copies began: for the receiver."""
        self._comparing.soon()

    def owned(self, attached: Attached, batch: Batch) -> None:
        """Take that a batch came of a pairing that is this node's now: for the receiver."""
        self._late.add(attached, batch)

    # ---- what the keeper asks ----------------------------------------------------------------------------------------

    async def told(self) -> int:
        """See Rows."""
        return await self._spool.remembered()

    async def sequence(self) -> int:
        """See Rows."""
        return await self._spool.sequence()

    async def tell(self, sequence: int) -> None:
        """See Rows."""
        await self._spool.remember(sequence)

    async def here(self, key: PairKey, epoch: int) -> moves.Here:
        """See Rows; 1 stands for any number of rows. Copies on their way into the spool count as own already."""
        attached = Attached(key=key, epoch=epoch)
        number = await owners.number_of(self._spool, attached)
        found = await self._spool.here(number) if number else Here()
        held = await self._copies.holding(attached)
        copies, view = held.messages if held is not None else 0, self._ownership.view(key)
        coming = copies > self._left.get(attached, 0) and view is not None and self._comes(view, attached)
        return moves.Here(
            own=int(found.own or coming),
            spare=int(bool(copies) and not coming),
            moving=int(found.moving),
            unconfirmed=int(found.unconfirmed or coming),
            asking=int(found.careful),
        )

    def _comes(self, view: View, attached: Attached) -> bool:
        """Whether copies of a pairing are to be taken over.

        A void one that the shadow gives back brings nothing with it; one that this node, as the shadow, made void
        after it had adopted it is its own.
        """
        if view.epoch != attached.epoch or view.pairing is None:
            return False
        at_copy = end_of(view.key, view.pairing, self._ownership.me) is End.COPY
        return view.state is State.HELD or (view.state is State.VOID and at_copy)

    def _is(self, view: View) -> Callable[[], bool]:
        """Give the question whether the pairing is what it was."""

        def still() -> bool:
            now = self._ownership.view(view.key)
            return now is not None and (now.state, now.epoch) == (view.state, view.epoch)

        return still

    async def align(self, view: View) -> None:
        """See Rows. Raises StillMoving and the errors of spool and copy store, all of them temporary."""
        self._comparing.soon()
        await self._over(view)
        attached = Attached(key=view.key, epoch=view.epoch)
        if view.state is State.VOID:
            number = await owners.number_of(self._spool, attached)
            if number:
                await self._spool.unconfirm(number)
        if self._comes(view, attached):
            await self._adopt(view)
        elif view.state in ANOTHERS:
            await self._give(view)

    async def _over(self, view: View) -> None:
        """What the other end had of epochs that are over counts no more."""
        numbers = await owners.numbers(self._spool)
        self._measures.learn({number: attached.epoch for number, attached in numbers.items()})
        for number, attached in numbers.items():
            if attached.key == view.key and attached.epoch < view.epoch:
                await self._spool.unconfirm(number)

    async def _adopt(self, view: View) -> None:
        attached = Attached(key=view.key, epoch=view.epoch)
        held = await self._copies.holding(attached)
        if held is None or not held.messages:
            self._left.pop(attached, None)
            return
        number = await owners.attach(self._spool, attached)
        self._measures.learn({number: attached.epoch})
        done = await self._adoption.run(attached, number, held.node, self._is(view))
        if not done.whole:
            raise StillMoving("the pairing changed while it was taken over")
        self._left[attached] = len(done.left)
        _log.info("took over %d messages of %s", done.taken, held.node)
        for name in done.left:
            _log.error("copy %s cannot be read and is left for a person", name)

    async def _give(self, view: View) -> None:
        attached, pairing = Attached(key=view.key, epoch=view.epoch), view.pairing
        number = await owners.number_of(self._spool, attached)
        self._left.pop(attached, None)
        if not number or pairing is None:
            return
        with suppress(CoordinatorError, RelayError):  # the owner delivers meanwhile; it is said again later
            await self._asking.tell_settled(view, number)
        me = self._ownership.me
        # Who may send copies of this pairing later: the spool's own node.
        node = me.node if view.key.spool == me.spool else pairing.owner
        moved = await self._giving.run(attached, number, node, self._is(view))
        if moved:
            _log.info("moved %d messages out of the spool, for they are %s's", moved, pairing.owner)

    # ---- what is done again ------------------------------------------------------------------------------------------

    def _sender(self, attached: Attached) -> str:
        """Name whose mail it was, as far as it is known."""
        return self._ownership.other_end(attached.key) or f"spool {attached.key.spool}"

    async def _adopt_late(self, attached: Attached) -> None:
        view = self._ownership.view(attached.key)
        if view is not None and self._comes(view, attached):
            await self._adopt(view)

    async def _again(self) -> None:
        """Tell what is settled; what came into the spool under a pairing that became another's just then goes too."""
        if not self._ownership.judged:  # an older copy is looked at by people before anything in it moves
            return
        for number, attached in (await owners.numbers(self._spool)).items():
            view = self._ownership.view(attached.key)
            if view is None or view.epoch != attached.epoch:
                continue
            try:
                if view.state in ANOTHERS and (await self._spool.here(number)).own:
                    await self._give(view)
                await self._asking.tell_settled(view, number)
            except (CoordinatorError, RelayError) as error:  # the others have their turn all the same
                _log.info("pairing with %s is looked at again later: %s", attached.key.shadow, error)
