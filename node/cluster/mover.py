"""The one task that carries every part's transactions to the store: batched, paced, and only when there is something.

A pass looks at every part, puts what they propose into as few guarded transactions as fit, and tells each part what
became of its own. A part that begins a session does so only once the watch has shown everything up to the session's
begin, so nothing of an earlier session can still happen to what it reads. Idle limits cost no request.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from coordinator.errors import NotAMember
from coordinator.feed import Feed
from coordinator.runner import SessionRunner
from coordinator.store.contract import Indefinite, Item, NoSpace, Outcome, Seen, StoreError
from node.cluster.parts import Moment, Part, Proposal

_log = logging.getLogger(__name__)

TICK_S = 1.0
PACE_S = 0.03
"""Pause after a pass for each of its moves, so that the more there is to move, the more of it shares a transaction."""
PACE_MAX_S = 0.3
LOOK_S = 0.0002
"""Pause after a pass for each part looked at: news comes with every message, a look at 300 parts takes some 3 ms."""
OPERATIONS_MAX = 100
"""Conditions, and writes, of one transaction (etcd takes 128, one of them is our membership)."""
TRIES = 3
"""Passes made at once when another was faster."""
FULL_PAUSE_S = 5.0
"""After the store said that it is full."""


@dataclass(slots=True, kw_only=True)
class _Batch:
    proposals: list[Proposal] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    compares: int = 0
    writes: int = 0

    def takes(self, proposal: Proposal) -> bool:
        """Add it if it fits."""
        keys = {write.key for write in proposal.writes}
        compares, writes = self.compares + len(proposal.compares), self.writes + len(proposal.writes)
        if self.proposals and (max(compares, writes) > OPERATIONS_MAX or keys & self.keys):
            return False
        self.proposals.append(proposal)
        self.keys |= keys
        self.compares, self.writes = compares, writes
        return True


def _nothing(_seen: Seen) -> None:
    """Nobody else looks."""


class Mover:
    """Moves what the parts want moved, until cancelled."""

    def __init__(
        self, session: SessionRunner, feed: Feed, moment: Callable[[], Moment], parts: Callable[[], Iterable[Part]]
    ) -> None:
        """``moment`` and ``parts`` are asked at every pass."""
        self.before_news: Callable[[Seen], None] = _nothing
        self.after_news: Callable[[Seen], None] = _nothing
        """Called with all that was seen, before and after the parts have heard of it."""
        self.may_begin: Callable[[], bool] = lambda: True
        """Whether what is known here of earlier lives may be believed: nothing is begun, nor given away, before."""
        self._session, self._feed, self._moment, self._parts = session, feed, moment, parts
        self._due = asyncio.Event()
        self._begun: dict[Part, int] = {}
        self._exact: dict[str, Part] = {}
        self._under: dict[str, Part] = {}
        self._known: set[str] = set()
        self._singly = False
        self.transactions = 0
        """Sent so far."""
        self.full = False
        """The store refuses writes for want of space."""

    def due(self) -> None:
        """Something wants moving: look soon. Cheap."""
        self._due.set()

    def follow(self) -> None:
        """Learn the parts anew, after they changed; each new one hears what is known."""
        self._exact = {key: part for part in self._parts() for key in part.keys}
        self._under = {prefix: part for part in self._parts() for prefix in part.prefixes}
        self._begun = {part: self._begun[part] for part in self._parts() if part in self._begun}
        if self._feed.revision:
            at = self._moment()
            for key, item in self._feed.items.items():
                self._tell(key, item, item.mod_revision, at)
        self.due()

    async def run(self) -> None:
        """Look at every part when news or needs come, and at least every second."""
        leave = self._feed.subscribe(self._seen)
        try:
            while True:
                moves = await self._passes()
                pace_s = moves * PACE_S + len(self._begun) * LOOK_S
                await asyncio.sleep(FULL_PAUSE_S if self.full else min(PACE_MAX_S, pace_s))
                try:
                    async with asyncio.timeout(TICK_S):
                        await self._due.wait()
                except TimeoutError:
                    pass
                self._due.clear()
        finally:
            leave()

    # -- news

    def _seen(self, seen: Seen) -> None:
        self.before_news(seen)
        at = self._moment()
        if seen.resync:
            present = {change.key for change in seen.changes}
            for key in self._known - present:
                self._tell(key, None, seen.revision, at)
            self._known = set()
        for change in seen.changes:
            self._tell(change.key, change.item, change.revision, at)
        self.after_news(seen)
        self.due()

    def _tell(self, key: str, item: Item | None, revision: int, at: Moment) -> None:
        part = self._exact.get(key) or self._under.get(key[: key.rfind("/") + 1])
        if part is None:
            return
        if item is None:
            self._known.discard(key)
        else:
            self._known.add(key)
        part.news(key, item, revision, at)

    # -- moves

    async def _passes(self) -> int:
        """How many moves were sent. Another's faster write is answered at once, a few times."""
        moves = 0
        for _ in range(TRIES):
            batches = self._batches()
            moves += sum(len(batch.proposals) for batch in batches)
            again = False
            for batch in batches:
                again = not await self._carry(batch) or again
            if not again:
                break
        return moves

    def _batches(self) -> list[_Batch]:
        at = self._moment()
        if not at.session.live(at.boot_ms) or self._feed.revision < at.session.inc or not self.may_begin():
            return []
        batches: list[_Batch] = []
        for part in self._parts():
            if self._begun.get(part) != at.session.inc:
                part.begin(at)
                self._begun[part] = at.session.inc
            for proposal in part.proposals(at):
                if self._singly or not any(batch.takes(proposal) for batch in batches[-1:]):
                    batches.append(_Batch())
                    batches[-1].takes(proposal)
        self._singly = False
        return batches

    async def _carry(self, batch: _Batch) -> bool:
        """Make one transaction and tell its parts; False when somebody else was faster and all should look again."""
        proposals = batch.proposals
        for each in proposals:
            each.sending()
        self.transactions += 1
        try:
            outcome = await self._session.guarded(
                [compare for each in proposals for compare in each.compares],
                [write for each in proposals for write in each.writes],
                timeout_s=self._session.session.timing.timeout_ms / 1_000,
            )
        except (Indefinite, TimeoutError):
            for each in proposals:
                each.unanswered()
            return True
        except (NotAMember, StoreError) as error:
            self._refused(proposals, error)
            return True
        except BaseException:
            for each in proposals:
                each.unanswered()
            raise
        self.full = False
        return _told(proposals, outcome)

    def _refused(self, proposals: Sequence[Proposal], error: Exception) -> None:
        for each in proposals:
            each.refused()
        # One of them may be what was refused, such as a waiter's lease that has ended: then one by one.
        self._singly = len(proposals) > 1
        if isinstance(error, NoSpace) and not self.full:
            self.full = True
            _log.error("the store is full: shares, lots and slots stay where they are: %s", error)
        elif isinstance(error, StoreError):
            _log.warning("the store refused a move of budgets: %s", error)


def _told(proposals: Sequence[Proposal], outcome: Outcome) -> bool:
    if outcome.succeeded:
        for each in proposals:
            each.done(outcome.revision)
        return True
    found = {item.key: item for item in outcome.found}
    for each in proposals:
        each.undone(found)
    return False
