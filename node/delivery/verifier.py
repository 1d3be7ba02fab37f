"""Mail of class ``verify`` whose answer was lost: looked for until it is found, shown to be missing, or a person must.

The rows stay *unknown* in the spool meanwhile, so that a restart or another node begins anew; here is only when to
look next, and what later mail may prove that copies arrive. Decides by ``policy/verify.py``; writes through the spool.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from node.delivery.clock import wall_ms
from node.delivery.job import Job
from node.delivery.looking import Archive, Looker, LookFailed
from node.delivery.proven import Proven
from node.errors import RelayError
from node.policy.envelope import NewMessage, OnUnknown
from node.policy.kinds import GRAPH_BYTES
from node.policy.marker import KEEPS_COPIES
from node.policy.verify import Evidence, next_look_ms, verified
from node.settings.verify import Verify
from node.spool.contract import Due, MessageView, Queued, Spool

CASES: Final = 5_000
"""Looked after at once; the sweep offers the others again."""
BATCH: Final = 50
"""Cases of one mailbox dealt with before the next round begins."""
KEPT: Final = 64
"""Messages remembered for each way that may prove that copies arrive."""
PROOFS: Final = 3
"""Of which so many are looked for in one go."""
MOST_WAIT_S: Final = 60.0
FENCED_LOOK_S: Final = 1.0
SPOOL_REST_MS: Final = 5_000
CLOCKS_MS: Final = 120_000
"""By how much Microsoft's clock and ours may differ."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Case:
    """Recipients of one message lost on one way."""

    due: Due
    way: str
    recipients: dict[int, Queued]
    next_ms: int
    began_ms: int = 0
    """When the attempt began; 0: the journey was not read yet."""
    lost_ms: int = 0
    """When it was known to be lost, at the latest."""

    @property
    def message(self) -> NewMessage:
        """The message."""
        return self.due.message


@dataclass(frozen=True, slots=True)
class Reference:
    """A message Microsoft has taken: where its copy is, those of older ones should be too."""

    began_ms: int
    queue_id: str
    message_id: str
    indexes: frozenset[int]


@dataclass(slots=True)
class Book:
    """What is known of one way."""

    references: deque[Reference] = field(default_factory=lambda: deque(maxlen=KEPT))
    proven_ms: int = 0
    """A message that began then was found."""


class Verifier:
    """Looks after all such mail of one node."""

    def __init__(self, spool: Spool, looker: Looker | None, proven: Proven, mine: Callable[[], bool]) -> None:
        """``looker`` None: there is nothing to look into. ``mine``: whether this node may judge its mail now."""
        self._spool = spool
        self._looker = looker
        self._written = proven
        self._mine = mine
        self.archives: Mapping[str, Archive] = {}
        """By way name."""
        self.settings = Verify()
        self._cases: dict[tuple[str, str, str], Case] = {}
        self._books: defaultdict[str, Book] = defaultdict(Book)
        self._rests_ms: dict[str, int] = {}
        """Until when a mailbox is not asked, after an answer that was none."""
        self._news = asyncio.Event()

    @property
    def _times_ms(self) -> tuple[int, int]:
        """Settling time and patience."""
        return round(self.settings.settle * 1000), round(self.settings.patience * 1000)

    @property
    def waiting(self) -> int:
        """How many messages are looked for."""
        return len(self._cases)

    # -- what it is told

    def watch(self, due: Due, lost: tuple[Queued, ...], now_ms: int) -> None:
        """Look for these; cheap to be told again."""
        for one in lost:
            key = (due.message.id, due.lane, one.last_way)
            case = self._cases.get(key)
            if case is None:
                if len(self._cases) >= CASES:
                    return
                wait_ms = next_look_ms(0, *self._times_ms) if self._place(one.last_way) else 0
                case = self._cases[key] = Case(due, one.last_way, {}, now_ms + wait_ms)
                self._news.set()
            if one.index not in case.recipients:
                case.recipients[one.index] = one
                # Lost later than the others: the journey is read again.
                case.lost_ms = 0

    def sent(self, job: Job, indexes: frozenset[int]) -> None:
        """Hear what Microsoft has taken."""
        message = job.message
        if message.on_unknown is OnUnknown.VERIFY and job.way.path in KEEPS_COPIES and indexes:
            reference = Reference(job.started_ns // 1_000_000, message.id, message.message_id, indexes)
            self._books[job.way.name].references.append(reference)

    # -- work

    async def run(self) -> None:
        """Look when it is time, until cancelled; raises nothing of ours."""
        while True:
            await self._until_due()
            if self._mine():
                await self.look(wall_ms())
            else:
                await asyncio.sleep(FENCED_LOOK_S)

    async def look(self, now_ms: int) -> None:
        """Deal with what is due: mailbox by mailbox, within each one after the other."""
        mailboxes: defaultdict[str, list[Case]] = defaultdict(list)
        for case in self._cases.values():
            if case.next_ms <= now_ms:
                place = self._place(case.way)
                mailboxes[place.mailbox if place is not None else ""].append(case)
        await asyncio.gather(*(self._mailbox(mailbox, cases) for mailbox, cases in mailboxes.items()))

    async def _until_due(self) -> None:
        self._news.clear()
        first_ms = min((case.next_ms for case in self._cases.values()), default=0)
        wait_s = (first_ms - wall_ms()) / 1000 if first_ms else MOST_WAIT_S
        if wait_s > 0:
            try:
                async with asyncio.timeout(min(wait_s, MOST_WAIT_S)):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _mailbox(self, mailbox: str, cases: list[Case]) -> None:
        cases.sort(key=lambda case: case.next_ms)
        for case in cases[:BATCH]:
            try:
                await self._case(case, mailbox)
            except RelayError as error:
                # The spool's: its own alarms tell people.
                _log.debug("mail of unknown outcome could not be looked for: %s", error)
                case.next_ms = wall_ms() + SPOOL_REST_MS

    async def _case(self, case: Case, mailbox: str) -> None:
        """Look for one message, and write what is decided."""
        if not case.lost_ms and not await self._dated(case):
            self._forget(case)
            return
        evidence = await self._evidence(case, mailbox)
        steps = {index: verified(seen, *self._times_ms) for index, seen in evidence.items()}
        decided = [(case.recipients[index], step) for index, step in steps.items() if step.state is not None]
        if decided and self._mine():
            for one, _ in decided:
                del case.recipients[one.index]
            await self._written.write(case.due, case.way, decided)
        if not case.recipients:
            self._forget(case)
            return
        waited_ms = max(0, wall_ms() - case.lost_ms)
        later_ms = case.lost_ms + next_look_ms(waited_ms, *self._times_ms)
        case.next_ms = max(later_ms, self._rests_ms.get(mailbox, 0))

    async def _evidence(self, case: Case, mailbox: str) -> dict[int, Evidence]:
        place, found = self._place(case.way), dict[int, str]()
        seen = Evidence(place=place is not None, waited_ms=wall_ms() - case.lost_ms)
        if place is not None and self._looker is not None and wall_ms() >= self._rests_ms.get(mailbox, 0):
            try:
                seen = await self._looked(case, place, self._looker, found, seen)
            except LookFailed as error:
                _log.warning("cannot look for mail of unknown outcome of %s: %s", case.way, error)
                self._rests_ms[mailbox] = wall_ms() + max(round(1000 * error.after_s), self._times_ms[0] // 60)
        return {
            index: replace(seen, found=found[index], absent=False) if index in found else seen
            for index in case.recipients
        }

    async def _looked(
        self, case: Case, place: Archive, looker: Looker, found: dict[int, str], seen: Evidence
    ) -> Evidence:
        """Fill ``found``; give what holds of those who are not in it. Raises LookFailed."""
        settled = seen.waited_ms >= self._times_ms[0]
        # The proof first: a copy that arrives after it is then still seen.
        proven = settled and await self._proven(case, place, looker)
        absent = bool(place.mailbox) and await self._in_sent_items(case, place, looker, found)
        missing = case.recipients.keys() - found.keys()
        if place.traced and missing and settled:
            since_ms = case.began_ms - CLOCKS_MS
            found |= dict.fromkeys(await looker.traced(place, case.message, missing, since_ms), "trace")
        return replace(seen, absent=absent, keeps_copies=place.keeps_copies, proven=proven)

    async def _in_sent_items(self, case: Case, place: Archive, looker: Looker, found: dict[int, str]) -> bool:
        """Add what is found there; True if all there is was seen."""
        message = case.message
        rebuilt = case.way.startswith("graph:") and message.size_bytes > GRAPH_BYTES
        seen = await looker.copies(place, message.message_id, message.id, rebuilt=rebuilt)
        mine = case.recipients.keys() & seen.indexes
        found |= dict.fromkeys(mine, "sent_items")
        if mine:
            book = self._books[case.way]
            book.proven_ms = max(book.proven_ms, case.began_ms)
        return seen.whole

    async def _proven(self, case: Case, place: Archive, looker: Looker) -> bool:
        """Whether a message that left after this one was lost is among the copies."""
        book = self._books[case.way]
        if not place.mailbox or not place.keeps_copies:
            return False
        if book.proven_ms >= case.lost_ms:
            return True
        later = [one for one in book.references if one.began_ms >= case.lost_ms]
        for one in later[:PROOFS]:
            seen = await looker.copies(place, one.message_id, one.queue_id, rebuilt=False)
            if one.indexes & seen.indexes:
                book.proven_ms = max(book.proven_ms, one.began_ms)
                return True
        return False

    async def _dated(self, case: Case) -> bool:
        """Read in the journey when it was tried and lost; False: nothing of it is unknown any more."""
        view = await self._spool.journey(case.message.id)
        if view is None or view.finished_ms:
            return False
        case.lost_ms = max((_last(view, "unknown", index) for index in case.recipients), default=0) or wall_ms()
        began_ms = min((_last(view, "claimed", index) for index in case.recipients), default=0)
        case.began_ms = began_ms or case.message.received_ms
        return True

    def _place(self, way: str) -> Archive | None:
        return self.archives.get(way) if self._looker is not None else None

    def _forget(self, case: Case) -> None:
        self._cases.pop((case.message.id, case.due.lane, case.way), None)


def _last(view: MessageView, event: str, index: int) -> int:
    return max((line.at_ms for line in view.lines if line.event == event and index in line.indexes), default=0)
