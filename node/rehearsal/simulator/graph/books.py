"""What Graph remembers: its meters by application and mailbox, copies in Sent Items, the trace."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from node.rehearsal.simulator.graph.meter import GraphMeter
from node.rehearsal.simulator.graph.sent import Copy, Outbox
from node.rehearsal.simulator.limits import GraphLimits
from node.rehearsal.simulator.receipts import Receipt


@dataclass(slots=True)
class Books:
    """All of it."""

    outbox: Outbox = field(default_factory=Outbox)
    drafts: dict[str, Any] = field(default_factory=dict)
    """By id; see drafts.py."""
    meters: dict[tuple[str, str], GraphMeter] = field(default_factory=dict)
    _requests: int = 0

    def meter(self, limits: GraphLimits, client: str, mailbox: str) -> GraphMeter:
        """Give the meter of an application at a mailbox; both exist, so there are not many."""
        return self.meters.setdefault((client, mailbox), GraphMeter(limits))

    def next_request(self) -> int:
        """Number a submission; below zero, as sessions by SMTP count upwards."""
        self._requests += 1
        return -self._requests

    def taken(self, receipt: Receipt, tenant: str, *, keeps_copy: bool) -> None:
        """Hear of a message of a tenant's taken by SMTP."""
        if keeps_copy:
            copy = Copy(
                number=self.outbox.number(),
                at_ms=receipt.at_ms,
                message_id=receipt.message_id,
                head=receipt.headers,
                recipients=tuple(receipt.recipients),
            )
            self.outbox.keep(receipt.account, copy)
        if tenant:
            sender = receipt.sender or receipt.account
            self.outbox.trace(tenant, receipt.at_ms, receipt.message_id, sender, receipt.recipients)

    def report(self) -> dict[str, Any]:
        """Give the figures for the statistics, by ``application mailbox``."""
        return {f"{client} {mailbox}": meter.report() for (client, mailbox), meter in self.meters.items()}

    def violations(self) -> Counter[str]:
        """Give every limit exceeded."""
        found: Counter[str] = Counter()
        for meter in self.meters.values():
            found.update(meter.violations)
        return found
