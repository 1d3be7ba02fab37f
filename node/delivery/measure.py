"""The numbers of one attempt, as the metric catalogue names them. Reports; decides nothing."""

from collections import Counter

from node.delivery.job import Job, Judgement
from node.delivery.transaction import Course
from node.policy.envelope import RecipientState
from node.telemetry.contract import Telemetry

_MS_PER_S = 1000.0
_NS_PER_S = 1e9


def measure(telemetry: Telemetry, job: Job, course: Course, judgement: Judgement, now_ms: int) -> None:
    """Count what became of the recipients and how long it took."""
    way = job.way
    outcome = "local" if course.local else judgement.fates[-1].verdict.outcome.value if judgement.fates else "none"
    telemetry.count("relay_attempts", path=way.path, account=way.account, outcome=outcome)
    telemetry.observe("relay_attempt_seconds", max(0.0, now_ms / _MS_PER_S - job.started_ns / _NS_PER_S), path=way.path)
    telemetry.observe("relay_permit_wait_seconds", job.permit_ns / _NS_PER_S, account=way.account)
    for kind, reason in switches(job):
        telemetry.count("relay_failovers", kind=kind, path=way.path, reason=reason)
    fates = Counter((fate.result.state, fate.result.reason, fate.result.counts_as_attempt) for fate in judgement.fates)
    for (state, reason, counted), amount in fates.items():
        if state is RecipientState.DELIVERED:
            telemetry.count("relay_recipients_delivered", amount, path=way.path, account=way.account)
            seconds = max(0, now_ms - job.message.received_ms) / _MS_PER_S
            telemetry.observe("relay_delivery_seconds", seconds, priority=job.message.priority.value)
        elif state in (RecipientState.BOUNCED, RecipientState.DEAD):
            telemetry.count("relay_recipients_bounced", amount, reason=reason)
        elif state is RecipientState.UNKNOWN:
            telemetry.count("relay_recipients_unknown", amount, path=way.path)
        elif state is RecipientState.HELD:
            telemetry.count("relay_recipients_held", amount, reason=reason)
        elif counted:
            telemetry.count("relay_recipients_deferred", amount, reason=reason)
        else:
            telemetry.count("relay_recipients_postponed", amount, reason=reason)


def switches(job: Job) -> list[tuple[str, str]]:
    """Give, for each recipient tried by another way than the time before, what is another and why that failed. Pure."""
    found = []
    for one in job.recipients:
        if one.last_way and one.last_way != job.way.name:
            same_path = one.last_way.partition(":")[0] == job.way.path
            found.append(("account" if same_path else "path", one.last_reason))
    return found
