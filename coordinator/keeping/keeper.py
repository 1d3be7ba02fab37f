"""Keeps the pairings of one node: opens its spool, claims, pairs, adopts, voids, gives, and says what may be attempted.

What to do is decided by the pure files beside this one; here are the order of things, their calls and the waiting. Each
pairing has one job at a time, which looks, decides and sends without waiting in between. Nothing ends ``run``.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from coordinator.feed import Feed
from coordinator.keeping import words
from coordinator.keeping.aligning import Aligning
from coordinator.keeping.contract import Hooks, Rows
from coordinator.keeping.jobs import Jobs
from coordinator.keeping.known import Known
from coordinator.keeping.moving import ONLY_CLAIMED, Moving
from coordinator.keeping.opening import Opening
from coordinator.keeping.retiring import Retiring
from coordinator.keeping.sending import Sending
from coordinator.keeping.target import Target
from coordinator.keeping.words import Ask
from coordinator.keys import Keys
from coordinator.ownership import freely, moves
from coordinator.ownership.freely import Word
from coordinator.ownership.records import PairKey
from coordinator.ownership.spools import Judged
from coordinator.ownership.views import Me, State, View
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.session import Session
from coordinator.store.contract import Seen, Store

_log = logging.getLogger("coordinator")
POLL_S: Final = 1.0
GAP_S: Final = 0.02
"""What comes together is looked at together."""
_NOT_MOVED: Final = frozenset({State.UNPAIRED, State.STRANGE})


class Keeper:
    """Ownership of one node on one spool. Belongs to one event loop."""

    def __init__(
        self,
        me: Me,
        rows: Rows,
        hooks: Hooks,
        *,
        session: SessionRunner,
        feed: Feed,
        store: Store,
        keys: Keys,
        site: str = "",
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """Do nothing before ``run``."""
        self.me, self.site = me, site
        self._rows, self._hooks, self._session, self._feed, self._store = rows, hooks, session, feed, store
        self._now_ms = now_ms
        self._known = known = Known(me, keys, session=self._value, now_ms=now_ms)
        self._jobs = Jobs()
        self._sending = Sending(self._known, session, store)
        self._opening = Opening(self._known, rows, self._sending, hooks, now_ms=now_ms)
        self._aligning = Aligning(self._known, rows, self._jobs, done=self.wake)
        found, sending = feed.items.get, self._sending
        self._moving = Moving(
            known, rows, hooks, sending, self._aligning, session=self._value, now_ms=now_ms, found=found
        )
        self._retiring = Retiring(known, hooks, sending, feed, session=self._value, now_ms=now_ms)
        known.on_view = self._on_view
        self._target = Target(known, hooks, self._moving, self._jobs, site=site, newest=self._newest)
        self._news = asyncio.Event()
        self._told: object = None

    # -- what others look at

    @property
    def ready(self) -> bool:
        """Whether every row in the spool may be attempted now: mine, by a live session, and nothing else is there."""
        return self._known.live and self.judged and all(map(self._in_line, self._known.views.values()))

    def _in_line(self, view: View) -> bool:
        if view.state is State.STRANGE:
            return not self._moving.may_have_own(view.key)
        voiding = view.state is State.LEAVING and view.key in self._moving.voiding
        return (voiding or view.state not in ONLY_CLAIMED) and not self._aligning.rows_left(view)

    @property
    def judged(self) -> bool:
        """Whether the spool was judged good once in this process: rows may be taken in."""
        return self._opening.judged

    @property
    def verdict(self) -> Judged | None:
        """The judgement on the spool; None before the first one."""
        return self._opening.verdict

    @property
    def target(self) -> View | None:
        """The pairing under which what is taken in now is copied, also while the session is lost for a moment."""
        return self._target.view if self.judged else None

    @property
    def leaving(self) -> bool:
        """Whether I give away what is mine."""
        return self._moving.leaving_ms is not None

    @leaving.setter
    def leaving(self, leaving: bool) -> None:
        if leaving != self.leaving:
            self._moving.leaving_ms = self._now_ms() if leaving else None
            self.wake()

    @property
    def given(self) -> bool:
        """Whether nothing is left of mine that could be given."""
        return self.leaving and self.live() and not any(map(self._moving.could_be_given, self._known.views.values()))

    @property
    def made(self) -> Counter[str]:
        """Moves that the store took, by name; ``pair`` for new pairings."""
        return self._moving.made

    def view(self, key: PairKey) -> View | None:
        """Give a pairing with this node at an end; None: the store has none, or it is not known yet."""
        return self._known.views.get(key)

    def views(self) -> Iterable[View]:
        """Give all of them."""
        return tuple(self._known.views.values())

    def other_end(self, key: PairKey) -> str:
        """Name the node at the other end; empty if nobody is there with the disk that the pairing knows."""
        view = self._known.views.get(key)
        seat = moves.other_end(view, self._moving.scene(key)) if view is not None else None
        return seat.node if seat is not None else ""

    def live(self) -> bool:
        """Whether my session is live and the spool opened in it."""
        return self._known.live

    # -- what others tell

    def _value(self) -> Session:
        return self._session.session

    def _newest(self) -> int:
        return max(self._feed.revision, self._store.newest)

    def wake(self) -> None:
        """Look again now: something that a hook tells has changed."""
        self._news.set()

    def copies_lost(self, key: PairKey, epoch: int) -> None:
        """Hear that the shadow no longer has what was sent under this epoch: it is made void."""
        if key.spool == self.me.spool and key in self._known.views:
            self._moving.lost[key] = epoch
            self.wake()

    def asked_back(self, key: PairKey, revision: int) -> None:
        """Hear that the spool's own node, which keeps no row under it any more, wants the key back."""
        if key in self._known.views:
            self._moving.wanted[key] = revision
            self.wake()

    def retired(self, spool: str) -> bool:
        """Whether a spool's disk was given up as lost: nothing of it is taken any more."""
        return spool in self._known.retired

    def settled(self, node: str) -> bool:
        """Whether nothing is left to take over of a node: its disks are marked as lost and have no key any more."""
        return self._retiring.settled(node)

    def to_ask_back(self) -> list[tuple[str, PairKey, int]]:
        """Say whom to ask for the key of a pairing of my spool: its owner, the key, its revision."""
        return self._moving.to_ask_back()

    def release_quarantine(self) -> None:
        """Let the next opening pass although the spool is behind its record: an operator's word."""
        self._opening.release()
        self.wake()

    # -- everybody's word

    def word(self, key: PairKey, epoch: int) -> Word:
        """Answer the other end of a pairing that goes on without the store: do I own it, or may I (``freely``)."""
        return freely.word(
            self._known.views.get(key),
            self.me,
            epoch=epoch,
            live=self._session.session.live(self._now_ms()),
            fresh=self._known.fresh,
            taking=key in self._known.taking,
        )

    async def agreed(self, ask: Ask) -> bool:
        """Whether every row in the spool may be attempted by the word of the other ends; never beside a session."""
        if not self._may_go_freely():
            return False
        before, keys = self.views(), self._known.keys
        node_of = partial(words.node_of, me=self.me, keys=keys, found=self._feed.items.get)
        try:
            agree = await words.all_agree(before, self.me, self._rows, ask, node_of)
        except Exception as error:  # noqa: BLE001 - rows that cannot be counted may be anybody's
            _log.warning("rows cannot be counted: %r", error)
            return False
        return agree and self.views() == before and self._may_go_freely()

    def _may_go_freely(self) -> bool:
        self._known.follow()
        return not self._session.session.live(self._now_ms()) and self.judged and self._known.fresh

    # -- life

    async def run(self) -> None:
        """Keep the pairings until cancelled."""
        unsubscribe = self._feed.subscribe(self._feed_me)
        follower = asyncio.ensure_future(self._follow_session())
        try:
            while True:
                self._pass()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._news.wait()
                self._news.clear()
                await asyncio.sleep(GAP_S)
        finally:
            unsubscribe()
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            await self._jobs.close()

    async def _follow_session(self) -> None:
        while True:
            await self._session.changed.wait()
            self.wake()

    def _feed_me(self, seen: Seen) -> None:
        if self._known.feed(seen):
            self.wake()

    def _on_view(self, key: PairKey) -> None:
        view = self._known.view(key)
        _log.info("pairing %s/%s: %s, epoch %d", key.spool[:8], key.shadow, view.state, view.epoch)
        self._aligning.changed(key)
        self.wake()
        self._tell(force=True)

    def _pass(self) -> None:
        try:
            self._known.follow()
            if self.judged:
                self._aligning.start()
                self._target.look()
            if self._known.inc:
                self._jobs.start("spool", self._look_at_spool)
            for key, view in self._known.views.items():
                if self.judged and view.state not in _NOT_MOVED:
                    self._jobs.start(key, partial(self._moving.consider, key))
            if self._retiring.due:
                self._jobs.start("retire", self._retiring.look)
            self._tell()
        except Exception:  # noqa: BLE001 - looked at again in a moment
            _log.exception("ownership")

    async def _look_at_spool(self) -> None:
        before = self._known.opened
        await self._opening.look()
        if self._known.opened != before:
            self.wake()
        self._tell()

    def _tell(self, *, force: bool = False) -> None:
        try:
            now = (self.ready, self.judged, self.verdict, self.target, self.given)
            if force or now != self._told:
                self._told = now
                self._hooks.changed()
        except Exception:  # noqa: BLE001 - whoever listens must not stop this
            _log.exception("ownership")


__all__ = ["Hooks", "Keeper", "Rows", "Word"]
