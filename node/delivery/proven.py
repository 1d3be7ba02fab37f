"""Writes what looking for mail of unknown outcome has shown: delivered, sent again, or held for a person."""

from collections import defaultdict

from node.delivery.clock import wall_ms
from node.delivery.reporter import Reporter
from node.delivery.settle import Lanes
from node.errors import RelayError
from node.policy.envelope import RecipientState
from node.policy.verify import VerifyStep
from node.spool.contract import Due, Queued, RecipientResult, Spool
from node.telemetry.contract import Telemetry

_EVENTS = {
    RecipientState.DELIVERED: "delivered",
    RecipientState.QUEUED: "resent",
    RecipientState.HELD: "held",
}
"""What the journey says of each."""
_WITHOUT_REPORTS = "graph"
"""Path that takes no wishes for reports of success: they are ours to write (RFC 3461 §5.2.2)."""


class Proven:
    """Writes outcomes of look-ups."""

    def __init__(self, spool: Spool, reporter: Reporter, telemetry: Telemetry) -> None:
        """Write to this spool."""
        self._spool = spool
        self._reporter = reporter
        self._telemetry = telemetry
        self.lanes: Lanes | None = None

    async def write(self, due: Due, way: str, steps: list[tuple[Queued, VerifyStep]]) -> None:
        """Write each recipient's step; what cannot be written stays unknown, and the sweep offers it again."""
        by_step: defaultdict[VerifyStep, list[Queued]] = defaultdict(list)
        for recipient, step in steps:
            by_step[step].append(recipient)
        for step, recipients in by_step.items():
            await self._write(due, way, step, recipients)

    async def _write(self, due: Due, way: str, step: VerifyStep, recipients: list[Queued]) -> None:
        now_ms, state = wall_ms(), step.state
        if state is None:
            return
        path, _, account = way.partition(":")
        delivered = state is RecipientState.DELIVERED
        if delivered and path == _WITHOUT_REPORTS:
            # Before the outcome: afterwards the body, and with it the header to return, is gone.
            await self._reporter.relayed(due, [(one, "") for one in recipients], now_ms)
        results = [
            RecipientResult(
                index=one.index,
                state=state,
                reason=step.reason,
                reply=one.last_reply,
                next_attempt_ms=now_ms if state is RecipientState.QUEUED else 0,
            )
            for one in recipients
        ]
        try:
            await self._spool.finish(due.message.id, results, now_ms, _EVENTS[state])
        except (RelayError, ValueError):
            # Gone or changed meanwhile (an operator), or the spool is ill.
            return
        self._telemetry.count("relay_verifications", len(results), path=path, outcome=state.value)
        if delivered:
            self._telemetry.count("relay_recipients_delivered", len(results), path=path, account=account)
        elif state is RecipientState.HELD:
            self._telemetry.count("relay_recipients_held", len(results), reason=step.reason)
        elif self.lanes is not None:
            self.lanes.due_at(due.lane, now_ms)
