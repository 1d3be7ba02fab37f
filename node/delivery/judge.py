"""From a course to results: asks the classifier, the retry schedule and the class of the message; writes nothing.

Decides in one place what the room does with each kind of verdict (design §5.7, §5.8): what counts as an attempt,
when a recipient is due again, and which breaks are free.
"""

from collections.abc import Callable, Mapping

import msgspec

from node.delivery.job import Job, Judged, Judgement
from node.delivery.transaction import Course
from node.policy.bounce_target import BOUNCE_CLIENT
from node.policy.classify import Classifier
from node.policy.envelope import Direction, NewMessage, Priority, RecipientState
from node.policy.reply import Reply, Stage, printable
from node.policy.retry import next_attempt_ms
from node.policy.sudden import Sudden
from node.policy.table.row import NOTHING_RESTS
from node.policy.verdict import Hint, Outcome, Scope, Verdict
from node.settings.mail import Plan
from node.spool.contract import Queued, RecipientResult

_STATES = {
    Outcome.DELIVERED: RecipientState.DELIVERED,
    Outcome.RETRY: RecipientState.DEFERRED,
    Outcome.SWITCH: RecipientState.DEFERRED,
    Outcome.BOUNCE: RecipientState.BOUNCED,
    Outcome.HOLD: RecipientState.HELD,
    Outcome.UNKNOWN: RecipientState.UNKNOWN,
}
MIN_REST_S = 1.0
REPORT_REST_MS = 60_000
_ABOUT_THE_MAIL = frozenset({Scope.RECIPIENT, Scope.MESSAGE, Scope.ACCOUNT_FROM})
"""Failures of these scopes use up the retry schedule; those of an account or path are not the mail's fault."""
_NOTHING_KEEPS_BACK = frozenset({Scope.RECIPIENT, Scope.MESSAGE, Scope.ACCOUNT_FROM, Scope.CONNECTION})
"""No standing holds this mail back (a single lost connection rests nothing), so its own due time must."""
_THE_MAILS_OWN = frozenset({Scope.RECIPIENT, Scope.MESSAGE})
"""Another way would say the same of these; of all else urgent mail need not wait to see."""
_CLOSING = frozenset({0, 421})
_TOO_LARGE = 552
_LACKING = Verdict(
    scope=Scope.MESSAGE, outcome=Outcome.BOUNCE, reason="extension_missing", source="RFC 6152 §3, RFC 6531 §3.6"
)


class Judge:
    """Judges whole transactions. ``rival`` tells whether another way could take the job's mail now."""

    def __init__(
        self,
        classifier: Classifier,
        plans: Mapping[str, Plan],
        rival: Callable[[Job], bool],
        unit_random: Callable[[], float],
    ) -> None:
        """Keep what judging needs; ``unit_random`` gives numbers in [0, 1)."""
        self.classifier = classifier
        self.plans = plans
        self._rival = rival
        self._unit_random = unit_random
        self._sudden = Sudden()

    def course(self, job: Job, course: Course, now_ms: int) -> Judgement:
        """Judge every recipient of a finished (or broken) transaction."""
        judgement = Judgement()
        for recipient in job.recipients:
            stage, reply = course.replies.get(recipient.index, (course.stage, Reply(code=0, text="closed")))
            verdict = self._verdict(job, course, recipient, stage, reply)
            if recipient.direction is Direction.INTERNAL:
                verdict = self._sudden.judged(job.way.path, recipient.address, verdict, now_ms)
            judgement.fates.append(self._fate(job, recipient, stage, reply, verdict, now_ms))
        if self._is_free(job, course, judgement):
            judgement.free = True
            for fate in judgement.fates:
                fate.result = self._again(fate, now_ms)
        elif course.accepted:
            for fate in judgement.fates:
                if fate.stage is Stage.RCPT and fate.verdict.hint is Hint.SPLIT:
                    fate.result = self._again(fate, now_ms)
                elif fate.verdict.hint is Hint.ALONE and fate.result.state is RecipientState.DEFERRED:
                    # Counted, so that the one at fault bounces the next time, when it is alone.
                    fate.result = msgspec.structs.replace(fate.result, next_attempt_ms=now_ms)
        return judgement

    def _verdict(self, job: Job, course: Course, recipient: Queued, stage: Stage, reply: Reply) -> Verdict:
        if course.local and stage is Stage.MAIL and reply.code != _TOO_LARGE:
            return _LACKING
        verdict = self.verdict(job, recipient, stage, reply)
        if course.retry_after_s and verdict.outcome in (Outcome.RETRY, Outcome.SWITCH):
            # What the other side asks for is waited for exactly, whichever time it is (facts m365 §4.9 row 1).
            return msgspec.structs.replace(verdict, cool_down_s=course.retry_after_s, schedule=())
        return verdict

    def verdict(self, job: Job, recipient: Queued, stage: Stage, reply: Reply) -> Verdict:
        """Judge one reply with the recipient's history."""
        return self.classifier.classify(
            job.way.path,
            stage,
            reply,
            last_reason=recipient.last_reason,
            last_reply=recipient.last_reply,
            attempts=recipient.attempts,
        )

    def _fate(self, job: Job, recipient: Queued, stage: Stage, reply: Reply, verdict: Verdict, now_ms: int) -> Judged:
        state = _STATES[verdict.outcome]
        if state is RecipientState.BOUNCED and job.message.client == BOUNCE_CLIENT:
            # A bounce of a bounce goes nowhere: kept for replay (design §5.8).
            state = RecipientState.DEAD
        counts = verdict.outcome is not Outcome.SWITCH or verdict.scope in _ABOUT_THE_MAIL
        due_ms = self._due(job, recipient, verdict, counts, now_ms) if state is RecipientState.DEFERRED else 0
        result = RecipientResult(
            index=recipient.index,
            state=state,
            reason=verdict.reason,
            reply=printable(str(reply)),
            stage=stage.value,
            scope=verdict.scope.value,
            next_attempt_ms=due_ms,
            counts_as_attempt=counts,
        )
        return Judged(recipient=recipient, stage=stage, reply=reply, verdict=verdict, result=result)

    def _due(self, job: Job, recipient: Queued, verdict: Verdict, counts: bool, now_ms: int) -> int:
        if self._leaves(job, verdict) and not _to_and_fro(job, recipient, verdict) and self._rival(job):
            return now_ms
        # A resting account or path keeps its mail back by itself (HealthBook); the other rests are added here.
        rest_s = verdict.cool_down_s if verdict.scope in _NOTHING_KEEPS_BACK else 0.0
        return self.schedule(job, recipient.attempts + counts, now_ms, rest_s)

    def _leaves(self, job: Job, verdict: Verdict) -> bool:
        """Whether another way is tried at once: where the row says so, and for urgent mail whatever holds up a way."""
        if verdict.outcome is Outcome.SWITCH:
            return True
        urgent = job.message.priority is Priority.URGENT
        return urgent and verdict.outcome is Outcome.RETRY and verdict.scope not in _THE_MAILS_OWN

    def schedule(self, job: Job, attempts: int, now_ms: int, rest_s: float = 0.0) -> int:
        """Say when the n-th failure's retry is due; at the expiry when none fits before it (the sweep bounces then)."""
        return self.schedule_for(job.message, attempts, now_ms, rest_s)

    def schedule_for(self, message: NewMessage, attempts: int, now_ms: int, rest_s: float = 0.0) -> int:
        """The same for a message without a job."""
        retry = self.plans.get(message.plan, _PLAN).retry
        expires_ms = message.expires_ms
        due_ms = next_attempt_ms(
            retry.delays,
            retry.jitter,
            max(1, attempts),
            now_ms,
            expires_ms,
            self._unit_random(),
            at_least_s=rest_s,
        )
        return max(expires_ms, now_ms + 1) if due_ms is None else due_ms

    def after_refusal(self, job: Job, verdict: Verdict, now_ms: int) -> int:
        """Say when mail is due whose connection did not come about: at once if another way could take it."""
        if self._leaves(job, verdict) and self._rival(job):
            return now_ms
        rest_s = max(MIN_REST_S, verdict.cool_down_s)
        return now_ms + round(1000 * rest_s * (1 + 0.2 * self._unit_random()))

    def _is_free(self, job: Job, course: Course, judgement: Judgement) -> bool:
        """A pooled connection that died in our hands, or a first break before the dot, costs nobody anything."""
        if course.dot_said or course.local or not judgement.fates:
            return False
        if job.place.reused and not course.mail_taken:
            return all(fate.reply.code in _CLOSING for fate in judgement.fates)
        return all(
            fate.verdict.hint is Hint.RECONNECT and fate.recipient.last_reason != fate.verdict.reason
            for fate in judgement.fates
        )

    def wait_for_report(self, judgement: Judgement, now_ms: int) -> None:
        """The report could not be kept: its recipients stay in the queue until it can."""
        for fate in judgement.fates:
            if fate.result.state is RecipientState.BOUNCED:
                fate.result = self._again(fate, now_ms + REPORT_REST_MS)

    def _again(self, fate: Judged, now_ms: int) -> RecipientResult:
        old = fate.result
        return RecipientResult(
            index=old.index,
            state=RecipientState.DEFERRED,
            reason=old.reason,
            reply=old.reply,
            stage=old.stage,
            scope=old.scope,
            next_attempt_ms=now_ms,
            counts_as_attempt=False,
        )


def _to_and_fro(job: Job, recipient: Queued, verdict: Verdict) -> bool:
    """The same failure on another way too, and none of them rests for it: to switch again would be a loop."""
    again = recipient.last_reason == verdict.reason and recipient.last_way not in ("", job.way.name)
    return again and verdict.scope in NOTHING_RESTS


_PLAN = Plan()
