"""Sends a keeper's transactions: guarded by the session, once; an answer that was lost is read back, never sent again.

A pairing that is given away or made void counts as left from before the sending, and one that may become mine as being
taken, until the store has answered or the key shows a newer revision.
"""

from collections.abc import Callable
from contextlib import suppress

from coordinator.errors import NotAMember
from coordinator.keeping.known import Known
from coordinator.ownership import views
from coordinator.ownership.records import PairKey
from coordinator.ownership.views import View
from coordinator.ownership.writes import Transaction
from coordinator.runner import SessionRunner
from coordinator.store.contract import Indefinite, Item, Outcome, Put, Refused, Store, StoreError, WrongCluster


class Sending:
    """The way from decisions to the store."""

    def __init__(self, known: Known, session: SessionRunner, store: Store) -> None:
        """Send nothing yet."""
        self._known, self._session, self._store = known, session, store

    def leave(self, view: View) -> None:
        """Count a pairing as left from now on; ``view`` is what is known of it now."""
        self._known.know(views.leaving(view))

    async def left(self, view: View, transaction: Transaction) -> bool:
        """Send what gives or voids a pairing that counts as left; whether it did. Raises StoreError, NotAMember."""
        return await self._send(view.key, transaction, undo=True)

    async def claim(self, view: View, transaction: Transaction) -> bool:
        """Send what keeps a pairing as it is; an earlier leaving it may be unanswered still."""
        return await self._send(view.key, transaction, undo=False)

    async def take(self, view: View, transaction: Transaction) -> bool:
        """Send what makes a pairing mine."""
        self._known.taking[view.key] = view.revision
        return await self._send(view.key, transaction, undo=True)

    def unsent(self, key: PairKey) -> None:
        """Take back that a pairing is being left or taken: nothing was sent, or it was refused for good."""
        self._known.taking.pop(key, None)
        view = self._known.view(key)
        if view.left:
            self._known.know(views.not_left(view, self._known.me, inc=self._known.inc))

    async def spool(self, transaction: Transaction) -> bool:
        """Send what is about my spool's record; whether it was written. Raises StoreError, NotAMember."""
        outcome = await self._guarded(transaction, self._known.learn_spool)
        if outcome.succeeded:
            put = written(transaction)
            self._known.learn_spool(
                Item(key=put.key, value=put.value, create_revision=0, mod_revision=outcome.revision)
            )
        return outcome.succeeded

    async def anything(self, transaction: Transaction) -> bool:
        """Send what the watch tells of, whatever became of it. Raises StoreError, NotAMember."""
        timeout_s = self._session.session.timing.timeout_ms / 1_000
        return (await self._session.guarded(*transaction, timeout_s=timeout_s)).succeeded

    async def _send(self, key: PairKey, transaction: Transaction, *, undo: bool) -> bool:
        known = self._known
        try:
            outcome = await self._guarded(transaction, lambda item: known.learn(key, item))
        except (NotAMember, Refused) as error:
            if undo and not isinstance(error, WrongCluster):  # who answers for another cluster may have done anything
                self.unsent(key)
            raise
        if outcome.succeeded:
            put, inc = written(transaction), known.inc
            view = views.written(known.view(key), put.value, known.me, key=put.key, revision=outcome.revision, inc=inc)
            known.know(view)
        elif undo:
            self.unsent(key)
        return outcome.succeeded

    async def _guarded(self, transaction: Transaction, learn: Callable[[Item], None]) -> Outcome:
        """Send it; what is found of its key instead is learnt. That it is gone the watch tells, which knows when."""
        name, timeout_s = written(transaction).key, self._session.session.timing.timeout_ms / 1_000
        try:
            outcome = await self._session.guarded(*transaction, timeout_s=timeout_s)
        except Indefinite:
            with suppress(StoreError):
                item = await self._store.get(name, timeout_s=timeout_s)
                if item is not None:
                    learn(item)
            raise
        for item in outcome.found:
            if item.key == name:
                learn(item)
        return outcome


def written(transaction: Transaction) -> Put:
    """Give the one thing a transaction on ownership writes."""
    (put,) = transaction[1]
    if not isinstance(put, Put):
        raise TypeError("this deletes something")
    return put
