"""Delivery reports: asks policy who may be told and what it says, and puts the report into the spool as a new message.

Knows where to get the original's header and how to append; the text, the addressee and the rule that nobody is told
about a report are policy's (node/policy/dsn.py, bounce_target.py).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uuid_utils

from node.delivery.clock import wall_ns
from node.delivery.job import Judged
from node.delivery.second import Second
from node.delivery.tracing import Tracer
from node.errors import RelayError
from node.policy import dsn
from node.policy.bounce_target import bounce_target, wanted
from node.policy.dsn import Reported
from node.policy.dsn import Reporter as Author
from node.policy.dsn_text import Action
from node.policy.envelope import NewMessage, RecipientState, lane_of
from node.policy.report import written
from node.settings.mail import Plan
from node.spool.contract import Accepted, Due, Queued, Spool
from node.telemetry.context import render


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """What reports are made from; replaced as a whole by a reload."""

    hostname: str
    senders: Mapping[str, str]
    """From of reports, by tenant."""
    domains: Mapping[str, frozenset[str]]
    """Accepted domains in lower case, by tenant."""
    plans: Mapping[str, Plan] = field(default_factory=dict)
    fallback: str | None = None


class Reporter:
    """Writes reports. One for the room."""

    def __init__(
        self, spool: Spool, second: Second, reporting: Reporting, tracer: Tracer, woken: Callable[[str], None]
    ) -> None:
        """``second`` keeps the reports; ``woken`` hears in which lane one waits."""
        self._spool, self._second = spool, second
        self.reporting = reporting
        self._tracer = tracer
        self._woken = woken

    async def undeliverable(self, due: Due, fates: Sequence[Judged], now_ms: int) -> bool:
        """Report the recipients judged undeliverable; False when the report could not be made durable."""
        failed = [fate for fate in fates if fate.result.state is RecipientState.BOUNCED]
        if not failed:
            return True
        reported = [
            Reported(
                address=fate.recipient.original or fate.recipient.address,
                action=Action.FAILED,
                reason=fate.verdict.reason,
                reply=fate.result.reply if fate.reply.code else "",
                orcpt=fate.recipient.orcpt,
                last_attempt_ms=now_ms,
            )
            for fate in failed
        ]
        return await self._report(due, [fate.recipient for fate in failed], reported, now_ms)

    async def given_up(
        self, due: Due, recipients: Sequence[Queued], reason: str, now_ms: int, *, why: str = ""
    ) -> bool:
        """Report recipients that failed without a last attempt: expired, too large, outcome unknown."""
        reported = [
            Reported(
                address=recipient.original or recipient.address,
                action=Action.FAILED,
                reason=reason,
                reply=recipient.last_reply or why,
                orcpt=recipient.orcpt,
            )
            for recipient in recipients
        ]
        return await self._report(due, recipients, reported, now_ms)

    async def relayed(self, due: Due, delivered: Sequence[tuple[Queued, str]], now_ms: int) -> bool:
        """Tell who asked for it that mail went on to a server that reports no success (RFC 3461 §5.2.2).

        ``delivered``: recipients with what the server said.
        """
        told = [(one, reply) for one, reply in delivered if wanted(one.notify, Action.RELAYED)]
        if not told:
            return True
        reported = [
            Reported(
                address=recipient.original or recipient.address,
                action=Action.RELAYED,
                reply=reply,
                orcpt=recipient.orcpt,
                last_attempt_ms=now_ms,
            )
            for recipient, reply in told
        ]
        recipients = [recipient for recipient, _ in told]
        return await self._report(due, recipients, reported, now_ms, action=Action.RELAYED)

    async def _report(
        self,
        due: Due,
        recipients: Sequence[Queued],
        reported: Sequence[Reported],
        now_ms: int,
        *,
        action: Action = Action.FAILED,
    ) -> bool:
        message, reporting = due.message, self.reporting
        domains = reporting.domains.get(message.tenant, frozenset())
        plan = reporting.plans.get(message.plan)
        target = bounce_target(
            message,
            recipients,
            domains,
            message.owner,
            plan.bounces if plan is not None else "sender",
            reporting.fallback,
            action=action,
        )
        sender = reporting.senders.get(message.tenant, "")
        if target.address is None or not sender:
            return True
        told = [item for item, recipient in zip(reported, recipients, strict=True) if wanted(recipient.notify, action)]
        start_ns, place = wall_ns(), self._tracer.reporting(due, now_ms)
        try:
            item = await self._written(message, told, sender, target.address, domains, now_ms, render(place.context))
            await self._second.append(item)
        except (RelayError, OSError):
            # The recipient stays waiting until its report can be kept; a bounce nobody hears of is a loss.
            return False
        self._tracer.telemetry.count("relay_bounces_written")
        self._tracer.bounce(place, due, item.message.id, start_ns)
        self._woken(lane_of(item.message, item.message.recipients[0].direction))
        return True

    async def _written(
        self,
        message: NewMessage,
        told: Sequence[Reported],
        sender: str,
        target: str,
        domains: frozenset[str],
        now_ms: int,
        traceparent: str,
    ) -> Accepted:
        envelope, body = written(
            message,
            told,
            await self._original(message),
            reporter=Author(hostname=self.reporting.hostname, sender=sender),
            target=target,
            report_id=str(uuid_utils.uuid7()),
            tenant_domains=domains,
            now_ms=now_ms,
            traceparent=traceparent,
        )
        return Accepted(message=envelope, body=body)

    async def _original(self, message: NewMessage) -> bytes:
        """Read the original, or as much of it as a report can hold."""
        body = await self._spool.body(message.id)
        return await asyncio.to_thread(_beginning, body) if isinstance(body, Path) else body


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(dsn.MAX_FULL_BYTES + 1)
