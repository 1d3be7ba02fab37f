"""One mail transaction in progress: the envelope, and its place in the account's meters."""

from dataclasses import dataclass, field
from typing import Any

from node.rehearsal.simulator.chronicle import NOTHING, Operation
from node.rehearsal.simulator.content import Content
from node.rehearsal.simulator.meters import Meter


@dataclass(slots=True, kw_only=True)
class Transaction:
    """From MAIL to the answer to its end."""

    sender: str
    smtputf8: bool
    meter: Meter | None = None
    submission: Any = None
    """The meter's own note of it."""
    tenant: str = ""
    """Id of the tenant it belongs to, as far as the MX knows."""
    attribution: str = ""
    """By which right the MX takes it: ``connector``, ``direct-send`` or ``internet``."""
    recipients: list[str] = field(default_factory=list)
    content: Content | None = None
    """Chunks so far, when BDAT is used."""
    operation: Operation = NOTHING
    """Its number in the history."""
    sent_data: bool = False
    """Content was asked for: from now on the service may have counted the message."""

    def abandon(self, now_s: float) -> None:
        """It ends without an answer: forgotten before DATA, counted by the rate after it (operations A5)."""
        if self.meter is None or self.submission is None:
            return
        if self.sent_data:
            self.meter.end(self.submission, now_s, 0, 0)
        else:
            self.meter.cancel(self.submission)

    def settle(self, now_s: float, recipients: int, external: int) -> None:
        """Its answer leaves now; nothing but the rate counts when it was refused (0 recipients)."""
        if self.meter is not None and self.submission is not None:
            self.meter.end(self.submission, now_s, recipients, external)
