"""What the simulated service has received: receipts of the latest messages, and every (id, recipient) counted.

Bounded: the latest receipts in full, a count per id and recipient for a stated number of pairs.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

MAX_PAIRS = 4_000_000  # about 600 MB; far beyond any rehearsal, and the report says when it was reached
MAX_DUPLICATES_LISTED = 10_000


class Receipt(msgspec.Struct, kw_only=True):
    """One message as received."""

    number: int
    at_ms: int
    id: str
    """X-Rehearsal-Id, else Message-ID, else empty."""
    message_id: str
    account: str
    sender: str
    recipients: list[str]
    subject: str
    size_bytes: int
    sha256: str
    peer: str
    smtputf8: bool = False
    eight_bit: bool = False
    answered: bool = False
    """The final reply was handed to a living connection; False: cut by script or by the client."""
    file: str = ""
    service: str = ""
    """Which port took it: ``submission``, ``mx``, ``hve``, ``acs``, ``smarthost``."""
    tenant: str = ""
    attribution: str = ""
    """At the MX: ``connector``, ``direct-send`` or ``internet``."""
    headers: str = ""

    def line(self) -> str:
        """Give the receipt as one line for a person watching."""
        sha = self.sha256[:12]
        return (
            f"{self.number} {self.id} {self.account} <{self.sender}> to {len(self.recipients)}: {self.size_bytes} {sha}"
        )


class Receipts:
    """Collects receipts and finds duplicates."""

    def __init__(self, keep: int) -> None:
        """Keep the latest ``keep`` receipts in full."""
        self.latest: deque[Receipt] = deque(maxlen=keep)
        self._counts: dict[str, dict[str, int]] = {}
        self._pairs = 0
        self.duplicates: deque[dict[str, Any]] = deque(maxlen=MAX_DUPLICATES_LISTED)
        self.duplicate_count = 0
        self.accepted = 0
        self.recipients = 0
        self.size_bytes = 0
        self.truncated = False
        self.unanswered: dict[str, int] = {}

    def add(self, receipt: Receipt) -> None:
        """Store one and count its recipients."""
        self.latest.append(receipt)
        self.accepted += 1
        self.recipients += len(receipt.recipients)
        self.size_bytes += receipt.size_bytes
        if receipt.id:
            self._count(receipt)

    def lost_answer(self, receipt: Receipt) -> None:
        """The reply could not be given: a repetition of this message is no fault of the sender."""
        self.unanswered[receipt.id] = self.unanswered.get(receipt.id, 0) + 1

    def deliveries(self) -> Iterator[dict[str, Any]]:
        """Give each message's id with how often each recipient got it."""
        for message, recipients in self._counts.items():
            yield {"id": message, "recipients": recipients, "unanswered": self.unanswered.get(message, 0)}

    def find(self, *, after: int = 0, message: str = "", limit: int = 1000) -> list[Receipt]:
        """Give receipts numbered above ``after``, of one id if named, oldest first."""
        wanted = (
            one for one in self.latest if one.number > after and (not message or message in (one.id, one.message_id))
        )
        return [one for one, _ in zip(wanted, range(limit), strict=False)]

    def _count(self, receipt: Receipt) -> None:
        counts = self._counts.get(receipt.id)
        if counts is None:
            if self._pairs >= MAX_PAIRS:
                self.truncated = True
                return
            counts = self._counts[receipt.id] = {}
        for recipient in receipt.recipients:
            seen = counts.get(recipient, 0)
            counts[recipient] = seen + 1
            if not seen:
                self._pairs += 1
            else:
                self._duplicate(receipt, recipient, seen + 1)

    def _duplicate(self, receipt: Receipt, recipient: str, count: int) -> None:
        self.duplicate_count += 1
        self.duplicates.append(
            {
                "id": receipt.id,
                "recipient": recipient,
                "count": count,
                "at_ms": receipt.at_ms,
                "account": receipt.account,
                "after_lost_answer": receipt.id in self.unanswered,
            }
        )
