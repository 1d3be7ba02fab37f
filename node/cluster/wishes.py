"""Operators' wishes on a node: what the watch tells of them, and writing one on an operator's word.

The node signs (``coordinator/signing.py``); who asked is told to it by its own administration socket. Not bound to the
node's session: the signature is what counts, and a pause must be possible while a session cannot be had.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from coordinator.errors import StaleRevision
from coordinator.floors import read_floors, write_floors
from coordinator.keys import Keys
from coordinator.signing import Signer
from coordinator.store.contract import Indefinite, Item, Put, Seen, Store, absent, unchanged
from coordinator.wishes import BadWish, Kind, Verify, Wish, WishBook, fault_of, suffix_of

TIMEOUT_S: Final = 5.0
SEEN_S: Final = 2.0
_log = logging.getLogger(__name__)
Take = Callable[[tuple[Wish, ...]], None]


class Follows(Protocol):
    """The one watch of a process (``coordinator/feed.py``)."""

    def subscribe(self, take: Callable[[Seen], None]) -> Callable[[], None]:
        """Call ``take`` with everything seen, the present state first."""
        ...


class Wishes:
    """The wishes of the cluster, as this node knows and makes them."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        signer: Callable[[], Signer],
        verify: Verify,
        *,
        node: str,
        floors: Path,
        wall_ms: Callable[[], int],
    ) -> None:
        """Read what was seen before from ``floors``. ``signer`` is asked anew for each wish: its files may change."""
        self._store, self._keys, self._signer, self._node = store, keys, signer, node
        self._floors, self._wall_ms = floors, wall_ms
        self._takers: list[Take] = []
        self._told: dict[str, str] = {}
        self._news = asyncio.Event()
        self.book = WishBook(keys, verify, floors=read_floors(floors))

    def follow(self, feed: Follows) -> Callable[[], None]:
        """Take everything the watch tells from now on; gives the way out."""
        return feed.subscribe(self.take)

    def subscribe(self, take: Take) -> None:
        """Call ``take`` with wishes that are new since, their ends among them, and with none after a resync."""
        self._takers.append(take)

    def take(self, seen: Seen) -> None:
        """Take what was seen; what is ignored is logged once."""
        news = self.book.feed(seen)
        for wish in news:
            _log.warning("operators' wish: %s", describe(wish), extra={"actor": wish.actor, "why": wish.reason})
        for name, why in self.book.faults.items():
            if self._told.get(name) != why:
                _log.error("ignored control/%s: %s", name, why)
        self._told = dict(self.book.faults)
        if news:
            write_floors(self._floors, self.book.floors)
        self._news.set()
        self._news = asyncio.Event()
        if news or seen.resync:
            for each in self._takers:
                each(news)

    async def make(
        self,
        kind: Kind,
        what: str = "",
        *,
        to: str = "",
        on: bool = True,
        actor: str,
        reason: str,
        for_ms: int = 0,
        instead_of: Wish | None = None,
    ) -> Wish:
        """Write a wish, from now on and for ``for_ms`` (0: until ended). Tried once.

        ``instead_of``: only if this is still the last one about the same. Raises BadWish (cannot be wished),
        StaleRevision (somebody was faster), StoreError (unreachable, or not known).
        """
        key = self._keys.control(suffix_of(kind, what))
        present = await self._store.get(key, timeout_s=TIMEOUT_S)
        if instead_of is not None and not self.book.stands(instead_of, present):
            raise StaleRevision("somebody wished about the same meanwhile")
        now_ms = self._wall_ms()
        wish = Wish(
            kind=kind,
            what=what,
            to=to,
            on=on,
            actor=actor,
            reason=reason,
            node=self._node,
            sequence=self.book.next_sequence(kind, what, now_ms, present),
            made_ms=now_ms,
            until_ms=now_ms + for_ms if for_ms and on else 0,
        )
        fault = fault_of(wish)
        if fault:
            raise BadWish(fault)
        value = self._signer().sign(key, wish)
        await self._put(key, present, value)
        await self._seen(wish)
        return wish

    async def _put(self, key: str, present: Item | None, value: bytes) -> None:
        compare = absent(key) if present is None else unchanged(present)
        try:
            outcome = await self._store.txn([compare], [Put(key=key, value=value)], timeout_s=TIMEOUT_S)
            succeeded, found = outcome.succeeded, next(iter(outcome.found), None)
        except Indefinite:
            found = await self._store.get(key, timeout_s=TIMEOUT_S)
            succeeded = found is not None and found.value == value
            if not succeeded and (found is None) == (present is None):
                raise  # it may still come
        if not succeeded:
            raise StaleRevision("somebody wished about the same at this moment: look, and ask again if need be")

    async def _seen(self, wish: Wish) -> None:
        """Wait until the watch has told of it, so that whoever asks next finds it in force."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_S):
                while (known := self.book.get(wish.kind, wish.what)) is None or known.sequence < wish.sequence:
                    await self._news.wait()


def describe(wish: Wish) -> str:
    """Say in a few words what is wished."""
    about = f" {wish.what}" if wish.what else ""
    to = f" to {wish.to}" if wish.to else ""
    return f"{wish.kind.value}{about}{to}" if wish.on else f"end of {wish.kind.value}{about}"
