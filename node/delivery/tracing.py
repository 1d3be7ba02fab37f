"""The spans of one attempt (design §8): queue, permit, connect, auth, transfer inside ``relay.attempt``.

Within five minutes of acceptance an attempt is a child of the message's own span; later ones begin a trace of their
own, linked to the acceptance and to the attempt before, so that no trace stays open for days.
"""

from collections.abc import Callable

from node.delivery.clock import wall_ns
from node.delivery.job import Job, Judgement
from node.delivery.transaction import Course
from node.spool.contract import Due
from node.telemetry.context import CHILD_FOR_MS, parse, render
from node.telemetry.contract import AttributeValue, FinishedSpan, Telemetry, TraceContext

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
        accepted = parse(due.message.traceparent)
        if accepted is not None and now_ms - due.message.received_ms <= CHILD_FOR_MS:
            return self.telemetry.child(accepted)
        return self.telemetry.root()

    def render(self, context: TraceContext) -> str:
        """Write a context down."""
        return render(context)

    def attempt(self, job: Job, course: Course | None, judgement: Judgement, transfer_ns: tuple[int, int]) -> None:
        """Report an attempt that ended, with everything inside it."""
        end_ns = wall_ns()
        accepted = parse(job.message.traceparent)
        inside = accepted is not None and accepted.trace_id == job.context.trace_id
        attributes = self._attributes(job, course, judgement)
        self._queued(job, attributes, inside=inside)
        self._child(job, "relay.permit", job.started_ns - job.permit_ns, job.started_ns)
        for phase in job.place.phases:
            self._child(job, phase.name, phase.start_ns, phase.end_ns or end_ns, error=phase.error)
        if transfer_ns[0]:
            self._child(job, "relay.transfer", *transfer_ns)
        failed = next((fate.verdict.reason for fate in judgement.fates if fate.reply.code // 100 != 2), "")  # noqa: PLR2004
        self.telemetry.span(
            FinishedSpan(
                name="relay.attempt",
                context=job.context,
                parent_span_id=accepted.span_id if inside and accepted else 0,
                start_ns=job.started_ns - job.permit_ns,
                end_ns=end_ns,
                attributes=attributes,
                links=() if inside else self._links(job),
                kind="client",
                error=failed,
            )
        )

    def _queued(self, job: Job, attributes: dict[str, AttributeValue], *, inside: bool) -> None:
        accepted = parse(job.message.traceparent)
        parent = accepted if inside and accepted is not None else job.context
        self.telemetry.span(
            FinishedSpan(
                name="relay.queue",
                context=self.telemetry.child(parent),
                parent_span_id=parent.span_id,
                start_ns=min(job.ready_ns, job.started_ns),
                end_ns=job.started_ns,
                attributes={"relay.queue_id": attributes["relay.queue_id"]},
            )
        )

    def _child(self, job: Job, name: str, start_ns: int, end_ns: int, *, error: str = "") -> None:
        self.telemetry.span(
            FinishedSpan(
                name=name,
                context=self.telemetry.child(job.context),
                parent_span_id=job.context.span_id,
                start_ns=start_ns,
                end_ns=end_ns,
                error=error,
            )
        )

    def _links(self, job: Job) -> tuple[TraceContext, ...]:
        found = (parse(job.message.traceparent), parse(job.due.last_traceparent))
        return tuple(context for context in found if context is not None)

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
            "relay.outside_tenant": not job.way.inside_tenant,
            "relay.recipients": len(job.recipients),
            "relay.message_id_hash": self._digest(message.message_id),
        }
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

    def bounce(self, due: Due, report_id: str, start_ns: int) -> None:
        """Report that a delivery report was put into the queue."""
        parent = parse(due.message.traceparent)
        context = self.telemetry.child(parent) if parent else self.telemetry.root()
        self.telemetry.span(
            FinishedSpan(
                name="relay.bounce",
                context=context,
                parent_span_id=parent.span_id if parent else 0,
                start_ns=start_ns,
                end_ns=wall_ns(),
                attributes={"relay.queue_id": due.message.id, "relay.report_id": report_id, "relay.node": self._node},
            )
        )
