"""The life of senders: one for the pairing in force, begun again after a pause when it ends, replaced with it."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from coordinator.errors import CoordinatorError
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import State, View, may_copy
from coordinator.peers.contract import Peers
from node.errors import RelayError
from node.shadow.errors import CopiesLost, Refused, ShadowError
from node.shadow.link import Link, Told
from node.shadow.measures import Measures
from node.shadow.numbers import Numbers, Pairs, same
from node.shadow.outbox import Pace, What
from node.shadow.sender import Sender
from node.shadow.shunned import Shunned
from node.spool.paired import PairedSpool

PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
WORKED_S: Final = 5.0
"""A sender that lived so long worked: the next one is begun soon."""
LOOK_S: Final = 1.0
"""Without a pairing it is looked for so often: one that was gone between two looks of the keeper is not told of."""
UNTOLD: Final = 4_000
"""Discards told at once that an earlier sender left untold."""
NOBODY: Final = "no other node keeps copies of this one"

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Current:
    """The sender in use and the pairing it serves."""

    sender: Sender
    number: int
    """The spool's number of the pairing's epoch."""
    view: View
    discarded: set[str] = field(default_factory=set)
    """Settled messages told to it and not yet heard."""

    def discard(self, message_ids: Iterable[str]) -> int:
        """Tell that messages are settled, each once; how many were not told before."""
        fresh = [each for each in message_ids if each not in self.discarded]
        self.discarded.update(fresh)
        for each in fresh:
            self.sender.discard(each)
        return len(fresh)


class Events(Protocol):
    """Whom the life of senders is told to; the methods return at once."""

    def begun(self, current: Current) -> None:
        """It can be told what was left; once before it is used and once when it is."""
        ...

    def shunned(self) -> None:
        """Another node had better keep the copies."""
        ...

    def late(self, number: int, message_id: str) -> None:
        """A message that counted as unprotected is copied after all."""
        ...

    def heard(self, message_ids: Sequence[str]) -> None:
        """The other end has heard that these are settled."""
        ...

    def unheard(self, number: int, what: Sequence[What]) -> None:
        """What it may not have heard of."""
        ...


class Sending:
    """Keeps a sender alive for whatever pairing is in force."""

    def __init__(
        self,
        spool: PairedSpool,
        peers: Peers,
        pairs: Pairs,
        numbers: Numbers,
        events: Events,
        *,
        cluster: str,
        now_ms: Callable[[], int],
        pace: Pace | None = None,
        measures: Measures | None = None,
    ) -> None:
        """Send nothing yet."""
        self._measures = measures or Measures()
        self._spool, self._peers, self._pairs, self._numbers, self._events = spool, peers, pairs, numbers, events
        self._cluster, self._now_ms, self._pace = cluster, now_ms, pace
        self.current: Current | None = None
        """None: what is accepted now is here alone."""
        self.number = 0
        """Of the last pairing in force, also while nothing can be sent under it; 0: there was none."""
        self._view: View | None = None
        self.shunned = Shunned(asyncio.get_running_loop().time)
        """Nodes that are there and take no copies for now."""
        self.why = NOBODY
        """Why nothing is copied; empty while copies go."""
        self._looked = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        """Compare with the pairing in force: nothing more goes under one that is over."""
        current = self.current
        if current is not None and not same(self._pairs.target, current.view):
            self._leave(current)
        self._looked.set()

    def counts(self, number: int) -> bool:
        """Whether a copy under this number is worth something: nothing of mine has made it void, or is about to."""
        if number != self.number or self._view is None:
            return False
        now = self._pairs.view(self._view.key)
        return now is not None and same(now, self._view) and may_copy(now)

    async def run(self) -> None:
        """Serve until cancelled."""
        pause_s = PAUSE_S
        while True:
            target = self._pairs.target
            if target is None:
                self.why = NOBODY
                await self._pause(None, LOOK_S)
                continue
            began_s = asyncio.get_running_loop().time()
            await self._tried(target)
            if not same(self._pairs.target, target):
                pause_s = PAUSE_S
                continue
            if self.shunned.failed(target.key.shadow):
                _log.warning("copies shall go to another node than %s", target.key.shadow)
                self._events.shunned()
            worked = asyncio.get_running_loop().time() - began_s > WORKED_S
            pause_s = PAUSE_S if worked else pause_s
            await self._pause(target, pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def close(self) -> None:
        """Let every sender say what waits, within the time a copy may take."""
        current = self.current
        if current is not None:
            self._leave(current)
        if self._closing:
            await asyncio.wait(self._closing)
        self.why = "closed"

    async def _tried(self, target: View) -> None:
        try:
            await self._serve(target)
        except (RelayError, CoordinatorError) as error:
            self.why = f"{target.key.shadow}: {error}"
            _log.info("copies are not sent to %s", self.why)
        except Exception as error:  # noqa: BLE001 - nothing here may end the copying
            self.why = f"{target.key.shadow}: {type(error).__name__}"
            _log.exception("copies are not sent to %s", target.key.shadow)

    async def _serve(self, target: View) -> None:
        """Begin, and return when the pairing is over; raises what ended the sending."""
        current = await self._begun(target)
        try:
            await self._catch_up(current)
        except BaseException:
            self._leave(current)
            raise
        if not same(self._pairs.target, target):
            self._leave(current)
            return
        self.current, self.why = current, ""
        self._events.begun(current)  # what has happened since it caught up
        self.shunned.worked(target.key.shadow)
        self._give_up_others(target)
        _log.info("copies go to %s, store %s", target.key.shadow, current.sender.store)
        while not current.sender.ended and self.current is current:
            await self._news()
        if self.current is current:
            self.current = None
            raise ShadowError(current.sender.ended)

    def _give_up_others(self, target: View) -> None:
        """What a shunned node was sent and may not have is copied here, once its pairing is void."""
        for view in self._pairs.views():
            mine = view.key.spool == target.key.spool and view.state is State.HELD and view.key != target.key
            if mine and view.key.shadow in self.shunned:
                self._pairs.copies_lost(view.key, view.epoch)

    async def _begun(self, target: View) -> Current:
        key, epoch = target.key, target.epoch
        number = await self._spool.attach(key.spool, key.shadow, epoch)
        self._measures.learn({number: epoch})
        await self._numbers.read()
        self.number, self._view = number, target
        current = self._made(target, number)
        try:
            await current.sender.begin()
        except Refused as error:
            if error.said == CopiesLost.word:
                self._pairs.copies_lost(key, epoch)
            raise
        return current

    async def _catch_up(self, current: Current) -> None:
        """Tell first what was left untold: discards make room, and a shadow without any ends what copies for it."""
        if current.sender.store != self._numbers.store(current.number):
            # Before any copy counts: another store must be known as another one after a restart too.
            await self._spool.name_store(current.number, current.sender.store)
        self._events.begun(current)
        current.discard(await self._spool.untold(current.number, UNTOLD))
        current.sender.flush()
        while current.discarded and not current.sender.ended and same(self._pairs.target, current.view):
            await self._news()

    def _made(self, target: View, number: int) -> Current:
        attached = Attached(key=target.key, epoch=target.epoch)
        copy = target.pairing.copy if target.pairing is not None else ""
        link = Link(cluster=self._cluster, attached=attached, copy=copy, store=self._numbers.store(number))
        discarded: set[str] = set()

        def heard(message_ids: Sequence[str]) -> None:
            discarded.difference_update(message_ids)
            self._events.heard(message_ids)
            self._looked.set()

        told = Told(
            ended=lambda _why: self._looked.set(),
            late=partial(self._events.late, number),
            sent=partial(self._measures.sent, target.key.shadow),
            heard=heard,
            unheard=partial(self._events.unheard, number),
        )
        sender = Sender(self._peers, link, now_ms=self._now_ms, pace=self._pace, told=told)
        return Current(sender=sender, number=number, view=target, discarded=discarded)

    def _leave(self, current: Current) -> None:
        """Use a sender no more; it says what waits in its own time."""
        if self.current is current:
            self.current = None
            self.why = NOBODY
        self._looked.set()
        task = asyncio.get_running_loop().create_task(current.sender.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _news(self) -> None:
        self._looked.clear()
        await self._looked.wait()

    async def _pause(self, target: View | None, seconds: float) -> None:
        until_s = asyncio.get_running_loop().time() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                while same(self._pairs.target, target):
                    await self._news()
