"""Second copies of a node in a cluster: builds the parts on an open spool, runs them, gives mail away at the end.

Ownership (``coordinator/ownership``) says whose mail is whose, ``Copying`` stands before the spool at the door,
``Spares`` keeps rows in line, ``Receiver`` takes what others send here. Decides nothing.
"""

import asyncio
import logging
from asyncio import Future
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from coordinator.keeping.keeper import Hooks as KeeperHooks
from coordinator.keeping.keeper import Keeper
from coordinator.ownership.moves import Here as Counted
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import PairKey
from coordinator.ownership.spools import Verdict
from coordinator.ownership.views import Me, View
from coordinator.peers.contract import Handler
from coordinator.store.contract import StoreError
from node.admin.control import CopiesView
from node.app import owning
from node.app.around import Around
from node.app.candidates import candidates, others_first
from node.app.gate import Gate
from node.delivery.clock import wall_ms
from node.delivery.second import Intention
from node.shadow import questions, receiver
from node.shadow.copying import Copying
from node.shadow.entries import Intent
from node.shadow.receiver import Receiver
from node.shadow.spares import Spares
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Accepted
from node.spool.sqlite import SqliteSpool

COPIES: Final = "copies"
"""Directory inside the spool's."""
LOOK_S: Final = 0.02
_log = logging.getLogger(__name__)
BODY_MAX: Final[Mapping[str, int]] = {**receiver.BODY_MAX, **questions.BODY_MAX}
"""For the peer server."""


class Protection:
    """Implements ``node.delivery.second.Second`` and the keeper's ``Rows``, and is the door's store."""

    def __init__(self, around: Around, spool: SqliteSpool) -> None:
        """Build everything on an open spool; ``open`` opens the copy store."""
        self._around, self._spool, self._measures = around, spool, around.hooks.measures
        self._refused: Future[None] = asyncio.get_running_loop().create_future()
        self._soon: set[asyncio.Task[None]] = set()
        joined, cluster, hooks = around.joined, around.cluster, around.hooks
        me = Me(node=around.node, spool=spool.spool_id)
        most = hooks.loaded().settings.limits.copies
        self.copies = SqliteCopies(spool.directory / COPIES, max_bytes=most, schema=around.copies)
        self.keeper = keeper = Keeper(
            me,
            self,
            self._hooks(),
            session=joined.session,
            feed=joined.feed,
            store=joined.store,
            keys=joined.keys,
            site=joined.record.site,
        )
        self.copying = Copying(
            spool,
            around.peers,
            keeper,
            cluster=cluster.name,
            now_ms=wall_ms,
            measures=hooks.measures,
            on_unprotected=hooks.unprotected,
            on_shunned=keeper.wake,
        )
        self.spares = Spares(
            self.copies,
            spool,
            around.peers,
            keeper,
            now_ms=wall_ms,
            arrived=hooks.arrived,
            taking=self.taking,
            measures=hooks.measures,
        )
        here = receiver.Here(
            cluster=cluster.name,
            me=lambda: me,
            view=keeper.view,
            owned=self.spares.owned,
            begun=self.spares.begun,
            refused=hooks.measures.turned_away,
            full=hooks.disk_full,
            retired=keeper.retired,
            judged=lambda: keeper.judged,
        )
        self._receiver = Receiver(self.copies, here)
        self.gate = Gate(
            keeper,
            freely=around.freely,
            agreed=lambda: keeper.agreed(owning.asks(around.peers)),
            on_open=hooks.unfence,
            on_shut=hooks.fence,
        )
        spool.on_changed = self.copying.changed
        joined.session.publish(spool=me.spool)

    def _hooks(self) -> KeeperHooks:
        book = self._around.wishes.book
        return KeeperHooks(
            candidates=self._candidates,
            paused=lambda: book.pause(wall_ms()) is not None,
            dead=lambda: book.dead(wall_ms()),
            listed=lambda: frozenset(self._around.nodes()),
            changed=self._changed,
            quarantined=self._stay_out,
            refuse=self._refuse,
        )

    def _candidates(self) -> Iterable[Candidate]:
        around, now_ms = self._around, wall_ms()
        sites = {name: about.site for name, about in around.cluster.nodes.items()}
        draining = around.wishes.book.drain
        found = candidates(
            around.joined.feed.items,
            around.joined.keys,
            frozenset(around.nodes()),
            sites,
            lambda node: draining(node, now_ms) is not None,
        )
        return others_first(found, around.node, self.copying.shunned_until_s)

    def _changed(self) -> None:
        self.copying.look()
        self.gate.look()
        self._around.hooks.owned()

    def _stay_out(self, text: str) -> None:
        work = asyncio.get_running_loop().create_task(self._stayed_out(text))
        self._soon.add(work)
        work.add_done_callback(self._soon.discard)

    async def _stayed_out(self, text: str) -> None:
        with suppress(StoreError):  # then the lease ends by itself
            await self._around.joined.session.stay_out(_quarantined(text))

    def release(self) -> None:
        """Use a quarantined spool after all: an operator's word. Raises NotQuarantined."""
        if not self.quarantined:
            raise owning.NotQuarantined("this node's spool is not quarantined")
        self.keeper.release_quarantine()
        self._around.joined.session.come_back()

    def _refuse(self, text: str) -> None:
        if not self._refused.done():
            self._refused.set_exception(owning.SpoolInUse(text))

    # ---- for show ----------------------------------------------------------------------------------------------------

    @property
    def obstacle(self) -> str:
        """Say why no mail is taken in: the spool was not judged yet, or is an older copy; empty: it may be."""
        return "" if self.keeper.judged else self.quarantined or "joining"

    @property
    def quarantined(self) -> str:
        """Say that and why this spool is an older copy that is not used; empty when it is none."""
        verdict = self.keeper.verdict
        behind = not self.keeper.judged and verdict is not None and verdict.verdict is Verdict.BEHIND
        return _quarantined(verdict.text) if behind and verdict is not None else ""

    def shown(self) -> CopiesView:
        """Give what there is to see."""
        views = {f"{view.key.spool}/{view.key.shadow}": view.state.value for view in self.keeper.views()}
        copying = self.copying
        return CopiesView(
            spool=self.keeper.me.spool,
            shadow=copying.shadow,
            why=copying.why,
            unprotected=copying.unprotected,
            sending=self.gate.open,
            quarantined=self.quarantined,
            pairings=views,
        )

    # ---- the door and delivery ---------------------------------------------------------------------------------------

    def append_soon(self, item: Accepted) -> "Future[None]":
        """Keep a message here and on another machine, as it wants."""
        return self.copying.append_soon(item)

    def new_body_path(self, message_id: str) -> Path:
        """Say where a large body is written before."""
        return self.copying.new_body_path(message_id)

    async def append(self, item: Accepted) -> None:
        """See Second."""
        await self.copying.append_soon(item)

    def taking(self, message_id: str) -> bool:
        """See Second."""
        return self.copying.taking(message_id)

    def may_intend(self, pairing: int) -> bool:
        """See Second."""
        return self.copying.may_intend(pairing)

    def epoch(self, pairing: int) -> int:
        """See Second."""
        return self._measures.epoch(pairing)

    async def intend(self, about: Intention) -> bool:
        """See Second."""
        intent = Intent(
            message_id=about.message_id, attempt_id=about.attempt_id, indexes=about.indexes, dot_ms=about.dot_ms
        )
        return await self.copying.intend(about.pairing, intent)

    # ---- what the keeper asks ----------------------------------------------------------------------------------------

    async def told(self) -> int:
        """See Rows."""
        return await self.spares.told()

    async def sequence(self) -> int:
        """See Rows."""
        return await self.spares.sequence()

    async def tell(self, sequence: int) -> None:
        """See Rows."""
        await self.spares.tell(sequence)

    async def here(self, key: PairKey, epoch: int) -> Counted:
        """See Rows."""
        return await self.spares.here(key, epoch)

    async def align(self, view: View) -> None:
        """See Rows."""
        await self.spares.align(view)

    # ---- life --------------------------------------------------------------------------------------------------------

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {**self._receiver.routes(), **self.spares.routes(), owning.ROUTE: owning.answers(self.keeper)}

    async def open(self) -> None:
        """Open the copy store. Raises SpoolUnusable, SpoolFull, SpoolBroken."""
        await self.copies.open(wall_ms())

    async def run(self) -> None:
        """Keep everything going until cancelled; raises SpoolInUse when this spool must not be used here."""
        async with asyncio.TaskGroup() as together:
            for part in (self.keeper, self.copying, self.spares):
                together.create_task(part.run())
            together.create_task(self._until_refused())

    async def _until_refused(self) -> None:
        await asyncio.shield(self._refused)

    def leave(self, wished: bool) -> None:
        """Give away what another node has too, and go on giving; or end that."""
        self.keeper.leaving = wished
        self.gate.look()

    async def give(self, within_s: float) -> bool:
        """Give everything away that another node has too, or can have at once; False when that took too long."""
        until_s = asyncio.get_running_loop().time() + within_s
        try:
            async with asyncio.timeout_at(until_s - within_s / 2):
                while await self._could_be_protected():  # noqa: ASYNC110 - changed from many sides
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            _log.info("not all mail is on a second machine yet")
        self.leave(True)
        try:
            async with asyncio.timeout_at(until_s):
                while self.keeper.live() and not self.keeper.given:  # noqa: ASYNC110 - changed from many sides
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return False
        return self.keeper.given

    async def _could_be_protected(self) -> bool:
        return bool(self.copying.shadow) and self.keeper.live() and (await self._spool.here(0)).unconfirmed

    async def close(self) -> None:
        """Let the other end hear what waits; close the copy store. ``run`` has ended."""
        await self.gate.close()
        await self.copying.close()
        await self.copies.close()


def _quarantined(why: str) -> str:
    return f"quarantined: {why}"
