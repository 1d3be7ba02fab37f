"""Writing down what an attempt showed: health notes, delivery reports, the settlement, the class's answer to *unknown*.

Order matters: a report is in the spool before its recipient counts as bounced, so a crash between repeats a report
and never loses one (I1). Knows no connection and chooses no way.
"""

import asyncio
import re
from typing import Protocol

import msgspec

from node.cluster.contract import SETTLE_HORIZON_MS
from node.delivery.clock import wall_ms
from node.delivery.errors import Refused
from node.delivery.heard import Heard
from node.delivery.job import Job, Judged, Judgement
from node.delivery.judge import Judge
from node.delivery.learning import Learner
from node.delivery.measure import measure
from node.delivery.reporter import Reporter
from node.delivery.tracing import Tracer
from node.delivery.transaction import Course
from node.errors import PermanentError, RelayError
from node.policy.bounce_target import BOUNCE_CLIENT
from node.policy.envelope import NewMessage, OnUnknown, RecipientState
from node.policy.reply import Reply
from node.policy.unknown import UnknownStep, settle_unknown
from node.spool.contract import Due, Queued, RecipientResult, Settlement, Spool

SETTLE_TRIES = 8  # doubling from 50 ms: some 13 s of a spool that does not answer
FIRST_PAUSE_S = 0.05
SPOOL_REST_S = 2.0  # a lane whose claim failed is left alone for so long
UNREADABLE_REST_MS = 60_000
_UPSTREAM_ID = re.compile(r"<([^<>\s]{1,250})>|queued as ([\w.-]{1,100})", re.IGNORECASE)


class Lanes(Protocol):
    """What the dispatcher wants to hear."""

    def due_at(self, lane: str, at_ms: int, message_id: str = "") -> None:
        """Something in this lane is due at that time; ``message_id``: this, whose attempt is ending."""
        ...

    def rest(self, lane: str, seconds: float, reason: str) -> None:
        """Leave this lane alone for a while."""
        ...


class Verify(Protocol):
    """Who looks for mail of class ``verify``."""

    def watch(self, due: Due, lost: tuple[Queued, ...], now_ms: int) -> None:
        """Look for these; may be said again."""
        ...

    def sent(self, job: Job, indexes: frozenset[int]) -> None:
        """Hear what was delivered."""
        ...


class Settler:
    """Writes outcomes. One for the room."""

    def __init__(
        self,
        spool: Spool,
        judge: Judge,
        learner: Learner,
        reporter: Reporter,
        tracer: Tracer,
        verify: Verify,
    ) -> None:
        """``learner`` hears what attempts showed, ``verify`` looks for what was lost."""
        self._spool = spool
        self._judge = judge
        self._learner = learner
        self._reporter = reporter
        self._tracer = tracer
        self._telemetry = tracer.telemetry
        self._verify = verify
        self.heard = Heard()
        self.lanes: Lanes | None = None
        self.delivered_ms = 0
        """When something was delivered last; 0: nothing yet."""

    # -- an attempt that got as far as MAIL

    async def settled(self, job: Job, course: Course, transfer_ns: tuple[int, int]) -> None:
        """Judge, note, report, write; logs nothing and raises nothing of ours."""
        now_ms = course.finished_ms or wall_ms()
        judgement = self._judge.course(job, course, now_ms)
        self._learner.conversation(job, course, judgement, now_ms)
        if not await self._reporter.undeliverable(job.due, judgement.fates, now_ms):
            self._judge.wait_for_report(judgement, now_ms)
        delivered = [one for one in judgement.fates if one.result.state is RecipientState.DELIVERED]
        if delivered:
            self.delivered_ms = now_ms
        if course.relayed:
            # Before the settlement: afterwards the body, and with it the header to return, is gone.
            await self._reporter.relayed(job.due, [(one.recipient, one.result.reply) for one in delivered], now_ms)
        settlement = Settlement(
            attempt_id=job.attempt_id,
            message_id=job.message.id,
            finished_ms=now_ms,
            # Without a final reply the upstream may count the message until H later (coordination-review §4).
            counted_ms=now_ms + SETTLE_HORIZON_MS if course.broken else now_ms,
            results=judgement.results,
            upstream_id=upstream_id(course.final),
            mail_sent=course.mail_said and not course.undone,
        )
        if await self._written(settlement):
            self._verify.sent(job, frozenset(one.recipient.index for one in delivered))
            await self._unknown(job, judgement, now_ms)
            self._tell_lane(job, judgement.results)
        measure(self._telemetry, job, course, judgement, now_ms)
        self.heard.attempt(job, course, judgement, now_ms)
        self._tracer.attempt(job, course, judgement, transfer_ns)

    def abandoned(self, job: Job) -> None:
        """The attempt showed nothing: a scope that waited for it as its probe may be probed again."""
        self._learner.nothing(job)

    async def _written(self, settlement: Settlement) -> bool:
        """Write until durable. Given up after ``SETTLE_TRIES``: the next start finds it in flight, hence unknown."""
        pause_s = FIRST_PAUSE_S
        for _ in range(SETTLE_TRIES):
            try:
                await self._spool.settle(settlement)
            except PermanentError:
                return False
            except RelayError:
                await asyncio.sleep(pause_s)
                pause_s *= 2
            else:
                return True
        return False

    async def _unknown(self, job: Job, judgement: Judgement, now_ms: int) -> None:
        lost = tuple(
            msgspec.structs.replace(fate.recipient, last_way=job.way.name)
            for fate in judgement.fates
            if fate.result.state is RecipientState.UNKNOWN
        )
        if lost:
            await self.resolve(job.due, lost, now_ms)

    async def resolve(self, due: Due, lost: tuple[Queued, ...], now_ms: int) -> None:
        """Apply the message's class to recipients in state UNKNOWN (I5); those of ``verify`` are looked for."""
        message = due.message
        if message.on_unknown is OnUnknown.VERIFY:
            self._verify.watch(due, lost, now_ms)
            return
        steps = {one.index: self._unknown_step(message, one, now_ms) for one in lost}
        failed = tuple(one for one in lost if steps[one.index].report)
        if failed and await self._reporter.given_up(due, failed, steps[failed[0].index].reason, now_ms):
            results = [_bounced(one, steps[one.index].reason, message.client) for one in failed]
            await self._finished(due, results, now_ms, "bounced")
        results = [
            RecipientResult(
                index=one.index,
                state=RecipientState.QUEUED,
                reason=steps[one.index].reason,
                next_attempt_ms=steps[one.index].next_attempt_ms,
            )
            for one in lost
            if steps[one.index].state is RecipientState.DEFERRED
        ]
        if results and await self._finished(due, results, now_ms, "resent") and self.lanes is not None:
            self.lanes.due_at(due.lane, min(result.next_attempt_ms for result in results), due.message.id)

    def _unknown_step(self, message: NewMessage, recipient: Queued, now_ms: int) -> UnknownStep:
        again_ms = self._judge.schedule_for(message, recipient.attempts + 1, now_ms)
        after_s = (again_ms - now_ms) / 1000
        return settle_unknown(message.on_unknown, now_ms, message.expires_ms, resend_after_s=after_s)

    async def expire(self, due: Due, now_ms: int) -> None:
        """Bounce what is past its time; an unknown outcome stays in the report's wording (RFC 3464 §2.3.3)."""
        if not await self._reporter.given_up(due, due.recipients, "expired", now_ms):
            return
        results = [_bounced(recipient, "expired", due.message.client) for recipient in due.recipients]
        if await self._finished(due, results, now_ms, "bounced"):
            self._telemetry.count("relay_recipients_bounced", len(results), reason="expired")

    async def refuse(self, due: Due, reason: str, why: str, now_ms: int) -> None:
        """Bounce what no way will ever take, e.g. a message too large for all of them."""
        if not await self._reporter.given_up(due, due.recipients, reason, now_ms, why=why):
            await self.postpone(due, due.recipients, now_ms + UNREADABLE_REST_MS, reason)
            return
        results = [_bounced(recipient, reason, due.message.client) for recipient in due.recipients]
        if await self._finished(due, results, now_ms, "bounced"):
            self._telemetry.count("relay_recipients_bounced", len(results), reason=reason)

    async def _finished(self, due: Due, results: list[RecipientResult], now_ms: int, event: str) -> bool:
        try:
            await self._spool.finish(due.message.id, results, now_ms, event)
        except (RelayError, ValueError):
            # Gone or changed meanwhile (an operator), or the spool is ill: the sweep looks again.
            return False
        return True

    # -- attempts that got nowhere

    async def not_connected(self, job: Job, refused: Refused, *, claimed: bool = False) -> None:
        """No connection: the scope learns, the recipients are postponed; none of them was tried."""
        now_ms = wall_ms()
        verdict = self._judge.verdict(job, job.recipients[0], refused.stage, refused.reply)
        self._telemetry.count("relay_connections_failed", path=job.way.path, reason=verdict.reason)
        self._learner.verdict(job, verdict, now_ms)
        self.heard.refused(job, refused, now_ms)
        until_ms = self._judge.after_refusal(job, verdict, now_ms)
        fates = [
            Judged(
                recipient=recipient,
                stage=refused.stage,
                reply=refused.reply,
                verdict=verdict,
                result=RecipientResult(
                    index=recipient.index,
                    state=RecipientState.DEFERRED,
                    reason=verdict.reason,
                    next_attempt_ms=until_ms,
                    counts_as_attempt=False,
                ),
            )
            for recipient in job.recipients
        ]
        judgement = Judgement(fates=fates)
        if claimed:
            await self._untried(job, judgement.results, now_ms)
        else:
            await self.postpone(job.due, job.recipients, until_ms, verdict.reason)
        self._telemetry.count("relay_attempts", path=job.way.path, account=job.way.account, outcome="no_connection")
        self._tracer.attempt(job, None, judgement, (0, 0))

    async def postpone(self, due: Due, recipients: tuple[Queued, ...], until_ms: int, reason: str) -> None:
        """Write why mail waits; if that cannot be written, the lane rests in memory."""
        indexes = [recipient.index for recipient in recipients]
        try:
            await self._spool.postpone(due.message.id, indexes, until_ms, reason)
        except RelayError:
            if self.lanes is not None:
                self.lanes.rest(due.lane, SPOOL_REST_S, "spool")
            return
        self._telemetry.count("relay_recipients_postponed", len(indexes), reason=reason)
        if self.lanes is not None:
            self.lanes.due_at(due.lane, until_ms, due.message.id)

    def spool_failed(self, job: Job) -> None:
        """Claim, intent or body failed before the dot: nothing was sent; leave the lane alone for a moment."""
        if self.lanes is not None:
            self.lanes.rest(job.due.lane, SPOOL_REST_S, "spool")

    async def unreadable(self, job: Job, error: RelayError) -> None:
        """The claimed message's body cannot be read: later when that may pass, else set aside for a person."""
        now_ms = wall_ms()
        state = RecipientState.DEFERRED if error.temporary else RecipientState.DEAD
        results = tuple(
            RecipientResult(
                index=index,
                state=state,
                reason="body_unreadable",
                next_attempt_ms=now_ms + UNREADABLE_REST_MS if error.temporary else 0,
                counts_as_attempt=False,
            )
            for index in job.indexes
        )
        await self._untried(job, results, now_ms)

    async def _untried(self, job: Job, results: tuple[RecipientResult, ...], now_ms: int) -> None:
        """Undo a claim: nothing was said to the upstream."""
        await self._written(
            Settlement(
                attempt_id=job.attempt_id,
                message_id=job.message.id,
                finished_ms=now_ms,
                results=results,
                mail_sent=False,
            )
        )
        self._tell_lane(job, results)

    def _tell_lane(self, job: Job, results: tuple[RecipientResult, ...]) -> None:
        waiting = [result.next_attempt_ms for result in results if result.state is RecipientState.DEFERRED]
        if waiting and self.lanes is not None:
            self.lanes.due_at(job.due.lane, min(waiting), job.message.id)


def _bounced(recipient: Queued, reason: str, client: str) -> RecipientResult:
    """A bounce of a bounce goes nowhere: it is dead and can be replayed (design §5.8)."""
    state = RecipientState.DEAD if client == BOUNCE_CLIENT else RecipientState.BOUNCED
    return RecipientResult(index=recipient.index, state=state, reason=reason, reply=recipient.last_reply)


def upstream_id(final: Reply | None) -> str:
    """Find the id the upstream's 250 names: ``<message-id>`` (Exchange) or ``queued as`` (Postfix and others)."""
    match = _UPSTREAM_ID.search(final.text) if final is not None and final.code // 100 == 2 else None  # noqa: PLR2004
    return (match[1] or match[2]) if match else ""
