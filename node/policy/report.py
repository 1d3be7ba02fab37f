"""A delivery report as the queue takes it: text and envelope made together, since each needs the other. Pure."""

from collections.abc import Collection, Sequence

from node.policy import dsn
from node.policy.bounce_target import report_envelope
from node.policy.envelope import NewMessage


def written(
    message: NewMessage,
    reported: Sequence[dsn.Reported],
    original: bytes,
    *,
    reporter: dsn.Reporter,
    target: str,
    report_id: str,
    tenant_domains: Collection[str],
    now_ms: int,
    traceparent: str = "",
) -> tuple[NewMessage, bytes]:
    """Write a report and its envelope; arguments and errors as of ``dsn.build_report`` and ``report_envelope``."""
    report = dsn.build_report(
        message, reported, original, reporter=reporter, target=target, report_id=report_id, now_ms=now_ms
    )
    envelope = report_envelope(
        message,
        target=target,
        sender=reporter.sender,
        report_id=report_id,
        message_id=report.message_id,
        size_bytes=len(report.data),
        eight_bit=report.eight_bit,
        smtputf8=report.smtputf8,
        tenant_domains=tenant_domains,
        now_ms=now_ms,
        traceparent=traceparent,
    )
    return envelope, report.data
