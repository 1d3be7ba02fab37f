"""One report from its octets to what it changes: read, matched, written down, told. What fits nothing is kept aside.

Order as for every outcome: durable in the spool first, then the news of it, so that a crash between repeats nothing:
a recipient that is bounced already is not bounced again. Raises only what the spool raises: then the report was not
dealt with and must come again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from node.policy.classify import Classifier
from node.policy.envelope import RecipientState
from node.policy.ndr.read import read_notice
from node.policy.ndr.values import NoNotice, Notice
from node.policy.reply import Stage
from node.policy.return_path import ReturnPath
from node.policy.verdict import Scope, Verdict
from node.spool.contract import Filter, MessageView, RecipientResult
from node.spool.outcomes import BOUNCED_LATER
from node.telemetry.contract import Telemetry
from node.truth.aside import Aside
from node.truth.contract import (
    HOW_FAR,
    NOT_YET,
    WINDOW_MS,
    Answers,
    Came,
    Claim,
    Elsewhere,
    Judged,
    Learn,
    Ledger,
    Outcome,
)
from node.truth.errors import NotNow
from node.truth.match import Match, failures, matches
from node.truth.telling import Teller
from node.truth.tracing import NdrTracer
from node.truth.waiting import Waiting

SMALL_BYTES: Final = 64 << 10
"""Larger reports are read in a thread."""
LOOKED_AT: Final = 20
"""Recipients of one report by which messages are looked for, and messages looked at for each."""
PAGE: Final = 1_000
PAGES_MAX: Final = 20
"""Pages of what went to one address in which a Message-ID is looked for."""
WIDE: Final = frozenset({Scope.ACCOUNT, Scope.ACCOUNT_FROM, Scope.TENANT, Scope.PATH})


class Desk:
    """Judges reports. One for the node."""

    def __init__(
        self,
        ledger: Ledger,
        aside: Aside,
        waiting: Waiting,
        teller: Teller,
        telemetry: Telemetry,
        *,
        now_ms: Callable[[], int],
        tracer: NdrTracer,
    ) -> None:
        """Keep the parts; ``path``, ``classifier``, ``learn`` and ``elsewhere`` are set by who knows them."""
        self._ledger, self._aside, self._waiting, self._teller = ledger, aside, waiting, teller
        self._telemetry = telemetry
        self._now_ms, self._tracer = now_ms, tracer
        self.path: ReturnPath | None = None
        self.classifier = Classifier()
        self.learn: Learn | None = None
        self.elsewhere: Elsewhere | None = None
        self.usable: Callable[[], bool] = _always
        """Whether the spool is in use now: what stands in an old copy of it is not the truth."""

    async def take(self, data: bytes, came: Came) -> Judged:
        """Deal with one message; raises NotNow, and what the spool raises: then it must come again."""
        if not self.usable():
            raise NotNow("the spool is not in use now")
        read = read_notice if len(data) <= SMALL_BYTES else None
        notice = read(data) if read is not None else await asyncio.to_thread(read_notice, data)
        at_ms = self._now_ms()
        if isinstance(notice, NoNotice):
            judged = Judged(outcome=Outcome.NO_REPORT, why=notice.why)
        else:
            claim = Claim(notice=notice, came=came, at_ms=at_ms)
            judged = await self.judge(claim)
            if judged.outcome is Outcome.WAITING:
                await self._waiting.keep(data, claim, judged)
        self.count(judged.outcome, came)
        if judged.outcome in KEPT and not (judged.outcome is Outcome.NO_REPORT and came.mailbox):
            await self._aside.keep(data, judged, came, at_ms)
        return judged

    def count(self, outcome: Outcome, came: Came) -> None:
        """Count a report by what became of it."""
        self._telemetry.count("relay_reports", outcome=outcome.value, came=came.where)

    async def judge(self, claim: Claim) -> Judged:
        """Judge a report by what any node has; raises as ``take``."""
        if not failures(claim.notice):
            return Judged(outcome=Outcome.OTHER)
        here = await self.settle(claim)
        if here.outcome in KNOWN or self.elsewhere is None:
            return best_of(here, Answers())
        return best_of(here, await self.elsewhere(claim))

    async def settle(self, claim: Claim) -> Judged:
        """Judge a report by what this node has, and write down what fits; raises as ``take``."""
        if not self.usable():
            raise NotNow("the spool is not in use now")
        notice, came, at_ms = claim.notice, claim.came, claim.at_ms or self._now_ms()
        addresses = (came.address,) if came.address else notice.addressed
        keyed = self._keyed(addresses)
        if keyed:
            views = [await self._ledger.journey(keyed)]
        elif self._is_return(addresses):
            return Judged(outcome=Outcome.FORGED)
        else:
            views = await self._candidates(notice, at_ms)
        return await self._best(views, claim, at_ms, keyed=bool(keyed))

    async def _best(self, views: Sequence[MessageView | None], claim: Claim, at_ms: int, *, keyed: bool) -> Judged:
        """Take the first message that fits; of none, tell how far the best one got."""
        reasons = ["message"]
        for view in views:
            found, why = matches(view, claim.notice, claim.came, at_ms, keyed=keyed)
            if found and view is not None:
                await self._written(view, found, claim, self._now_ms())
                return Judged(outcome=Outcome.MATCHED, message_id=view.message.id, recipients=len(found))
            if why == "repeated" and view is not None:
                return Judged(outcome=Outcome.REPEATED, message_id=view.message.id)
            reasons.append(why)
        return Judged(outcome=Outcome.UNMATCHED, why=max(reasons, key=HOW_FAR.index))

    def _keyed(self, addresses: Sequence[str]) -> str:
        """Give the message a return address among these was made for."""
        if self.path is None:
            return ""
        return next((found for found in map(self.path.read, addresses) if found), "")

    def _is_return(self, addresses: Sequence[str]) -> bool:
        """Tell whether it went to a return address, then without a key that holds."""
        return self.path is not None and any(self.path.addresses.token_of(address) for address in addresses)

    async def _candidates(self, notice: Notice, at_ms: int) -> list[MessageView | None]:
        """Look for the message by our own Received field, then by recipient and Message-ID; oldest delivery first."""
        found: dict[str, MessageView | None] = {}
        for queue_id in notice.queue_ids:
            found[queue_id] = await self._ledger.journey(queue_id)
        for address in [one.final or one.original for one in failures(notice)][:LOOKED_AT]:
            for view in await self._by_recipient(address, notice, at_ms):
                if view.message.id not in found:
                    found[view.message.id] = await self._ledger.journey(view.message.id)
        return list(found.values())

    async def _by_recipient(self, address: str, notice: Notice, at_ms: int) -> list[MessageView]:
        """Look through what went to an address, newest first, until a page holds one of the ids."""
        if not address or not notice.message_ids:
            return []
        which, place = Filter(recipient=address, since_ms=at_ms - 2 * WINDOW_MS, limit=PAGE), None
        for _ in range(PAGES_MAX):
            page = await self._ledger.page(which, place)
            named = [view for view in page.messages if view.message.message_id in notice.message_ids]
            place = page.looked_to
            if named or place is None:
                return named[::-1][:LOOKED_AT]
        return []

    async def _written(self, view: MessageView, found: Sequence[Match], claim: Claim, now_ms: int) -> None:
        start_ns = self._tracer.now_ns()
        verdicts = [self._verdict(one) for one in found]
        results = [_result(one, verdict) for one, verdict in zip(found, verdicts, strict=True)]
        await self._ledger.finish(view.message.id, results, now_ms, BOUNCED_LATER)
        for one, verdict in zip(found, verdicts, strict=True):
            path = one.queued.last_way.partition(":")[0]
            self._telemetry.count("relay_recipients_bounced_later", path=path, reason=verdict.reason)
            self._heard(view, one, verdict, claim)
        context = self._tracer.ndr(view, claim.came, results, start_ns)
        await self._teller.tell(view, found, results, claim, now_ms, context)

    def _verdict(self, match: Match) -> Verdict:
        path = match.queued.last_way.partition(":")[0]
        return self.classifier.classify(path, Stage.NDR, match.returned.reply)

    def _heard(self, view: MessageView, match: Match, verdict: Verdict, claim: Claim) -> None:
        """Let an account or tenant rest only on the organisation's own word: a recipient knows enough to forge one."""
        if self.learn is not None and verdict.scope in WIDE and claim.came.mailbox and claim.notice.inside:
            self.learn(view, match.queued.last_way, verdict)


def _how_far(why: str) -> int:
    return HOW_FAR.index(why) if why in HOW_FAR else -1  # of a node of another version


def _always() -> bool:
    return True


KEPT: Final = frozenset({Outcome.FORGED, Outcome.UNMATCHED, Outcome.NO_REPORT})
KNOWN: Final = frozenset({Outcome.MATCHED, Outcome.REPEATED})


def best_of(here: Judged, others: Answers) -> Judged:
    """Give the judgement that counts; where none fits yet and one may, the report waits."""
    every = (here, *others.judged)
    matched = [one for one in every if one.outcome is Outcome.MATCHED]
    if matched:
        return msgspec.structs.replace(matched[0], recipients=sum(one.recipients for one in matched))
    repeated = next((one for one in every if one.outcome is Outcome.REPEATED), None)
    if repeated is not None:
        return repeated
    unmatched = [one for one in every if one.outcome is Outcome.UNMATCHED]
    best = max(unmatched, key=lambda one: _how_far(one.why), default=here)
    if best.outcome is Outcome.UNMATCHED and best.why == NOT_YET:
        return msgspec.structs.replace(best, outcome=Outcome.WAITING)
    return Judged(outcome=Outcome.WAITING, why="silent") if others.silent else best


def _result(match: Match, verdict: Verdict) -> RecipientResult:
    return RecipientResult(
        index=match.queued.index,
        state=RecipientState.BOUNCED,
        reason=verdict.reason,
        reply=str(match.returned.reply),
        stage=Stage.NDR.value,
        scope=verdict.scope.value,
        counts_as_attempt=False,
    )
