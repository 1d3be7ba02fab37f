"""A sender in use, the pairing it serves, and how one is begun."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from coordinator.ownership.rows import Attached
from coordinator.ownership.views import View, may_copy
from coordinator.peers.contract import Peers
from node.shadow.errors import CopiesLost, Refused
from node.shadow.link import Link, Told
from node.shadow.measures import Measures
from node.shadow.numbers import Numbers, Pairs, same
from node.shadow.outbox import Pace, What
from node.shadow.sender import Sender
from node.spool.paired import PairedSpool


@dataclass(slots=True, kw_only=True, eq=False)
class Current:
    """The sender in use and the pairing it serves."""

    sender: Sender
    number: int
    """The spool's number of the pairing's epoch."""
    view: View
    discarded: set[str] = field(default_factory=set)
    """Settled messages told to it and not yet heard."""
    told: bool = False
    """Something was told since whoever notes how far it has heard looked last."""

    def tell(self, what: What) -> None:
        """Tell something nobody waits for."""
        self.told = True
        self.sender.tell(what)

    def discard(self, message_ids: Iterable[str]) -> list[str]:
        """Tell that messages are settled, each once; those that were not told before."""
        fresh = [each for each in message_ids if each not in self.discarded]
        self.discarded.update(fresh)
        for each in fresh:
            self.sender.discard(each)
        self.told |= bool(fresh)
        return fresh

    def counts(self, pairs: Pairs) -> bool:
        """Whether what is told to it is worth something: nothing of mine has made the pairing void, or is about to."""
        now = pairs.view(self.view.key)
        return now is not None and same(now, self.view) and may_copy(now)


class Events(Protocol):
    """Whom the life of senders is told to; the methods return at once."""

    def begun(self, current: Current) -> None:
        """One is in use."""
        ...

    def shunned(self) -> None:
        """Another node had better keep the copies."""
        ...

    def took(self, node: str) -> None:
        """Copies are durable on a node."""
        ...

    def late(self, number: int, message_id: str) -> None:
        """A message that counted as unprotected is copied after all."""
        ...

    def heard(self, message_ids: Sequence[str]) -> None:
        """The other end has heard that these are settled."""
        ...


class Beginning:
    """Begins senders."""

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
        """Keep the parts."""
        self._spool, self._peers, self._pairs, self._numbers, self._events = spool, peers, pairs, numbers, events
        self._cluster, self._now_ms, self._pace, self._measures = cluster, now_ms, pace, measures or Measures()

    async def number(self, view: View) -> int:
        """Give the spool's number of a pairing's epoch, a new one if it has none."""
        number = await self._spool.attach(view.key.spool, view.key.shadow, view.epoch)
        self._measures.learn({number: view.epoch})
        await self._numbers.read()
        return number

    async def begin(self, view: View, number: int, news: Callable[[], None]) -> Current:
        """Begin a sender; ``news`` is called when it ends, and when something was heard.

        Raises PeerError, Refused, and what the spool raises. A shadow that has lost its copies makes the pairing void.
        """
        current = self._made(view, number, news)
        try:
            await current.sender.begin()
        except Refused as error:
            if error.said == CopiesLost.word:
                self._pairs.copies_lost(view.key, view.epoch)
            raise
        if current.sender.store != self._numbers.store(number):
            # Before any copy counts: another store must be known as another one after a restart too.
            await self._spool.name_store(number, current.sender.store)
        return current

    def _made(self, view: View, number: int, news: Callable[[], None]) -> Current:
        attached = Attached(key=view.key, epoch=view.epoch)
        copy = view.pairing.copy if view.pairing is not None else ""
        link = Link(cluster=self._cluster, attached=attached, copy=copy, store=self._numbers.store(number))
        discarded: set[str] = set()

        def heard(message_ids: Sequence[str]) -> None:
            discarded.difference_update(message_ids)
            self._events.heard(message_ids)
            news()

        def sent(copies: int, size_bytes: int) -> None:
            self._measures.sent(view.key.shadow, copies, size_bytes)
            if copies:
                self._events.took(view.key.shadow)

        told = Told(
            ended=lambda _why: news(),
            late=partial(self._events.late, number),
            sent=sent,
            heard=heard,
        )
        sender = Sender(self._peers, link, now_ms=self._now_ms, pace=self._pace, told=told)
        return Current(sender=sender, number=number, view=view, discarded=discarded)
