"""Who hears that mail bounced later: the sender, where nobody else's report reaches him, and the client's owner.

By submission and Graph Microsoft's own report lies in the sender's mailbox already. Where the return path was ours it
came here instead, so a report of ours takes its place. The owner hears of both, in one digest an hour.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import uuid_utils

from node.errors import RelayError
from node.policy.bounce_target import BOUNCE_CLIENT, bounce_target, wanted
from node.policy.dsn import Reported
from node.policy.dsn import Reporter as Author
from node.policy.dsn_text import Action
from node.policy.envelope import NewMessage
from node.policy.report import written
from node.policy.return_path import PATHS
from node.policy.suppression import Rules, counts
from node.settings.mail import Plan
from node.spool.contract import Accepted, MessageView, RecipientResult
from node.telemetry.context import render
from node.telemetry.contract import Followed, Telemetry, TraceContext
from node.truth.contract import Append, Came, Claim
from node.truth.match import Match
from node.truth.news import News
from node.truth.tracing import NdrTracer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is told from; replaced as a whole by a reload."""

    hostname: str
    senders: Mapping[str, str]
    """From of reports, by tenant."""
    domains: Mapping[str, frozenset[str]]
    """Accepted domains in lower case, by tenant."""
    plans: Mapping[str, Plan] = field(default_factory=dict)
    fallback: str = ""
    suppression: Rules = field(default_factory=Rules)


class Teller:
    """Tells. One for the room."""

    def __init__(
        self,
        telling: Telling,
        news: News,
        append: Append,
        telemetry: Telemetry,
        woken: Callable[[NewMessage], None],
        *,
        tracer: NdrTracer,
    ) -> None:
        """``append`` keeps reports; ``woken`` hears that one waits."""
        self.telling, self._tracer = telling, tracer
        self._news, self._append, self._telemetry, self._woken = news, append, telemetry, woken

    async def tell(
        self,
        view: MessageView,
        found: Sequence[Match],
        results: Sequence[RecipientResult],
        claim: Claim,
        now_ms: int,
        context: TraceContext,
    ) -> None:
        """Tell of recipients that are bounced now. What cannot be told is logged: the journey has it.

        ``context``: of the span ``relay.ndr``, which the report's own spans follow.
        """
        message = view.message
        if message.client == BOUNCE_CLIENT:
            return
        try:
            await self._note(message, found, results, now_ms)
            if _ours(found, message, claim.came):
                await self._report(message, found, results, claim.notice.header, now_ms, context)
        except RelayError as error:
            _log.warning("nobody could be told that %s bounced later: %s", message.id, error)

    async def _note(
        self, message: NewMessage, found: Sequence[Match], results: Sequence[RecipientResult], now_ms: int
    ) -> None:
        owner = message.owner or self.telling.fallback
        if owner:
            await self._news.add(message, [one.queued.address for one in found], results, owner, now_ms)
        rules = self.telling.suppression
        hard = [
            (one.queued.address, result.reason)
            for one, result in zip(found, results, strict=True)
            if counts(result.reason, rules)
        ]
        if hard:
            await self._news.failed(hard, rules, now_ms)

    async def _report(
        self,
        message: NewMessage,
        found: Sequence[Match],
        results: Sequence[RecipientResult],
        header: bytes,
        now_ms: int,
        context: TraceContext,
    ) -> None:
        telling = self.telling
        domains = telling.domains.get(message.tenant, frozenset())
        plan = telling.plans.get(message.plan)
        bounces = plan.bounces if plan is not None else "sender"
        target = bounce_target(message, [one.queued for one in found], domains, "", bounces, None).address
        sender = telling.senders.get(message.tenant, "")
        # The owner gets a digest; a report goes to nobody but the sender.
        if bounces != "sender" or target != message.mail_from or not target or not sender:
            return
        told = [
            (one, result)
            for one, result in zip(found, results, strict=True)
            if wanted(one.queued.notify, Action.FAILED)
        ]
        place = Followed(context=self._telemetry.child(context), parent_span_id=context.span_id)
        await self._keep(message, told, sender, target, header, now_ms, place)

    async def _keep(
        self,
        message: NewMessage,
        told: Sequence[tuple[Match, RecipientResult]],
        sender: str,
        target: str,
        header: bytes,
        now_ms: int,
        place: Followed,
    ) -> None:
        start_ns = time.time_ns()
        reported = [
            Reported(
                address=one.queued.original or one.queued.address,
                action=Action.FAILED,
                reason=result.reason,
                reply=result.reply,
                orcpt=one.queued.orcpt,
                remote=one.returned.remote,
            )
            for one, result in told
        ]
        envelope, body = written(
            message,
            reported,
            header,
            reporter=Author(hostname=self.telling.hostname, sender=sender),
            target=target,
            report_id=str(uuid_utils.uuid7()),
            tenant_domains=self.telling.domains.get(message.tenant, frozenset()),
            now_ms=now_ms,
            traceparent=render(place.context),
        )
        await self._append(Accepted(message=envelope, body=body))
        self._telemetry.count("relay_bounces_written")
        self._tracer.bounce(place, message.id, envelope.id, start_ns)
        self._woken(envelope)


def _ours(found: Sequence[Match], message: NewMessage, came: Came) -> bool:
    """Tell whether the return path was ours, so that no report but this one reaches the sender."""
    if came.mailbox.lower() in (message.mail_from.lower(), message.header_from.lower()) and came.mailbox:
        return False  # it lies in his own mailbox
    return any(one.queued.last_way.partition(":")[0] in PATHS for one in found)
