"""What comes back later: reports into mailboxes, or by SMTP to the return path. Bounded: messages, reports under way.

Due by the clock messages are dated by, so that whoever moves that clock moves the reports.
"""

import asyncio
import base64
import contextlib
import heapq
import math
import random
import smtplib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from node.rehearsal.simulator.arrived import arrived
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.ndr_text import Failure, exchange_ndr
from node.rehearsal.simulator.receipts import Receipt

PENDING_MAX = 100_000
SMTP_S = 30.0
AGAIN_S = 5.0
TRIES = 20
TICK_S = 0.2
INBOX = "inbox"


@dataclass(slots=True, kw_only=True)
class Kept:
    """One message in a mailbox."""

    number: int
    at_ms: int
    sender: str
    data: bytes
    folder: str = INBOX
    """Graph's well-known name."""

    @property
    def id(self) -> str:
        """Give its id as Graph's look: opaque, with characters that must be quoted in a URL."""
        return base64.b64encode(f"AAMk/{self.number}".encode()).decode()


@dataclass(slots=True, kw_only=True)
class Box:
    """One mailbox."""

    messages: deque[Kept]
    generation: int = 1
    """Cursors of an older one are refused: 410."""


@dataclass(slots=True)
class Postmaster:
    """Sends reports later and keeps what lies in mailboxes."""

    hub: Hub
    boxes: dict[str, Box] = field(default_factory=dict)
    _pending: set["asyncio.Task[None]"] = field(default_factory=set)
    _due: list[tuple[int, int, Receipt, tuple[Failure, ...]]] = field(default_factory=list)
    """Reports that have not come yet, the next first: when, a number, on what."""
    _ticking: "asyncio.Task[None] | None" = None
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - waits, no secrets
    _number: int = 0

    def taken(self, receipt: Receipt) -> None:
        """Hear of a message that was taken: it lies in its mailboxes, or reports are sent of recipients that fail."""
        failures = tuple(self._failing(receipt))
        failing = {one.recipient for one in failures}
        for recipient in receipt.recipients:
            if recipient not in failing and self.hub.mailbox(recipient.lower()) is not None:
                self.put(recipient, receipt.sender, arrived(receipt))
        if failures and len(self._due) < PENDING_MAX:
            self._number += 1
            heapq.heappush(self._due, (self.hub.now_ms() + self._drawn_ms(), self._number, receipt, failures))
            if self._ticking is None:
                self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def put(self, mailbox: str, sender: str, data: bytes, folder: str = INBOX) -> Kept:
        """Lay a message into a mailbox."""
        self._number += 1
        kept = Kept(number=self._number, at_ms=self.hub.now_ms(), sender=sender, data=data, folder=folder)
        limit = self.hub.directory.reports.kept
        self.boxes.setdefault(mailbox.lower(), Box(messages=deque(maxlen=limit))).messages.append(kept)
        return kept

    async def stop(self) -> None:
        """Forget the reports that have not come yet."""
        tasks = [*self._pending, *([self._ticking] if self._ticking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def standing(self) -> dict[str, int]:
        """Count reports: still to come, due by now, on their way to the return path, come."""
        due = sum(at_ms <= self.hub.now_ms() for at_ms, *_ in self._due)
        sent = self.hub.counts["reports"]
        return {"waiting": len(self._due), "due": due, "under_way": len(self._pending), "come": sent}

    def _drawn_ms(self) -> int:
        first, last = (max(0.001, seconds) for seconds in self.hub.directory.reports.after)
        after_s = math.exp(self._random.uniform(math.log(first), math.log(last)))
        return round(self.hub.directory.timing.real_s(after_s) * 1000)

    async def _tick(self) -> None:
        while True:
            while self._due and self._due[0][0] <= self.hub.now_ms():
                _, _, receipt, failures = heapq.heappop(self._due)
                task = asyncio.get_running_loop().create_task(self._report(receipt, failures))
                self._pending.add(task)
                task.add_done_callback(self._pending.discard)
            left_s = (self._due[0][0] - self.hub.now_ms()) / 1000 if self._due else TICK_S
            await asyncio.sleep(min(max(left_s, 0.001), TICK_S))

    def _failing(self, receipt: Receipt) -> Iterator[Failure]:
        patterns = self.hub.directory.reports.recipients
        for recipient in receipt.recipients:
            status = next((s for one, s in patterns.items() if fnmatchcase(recipient.lower(), one.lower())), None)
            if status is not None:
                yield Failure(recipient=recipient, status=status)

    async def _report(self, receipt: Receipt, failures: tuple[Failure, ...]) -> None:
        reports = self.hub.directory.reports
        mailbox, to = self._mailbox(receipt)
        if not to:
            return
        self._number += 1
        data = exchange_ndr(
            failures,
            to=to,
            message_id=receipt.message_id,
            returned=receipt.headers if reports.returned else "",
            number=self._number,
            now_s=self.hub.now_ms() / 1000,
        )
        if mailbox:
            self.put(
                mailbox,
                f"microsoftexchange329e71ec88ae4615bbc36ab6ce41109e@{to.rpartition('@')[2]}",
                data,
                reports.folder,
            )
        elif reports.to is not None:
            await self._hand_in(reports.to, to, data)
        self.hub.counts["reports"] += 1

    def _mailbox(self, receipt: Receipt) -> tuple[str, str]:
        """Say in which mailbox the report lands (empty: in none of ours) and whom it is addressed to (operations A11).

        Where no mailbox sent it goes to the envelope sender, as any mail would: what is behind a plus sign is his too.
        """
        login, sender = receipt.account.lower(), receipt.sender.lower()
        if self.hub.mailbox(login) is not None:
            own = self.hub.directory.reports.place == "from" and self.hub.mailbox(sender) is not None
            return (sender, sender) if own else (login, login)
        local, _, domain = sender.rpartition("@")
        base = f"{local.partition('+')[0]}@{domain}"
        return (base if self.hub.mailbox(base) is not None else ""), receipt.sender

    async def _hand_in(self, where: str, to: str, data: bytes) -> None:
        """Bring a report to the return path, again and again as a mail server does."""
        for _ in range(TRIES):
            with contextlib.suppress(OSError, smtplib.SMTPException):
                await asyncio.to_thread(_sent, where, to, data)
                return
            await asyncio.sleep(self.hub.directory.timing.real_s(AGAIN_S))
        self.hub.counts["reports_undelivered"] += 1


def _sent(where: str, to: str, data: bytes) -> None:
    host, _, port = where.rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="mail.example", timeout=SMTP_S) as smtp:
        smtp.sendmail("", [to], data)
