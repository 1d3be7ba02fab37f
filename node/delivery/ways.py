"""Which way a message takes now, with everything it needs to start: health, place, permit (design §5.4, §5.5).

Asks policy (``candidates``, ``Choice``) and then tries to hold what the chosen way needs; what turns out to be short
is told to policy, which then waits or switches. Holds nothing unless it answers ``Held``. Does no I/O and never waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.cluster.contract import Budgets, Grant, Need, Refusal
from node.delivery.addressing import Unfit
from node.delivery.clock import steady_ms, wall_ms
from node.delivery.doubts import Doubts
from node.delivery.job import Job
from node.delivery.pool import Place, Pool
from node.delivery.trials import Trials
from node.policy.choose import Choice, NoWay, Shortage, Take, Wait
from node.policy.classify import Classifier
from node.policy.envelope import Direction, NewMessage, Priority
from node.policy.health import Availability, Change, HealthBook
from node.policy.kinds import unfit
from node.policy.route import Candidate, Directory, Way, candidates
from node.spool.contract import Due

SLOT_LOOK_MS = 1_000
"""When to look again for a place; in truth a place that comes free wakes the dispatcher."""
UNKNOWN_LOOK_MS = 60_000
BY_SIZE = frozenset({"day_budget", "tenant_budget"})
"""Refusals that another message of the lane, with fewer recipients, may not meet."""
LASTING = frozenset({"no_permit", "paused", "unknown_account"})
"""Refusals that hold for every message of the class; the day budgets depend on the number of recipients."""
MAX_SHORTAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A way with a place and a grant; whoever gets it must give both back."""

    way: Way
    place: Place
    grant: Grant
    recipients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Nothing now."""

    until_ms: int
    """Wall clock."""
    reason: str
    lasting: bool
    """The whole lane must wait; else only this message."""
    for_place: bool = False
    """Only a place is missing: whoever gives one back wakes us."""


class Ways:
    """The ways of this node with their pools."""

    def __init__(
        self,
        directory: Directory,
        pools: dict[str, Pool],
        health: HealthBook,
        budgets: Budgets,
        on_change: Callable[[Change], None],
        classifier: Classifier,
    ) -> None:
        """Keep what choosing needs; all of it may be replaced by a reload."""
        self.directory = directory
        self.pools = pools
        self.health = health
        self._budgets = budgets
        self.on_change = on_change
        self.unfit = Unfit()
        """Which messages cannot go without an envelope."""
        self.doubts = Doubts()
        self.trials = Trials()
        self.classifier = classifier
        self._short: dict[tuple[str, bool, Direction], Shortage] = {}
        self._load: dict[str, int] = {}
        self._holding = False

    def freed(self, account: str) -> bool:
        """Something of an account came free otherwise than by time: forget what was said to be short.

        Gives False for news we made ourselves by giving back, within ``hold``, what did not suffice.
        """
        if self._holding:
            return False
        for key in [key for key in self._short if key[0] == account]:
            del self._short[key]
        return True

    @property
    def all_full(self) -> bool:
        """True when no way has a place left: looking at lanes is then a waste."""
        return all(pool.full for pool in self.pools.values())

    def candidates(self, message: NewMessage, direction: Direction) -> tuple[Candidate, ...]:
        """Give policy's answer for one message, and what was found out about it on ways without an envelope."""
        found = candidates(self.directory, message, direction, message.plan)
        known = self.unfit.why(message.id)
        return tuple(unfit(item, *known) for item in found) if known else found

    def rival(self, job: Job) -> bool:
        """Tell whether another way than the job's may take its mail now; urgent mail relies on none in doubt."""
        now_ms = wall_ms()
        message, direction = job.message, job.direction
        found = self.candidates(message, direction)
        others = self._usable(found, self._availability(found, message, direction, now_ms))
        doubtful = self._doubtful(message, others, now_ms)
        return any(way.name not in doubtful and way.name != job.way.name for way in others)

    def _usable(self, found: tuple[Candidate, ...], availability: Mapping[str, Availability]) -> list[Way]:
        """Give the ways that are set up and do not rest."""
        ways = [item.way for item in found if item.ok and item.way.name in self.pools]
        return [way for way in ways if way.name not in availability or availability[way.name].ok]

    def _doubtful(self, message: NewMessage, usable: list[Way], now_ms: int) -> frozenset[str]:
        return self.doubts.among(usable, now_ms) if message.priority is Priority.URGENT else frozenset()

    def hurried(self, job: Job) -> bool:
        """Tell whether a job should not wait long for its connection: it is urgent and could go another way."""
        return job.message.priority is Priority.URGENT and self.rival(job)

    def begin(self, job: Job) -> None:
        """Note that an attempt starts: a scope that may be probed is closed to others until it reports."""
        message, now_ms = job.message, wall_ms()
        self.trials.began(job.way, message.header_from, now_ms)
        for change in self.health.begin(
            job.way, message.header_from, now_ms, direction=job.direction, client=message.client
        ):
            self.on_change(change)

    def ended(self, job: Job) -> None:
        """Note that the attempt is over."""
        self.trials.ended(job.way, job.message.header_from)

    def hold(self, due: Due, direction: Direction) -> Held | Later | NoWay:
        """Choose a way for a message's recipients and hold what it needs."""
        self._holding = True
        try:
            return self._hold(due, direction)
        finally:
            self._holding = False

    def _hold(self, due: Due, direction: Direction) -> Held | Later | NoWay:
        message = due.message
        now_ms = wall_ms()
        found = self.candidates(message, direction)
        availability = self._availability(found, message, direction, now_ms)
        short = self._shortages(found, message.priority, direction, now_ms)
        first = due.recipients[0]
        last_way = first.last_way if first.attempts else ""
        avoid = self.classifier.avoided.get(first.last_reason, ()) if first.attempts else ()
        doubtful = self._doubtful(message, self._usable(found, availability), now_ms)
        urgent = message.priority is Priority.URGENT
        placeless = False
        choice = Choice(
            found, availability, short, now_ms,
            load=self._load, last_way=last_way, avoid=avoid, doubtful=doubtful, urgent=urgent,
        )  # fmt: skip
        # Each round finds one way short, so there are at most as many rounds as ways.
        for _ in range(len(found) + 1):
            decision = choice.decide()
            if isinstance(decision, NoWay):
                return decision
            if isinstance(decision, Wait):
                return self._later(decision, availability, due, placeless=placeless)
            held = self._take(decision, due, direction, now_ms)
            if isinstance(held, Held):
                return held
            placeless = held.reason == "no_slot"
            choice.short(decision.way.account, held)
        return Later(until_ms=now_ms + SLOT_LOOK_MS, reason="no_slot", lasting=True, for_place=True)

    def _availability(
        self, found: tuple[Candidate, ...], message: NewMessage, direction: Direction, now_ms: int
    ) -> Mapping[str, Availability]:
        if not self.health.entries:
            return {}
        return {
            item.way.name: self.health.available(
                item.way, message.header_from, now_ms, direction=direction, client=message.client
            )
            for item in found
            if item.ok
        }

    def _shortages(
        self, found: tuple[Candidate, ...], priority: Priority, direction: Direction, now_ms: int
    ) -> dict[str, Shortage]:
        if not self._short:
            return {}
        urgent = priority is Priority.URGENT
        known: dict[str, Shortage] = {}
        for item in found:
            key = (item.way.account, urgent, direction)
            shortage = self._short.get(key)
            if shortage is None:
                continue
            if shortage.until_ms <= now_ms:
                del self._short[key]
            else:
                known[item.way.account] = shortage
        return known

    def _take(self, decision: Take, due: Due, direction: Direction, now_ms: int) -> Held | Shortage:
        way = decision.way
        pool = self.pools.get(way.name)
        if pool is None:
            return Shortage(until_ms=now_ms + UNKNOWN_LOOK_MS, reason="path_not_set_up")
        if pool.full or self.trials.under_way(way, due.message.header_from, now_ms):
            return Shortage(until_ms=now_ms + SLOT_LOOK_MS, reason="no_slot")
        alone = due.recipients[0].last_reason in self.classifier.alone
        count = 1 if alone else min(len(due.recipients), way.recipients_per_message)
        external = count if direction is Direction.EXTERNAL and way.counts_external else 0
        steady = steady_ms()
        need = Need(
            account=way.account,
            recipients=count,
            tenant=way.tenant,
            external=external,
            priority=due.message.priority,
        )
        # The permit first: who has none wants no connection, which others may use meanwhile.
        grant = self._budgets.try_grant(need, steady)
        if isinstance(grant, Refusal):
            shortage = Shortage(until_ms=now_ms + max(1, grant.retry_ms - steady), reason=grant.reason)
            if grant.reason in LASTING and len(self._short) < MAX_SHORTAGES:
                self._short[way.account, need.priority is Priority.URGENT, direction] = shortage
            return shortage
        place = pool.reserve()
        if place is None:
            self._budgets.cancelled(grant, steady)
            return Shortage(until_ms=now_ms + SLOT_LOOK_MS, reason="no_slot")
        self._load[way.account] = self._load.get(way.account, 0) + 1
        return Held(way=way, place=place, grant=grant, recipients=count)

    def _later(self, wait: Wait, availability: Mapping[str, Availability], due: Due, *, placeless: bool) -> Later:
        by_pair = any(state.scope.startswith("pair/") for state in availability.values() if not state.ok)
        by_size = wait.reason in BY_SIZE and len(due.recipients) > 1
        return Later(
            until_ms=wait.until_ms,
            reason=wait.reason,
            lasting=not (by_pair or by_size),
            for_place=placeless and wait.reason == "no_slot",
        )
