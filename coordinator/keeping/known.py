"""What a keeper knows: every pairing with this node at an end, who is there, its spool's record, its session.

Fed by the watch and by answers to own transactions, in any order: what is not newer changes nothing. Does no I/O.
Bounded by the pairings this node and its spool ever had, and by what ``Seats`` keeps.
"""

from collections.abc import Callable, Iterable

from coordinator.keys import Keys, Role
from coordinator.ownership import retiring, spools, views
from coordinator.ownership.records import PairKey, key_of
from coordinator.ownership.seats import Seats
from coordinator.ownership.views import Me, State, View
from coordinator.session import Session
from coordinator.store.contract import Item, Seen


def _nobody(_key: PairKey) -> None:
    """Nobody has to be told."""


class Known:
    """Knowledge of one node; ``session`` gives the value as it is now."""

    def __init__(self, me: Me, keys: Keys, *, session: Callable[[], Session], now_ms: Callable[[], int]) -> None:
        """Know nothing yet."""
        self.me, self.keys = me, keys
        self.views: dict[PairKey, View] = {}
        self.seats = Seats(keys.member(Role.NODE, ""), now_ms=now_ms())
        self.spool: Item | None = None
        """The record of my spool."""
        self.taking: dict[PairKey, int] = {}
        """Pairings that a transaction of mine, unanswered, may make mine, each with the revision it takes it from."""
        self.retired: set[str] = set()
        """Spools whose disks are lost, by their records."""
        self.revision = 0
        """Newest one heard of by the watch."""
        self.first_revision = 0
        """The one that the watch began with."""
        self.on_view: Callable[[PairKey], None] = _nobody
        """Told of every change of a view's state or epoch."""
        self._session, self._now_ms = session, now_ms
        self._inc = self._last_inc = 0

    # -- session

    @property
    def inc(self) -> int:
        """My live session, once views know of it; else 0."""
        session = self._session()
        return self._inc if session.inc == self._inc and session.live(self._now_ms()) else 0

    @property
    def fresh(self) -> bool:
        """Whether all that happened before my last session began has been seen; never without one in this life."""
        return 0 < self._last_inc <= self.revision

    @property
    def opened(self) -> bool:
        """Whether my spool was opened in this very session."""
        return spools.opened(self.spool, self.me, inc=self.inc)

    @property
    def live(self) -> bool:
        """Whether my session is live and my spool opened in it."""
        return self.opened

    def follow(self) -> bool:
        """Take note of a session's end or begin; whether there was one."""
        session = self._session()
        inc = session.inc if session.live(self._now_ms()) else 0
        if inc == self._inc:
            return False
        if self._inc:
            self._inc = 0
            self._all(views.ended)
        if inc:
            self._inc = self._last_inc = inc
            self.taking.clear()  # what an earlier session sent can no longer happen
            self._all(lambda view: views.began(view, self.me, inc=inc))
        return True

    def _all(self, change: Callable[[View], View]) -> None:
        for view in list(self.views.values()):
            self.know(change(view))

    # -- news

    def feed(self, seen: Seen) -> bool:
        """Take what the watch told; whether any of it concerns ownership."""
        self.revision = max(self.revision, seen.revision)
        self.first_revision = self.first_revision or seen.revision
        members = self.keys.member(Role.NODE, "")
        concerned = seen.resync or any(change.key.startswith(members) for change in seen.changes)
        self.seats.feed(seen, self._now_ms())
        self._retire(seen)  # first: a key that is gone is understood only by them
        for change in seen.changes:
            concerned |= self._heard(change.key, change.item, change.revision)
        if seen.resync:
            self._missing({change.key for change in seen.changes}, seen.revision)
        return concerned

    def _heard(self, name: str, item: Item | None, revision: int) -> bool:
        key = key_of(self.keys, name)
        if key is not None and (key.spool == self.me.spool or key.shadow == self.me.node):
            if item is not None or revision > self.view(key).revision:
                self.learn(key, item)
            return True
        if name != self.keys.spool(self.me.spool):
            return False
        if item is not None:
            self.learn_spool(item)
        else:
            self._no_record(revision)
        return True

    def _retire(self, seen: Seen) -> None:
        root = self.keys.spool("")
        told = [change for change in seen.changes if change.key.startswith(root)]
        there = [change.item for change in told if change.item is not None]
        if seen.resync:
            self.retired.clear()
        self.retired -= {change.key.removeprefix(root) for change in told}
        self.retired |= retiring.retired_in(self.keys, there)

    def _missing(self, present: set[str], revision: int) -> None:
        """What a whole state does not name is gone, unless it was written after that state."""
        gone = [key for key in self.views if self.keys.ownership(key.spool, key.shadow) not in present]
        for key in gone:
            if revision > self.view(key).revision > 0:
                self.learn(key, None)
        if self.keys.spool(self.me.spool) not in present:
            self._no_record(revision)

    def learn(self, key: PairKey, item: Item | None) -> None:
        """Take a pairing's key as the store tells it."""
        retired = key.spool in self.retired
        self.know(views.learned(self.view(key), item, self.me, inc=self.inc, retired=retired))

    def learn_spool(self, item: Item) -> None:
        """Take my spool's record."""
        if self.spool is None or item.mod_revision > self.spool.mod_revision:
            self.spool = item

    def _no_record(self, revision: int) -> None:
        if self.spool is not None and revision > self.spool.mod_revision:
            self.spool = None

    def know(self, view: View) -> None:
        """Take a view in place of the one before."""
        before = self.views.get(view.key)
        self.views[view.key] = view
        if view.revision > self.taking.get(view.key, view.revision):
            del self.taking[view.key]
        if before is None or (before.state, before.epoch) != (view.state, view.epoch):
            self.on_view(view.key)

    # -- looking

    def view(self, key: PairKey) -> View:
        """Give what is known of a pairing."""
        return self.views.get(key) or View(key=key)

    def usable(self, view: View) -> bool:
        """Whether what my spool takes in may be copied under it: its shadow is there with the disk it was made with."""
        if view.key.spool != self.me.spool or view.pairing is None or not views.may_copy(view):
            return False
        seat = self.seats.get(view.key.shadow)
        return seat is not None and seat.spool == view.pairing.copy

    def newest(self) -> View | None:
        """Give the last made of those that are usable."""
        return max(self._usable(), key=lambda view: view.epoch, default=None)

    def elsewhere(self, key: PairKey) -> bool:
        """Whether another pairing of my spool is held with its shadow there."""
        return any(view.state is State.HELD and view.key != key for view in self._usable())

    def _usable(self) -> Iterable[View]:
        return (view for view in self.views.values() if self.usable(view))
