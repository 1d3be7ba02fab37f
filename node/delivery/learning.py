"""What an attempt teaches: standings of the scopes it speaks of, fewer or more connections, ways in doubt.

Writes nothing down and decides nothing about mail.
"""

from collections.abc import Callable

from node.delivery.clock import wall_ms
from node.delivery.doubts import Doubts
from node.delivery.job import Job, Judgement
from node.delivery.transaction import Course
from node.delivery.trials import Trials
from node.policy.health import Change, HealthBook
from node.policy.pace import TARPIT_S
from node.policy.reply import Stage
from node.policy.verdict import Hint, Outcome, Scope, Verdict

FEWER_SLOTS_S = 60.0
_NOTHING_SHOWN = Verdict(
    scope=Scope.CONNECTION, outcome=Outcome.RETRY, reason="not_tried", hint=Hint.RECONNECT, source="design §5.4"
)


class Learner:
    """Takes in what attempts showed. One for the room."""

    def __init__(self, health: HealthBook, doubts: Doubts, trials: Trials, on_change: Callable[[Change], None]) -> None:
        """``on_change`` hears of every standing that changed, for logs and alarms."""
        self._health = health
        self._doubts = doubts
        self._trials = trials
        self._on_change = on_change

    def conversation(self, job: Job, course: Course, judgement: Judgement, now_ms: int) -> None:
        """Learn from an attempt that got as far as MAIL."""
        if judgement.free:
            # What lay idle as long as the dead one is likely dead too.
            job.place.pool.close_idle()
            self.nothing(job)
            return
        told: set[str] = set()
        for fate in judgement.fates:
            verdict = fate.verdict
            if verdict.reason in told or (course.local and fate.stage is not Stage.DOT):
                continue
            told.add(verdict.reason)
            self.verdict(job, verdict, now_ms)
        if course.waited_s >= TARPIT_S:
            job.place.pool.slower(now_ms)
        if not told:
            self.nothing(job)

    def verdict(self, job: Job, verdict: Verdict, now_ms: int) -> None:
        """Learn one verdict: once for each attempt and distinct verdict."""
        self._note(job, verdict, now_ms)
        self._trials.showed(job.way, job.message.header_from, verdict)
        pool = job.place.pool
        if verdict.hint is Hint.FEWER_SLOTS:
            pool.fewer(FEWER_SLOTS_S)
        elif verdict.hint is Hint.SLOWER:
            pool.slower(now_ms)
        elif verdict.hint is Hint.IPV4:
            pool.by_ipv4(job.place)
        if verdict.outcome is Outcome.DELIVERED:
            pool.smoothly(now_ms)
            self._doubts.clear(job.way)
        elif verdict.scope is Scope.CONNECTION and verdict.outcome is not Outcome.UNKNOWN:
            self._doubts.note(job.way, now_ms)

    def nothing(self, job: Job) -> None:
        """The attempt showed nothing: a scope that waited for it as its probe may be probed again."""
        self._note(job, _NOTHING_SHOWN, wall_ms())

    def _note(self, job: Job, verdict: Verdict, now_ms: int) -> None:
        message = job.message
        changes = self._health.note(
            job.way, message.header_from, verdict, now_ms, direction=job.direction, client=message.client
        )
        for change in changes:
            self._on_change(change)
