"""The spans of one attempt (design §8): queue, permit, connect, auth, transfer inside ``relay.attempt``.

Within five minutes of acceptance an attempt is a child of the message's own span; later ones begin a trace of their
own, linked to the acceptance, so that no trace stays open for days. Each is linked to the attempt before. Whatever
share of traces is recorded, these always are: what fails, what waited long for a permit, what was tried before.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from node.delivery.clock import wall_ns
from node.delivery.job import Job, Judged, Judgement
from node.delivery.transaction import Course
from node.policy.envelope import RecipientState
from node.spool.contract import Due
from node.telemetry.bounces import bounce_span
from node.telemetry.context import parse, recorded, render
from node.telemetry.contract import AttributeValue, FinishedSpan, Followed, SpanEvent, Telemetry, TraceContext

LONG_WAIT_NS: Final = 10_000_000_000
"""Waits for a permit from here on are recorded whatever share of traces is."""
_PER_MS: Final = 1_000_000
Digest = Callable[[str], str]
"""Keyed hash of a Message-ID or address."""
Epoch = Callable[[int], int]
"""Epoch of the pairing with a number; 0 for mail that is here alone."""


def _plain(_text: str) -> str:
    return ""


def _alone(_number: int) -> int:
    return 0


class Tracer:
    """Reports the spans of attempts and bounces."""

    def __init__(
        self,
        telemetry: Telemetry,
        node: str,
        digest: Digest | None,
        *,
        addresses: bool = False,
        epoch: Epoch = _alone,
    ) -> None:
        """``digest`` hides Message-IDs; ``addresses`` puts envelope addresses into spans (off by default)."""
        self.telemetry = telemetry
        self._epoch = epoch
        self._node = node
        self._digest = digest or _plain
        self._addresses = addresses

    def begin(self, due: Due, now_ms: int) -> TraceContext:
        """Make the context of an attempt for these recipients."""
        context = self.telemetry.follow(due.message.traceparent, due.message.received_ms, now_ms).context
        before = parse(due.last_traceparent)
        again = any(one.attempts or one.last_reason for one in due.recipients)
        return recorded(context) if again or (before is not None and before.sampled) else context

    def render(self, context: TraceContext) -> str:
        """Write a context down."""
        return render(context)

    def attempt(self, job: Job, course: Course | None, judgement: Judgement, transfer_ns: tuple[int, int]) -> None:
        """Report an attempt that ended, with everything inside it."""
        end_ns = wall_ns()
        failed = next((fate.verdict.reason for fate in judgement.fates if fate.reply.code // 100 != 2), "")  # noqa: PLR2004
        if failed or job.permit_ns >= LONG_WAIT_NS:
            job.context = recorded(job.context)
        place = self._place(job)
        attributes = self._attributes(job, course, judgement)
        if failed:
            attributes["error.type"] = failed
        self._queued(job, place)
        self._child(job, "relay.permit", job.started_ns - job.permit_ns, job.started_ns)
        for phase in job.place.phases:
            about = {"error.type": phase.error, **phase.attributes} if phase.error else phase.attributes
            self._child(job, phase.name, phase.start_ns, phase.end_ns or end_ns, about, error=phase.error)
        if transfer_ns[0]:
            self._child(job, "relay.transfer", *transfer_ns)
        self.telemetry.span(
            FinishedSpan(
                name="relay.attempt",
                context=job.context,
                parent_span_id=place.parent_span_id,
                start_ns=job.started_ns - job.permit_ns,
                end_ns=end_ns,
                attributes=attributes,
                links=place.links,
                events=_put_off(judgement.fates, end_ns),
                kind="client",
                error=failed,
            )
        )

    @staticmethod
    def _place(job: Job) -> Followed:
        """Find where ``begin`` put the attempt, and what it is linked to."""
        accepted, before = parse(job.message.traceparent), parse(job.due.last_traceparent)
        inside = accepted is not None and accepted.trace_id == job.context.trace_id
        links = (before if before is not None and before != accepted else None, None if inside else accepted)
        return Followed(
            context=job.context,
            parent_span_id=accepted.span_id if inside and accepted is not None else 0,
            links=tuple(link for link in reversed(links) if link is not None),
        )

    def _queued(self, job: Job, place: Followed) -> None:
        """Beside an attempt in the trace of the acceptance, else inside the attempt."""
        context = self.telemetry.child(job.context)
        self.telemetry.span(
            FinishedSpan(
                name="relay.queue",
                context=context,
                parent_span_id=place.parent_span_id or job.context.span_id,
                start_ns=min(job.ready_ns, job.started_ns),
                end_ns=job.started_ns,
                attributes={"relay.queue_id": job.message.id},
            )
        )

    def _child(
        self,
        job: Job,
        name: str,
        start_ns: int,
        end_ns: int,
        attributes: dict[str, AttributeValue] | None = None,
        *,
        error: str = "",
    ) -> None:
        self.telemetry.span(
            FinishedSpan(
                name=name,
                context=self.telemetry.child(job.context),
                parent_span_id=job.context.span_id,
                start_ns=start_ns,
                end_ns=end_ns,
                attributes=attributes or {},
                error=error,
            )
        )

    def _attributes(self, job: Job, course: Course | None, judgement: Judgement) -> dict[str, AttributeValue]:
        message = job.message
        attributes: dict[str, AttributeValue] = {
            "relay.queue_id": message.id,
            "relay.attempt_id": job.attempt_id,
            "relay.node": self._node,
            "relay.epoch": self._epoch(job.due.pairing),
            "relay.client": message.client,
            "relay.path": job.way.path,
            "relay.account": job.way.account,
            "relay.rank": job.way.rank,
            "relay.outside_tenant": not job.way.inside_tenant,
            "relay.recipients": len(job.recipients),
            "relay.message_id_hash": self._digest(message.message_id),
        }
        before = job.recipients[0].last_way
        if before not in ("", job.way.name):
            attributes["relay.way_before"] = before
        if judgement.fates:
            last = judgement.fates[-1]
            attributes["relay.reply_code"] = last.reply.code
            attributes["relay.enhanced_code"] = last.reply.enhanced
            attributes["relay.reason"] = last.verdict.reason
            attributes["relay.scope"] = last.verdict.scope.value
        if course is not None:
            attributes["relay.stage"] = course.stage.value
        if self._addresses:
            attributes["relay.sender"] = message.mail_from
            attributes["relay.to"] = ", ".join(recipient.address for recipient in job.recipients[:100])
        return attributes

    def reporting(self, due: Due, now_ms: int) -> Followed:
        """Make the place of ``relay.bounce``, which the report's own spans follow; always recorded."""
        message = due.message
        place = self.telemetry.follow(message.traceparent, message.received_ms, now_ms, due.last_traceparent)
        return msgspec.structs.replace(place, context=recorded(place.context))

    def bounce(self, place: Followed, due: Due, report_id: str, start_ns: int) -> None:
        """Report that a delivery report was put into the queue."""
        self.telemetry.span(bounce_span(place, due.message.id, report_id, self._node, start_ns, wall_ns()))


def _put_off(fates: Sequence[Judged], at_ns: int) -> tuple[SpanEvent, ...]:
    """Tell until when those are put off that are, the first of them due again."""
    due_ms = [one.result.next_attempt_ms for one in fates if one.result.state is RecipientState.DEFERRED]
    if not due_ms:
        return ()
    wait_s = max(0, min(due_ms) - at_ns // _PER_MS) / 1000
    return (
        SpanEvent(
            name="relay.deferred", at_ns=at_ns, attributes={"relay.recipients": len(due_ms), "relay.retry_in_s": wait_s}
        ),
    )
