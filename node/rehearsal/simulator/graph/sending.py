"""sendMail in MIME form, and the end of every message: is it taken, what is answered, what is remembered.

The mailbox's own limits apply as for SMTP (facts m365 §1.2 F): one request counts as one of its submissions.
"""

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from node.rehearsal.simulator.chronicle import NOBODY, Operation
from node.rehearsal.simulator.graph.access import SEND, Caller, DeniedError, caller, error, metered, scripted, spoken
from node.rehearsal.simulator.graph.letters import Letter, from_base64, from_mime
from node.rehearsal.simulator.graph.sent import Copy
from node.rehearsal.simulator.inhabitants import Mailbox, MailboxState
from node.rehearsal.simulator.meters import AccountMeter, Submission
from node.rehearsal.simulator.receipts import Receipt
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.web import Answer, Request

if TYPE_CHECKING:
    from node.rehearsal.simulator.hub import Hub

_STATES: Final = {
    MailboxState.FULL: (403, "ErrorQuotaExceeded", "The mailbox quota has been exceeded."),
    MailboxState.RESTRICTED: (403, "ErrorAccountSuspend", "Account suspended."),
    MailboxState.SPAM: (403, "ErrorAccountSuspend", "Account suspended."),
    MailboxState.UNGRANTED: (403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    MailboxState.UNLICENSED: (403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
}
ACCEPTED: Final = Answer(status=202, headers={"request-id": "5f3d7a0e-0000-4000-8000-000000000000"})


class Counted(NamedTuple):
    """One submission as the meter and the history know it."""

    submission: Submission
    operation: Operation


class Sending:
    """Takes messages for mailboxes."""

    def __init__(self, hub: "Hub") -> None:
        """Take them into the hub's books."""
        self._hub = hub

    async def send_mail(self, request: Request) -> Answer:
        """Answer ``POST /users/{mailbox}/sendMail``."""
        hub = self._hub
        try:
            who = caller(hub, request, SEND)
            async with metered(hub, who):
                return await self._send(request, who)
        except DeniedError as no:
            return no.answer

    async def _send(self, request: Request, who: Caller) -> Answer:
        hub = self._hub
        meter = hub.meter(who.mailbox)
        number = hub.graph.next_request()
        meter.enter(number)
        hub.chronicle.login(hub.directory, who.mailbox, number, "")
        submission = meter.begin(hub.now_s())
        operation = hub.chronicle.begun(hub.directory, who.mailbox, "graph", NOBODY, who.tenant_id)
        try:
            text = await request.load() if request.load is not None else request.body
            letter = None if text is None else self._letter(request, text)
        except DeniedError:
            meter.cancel(submission)
            hub.chronicle.cancelled(operation, counted=False)
            raise
        finally:
            meter.leave(number)
            hub.chronicle.gone(who.mailbox, number)
        if letter is None:
            meter.cancel(submission)
            hub.chronicle.cancelled(operation, counted=False)
            hub.counts["graph_broken_off"] += 1
            return Answer(status=400, value={}, cut=True)
        meter.enter(number)
        hub.chronicle.login(hub.directory, who.mailbox, number, "")
        try:
            return await self.finish(who, letter, meter, Counted(submission, operation))
        finally:
            meter.leave(number)
            hub.chronicle.gone(who.mailbox, number)

    def _letter(self, request: Request, text: bytes) -> Letter:
        if len(text) > self._hub.directory.graph.request:
            # A front end says so, in words of its own.
            raise DeniedError(Answer(status=413, text="Request Entity Too Large"))
        if request.headers.get("content-type", "").partition(";")[0] != "text/plain":
            raise DeniedError(error(400, "RequestBodyRead", "This simulator takes sendMail in MIME form only."))
        mime = from_base64(text)
        if mime is None:
            message = "Invalid base64 string for MIME content."
            raise DeniedError(error(400, "ErrorMimeContentInvalidBase64String", message))
        return from_mime(mime)

    async def finish(self, who: Caller, letter: Letter, meter: AccountMeter, counted: "Counted") -> Answer:
        """Judge a complete message, remember it, wait as the service does, answer."""
        hub, submission = self._hub, counted.submission
        step = await scripted(hub, Moment.GRAPH, self._facts(who, letter))
        decided = step is not None and (step.speaks or step.cut)
        refusal = None if decided else self._refusal(who, letter, meter, submission)
        taken = step.received if step is not None and decided else refusal is None
        receipt = self._remember(who, letter, step) if taken else None
        await asyncio.sleep(hub.latency_s())
        external = sum(not who.tenant.owns(one.rpartition("@")[2]) for one in letter.recipients)
        meter.end(submission, hub.now_s(), len(letter.recipients) if taken else 0, external if taken else 0)
        hub.chronicle.ended(counted.operation, letter.id, letter.recipients, external, receipt)
        if receipt is None:
            hub.counts["refused"] += 1
            meter.counts["refused"] += 1
        normal = refusal or ACCEPTED
        return spoken(hub, step, normal) if step is not None else normal

    def _refusal(self, who: Caller, letter: Letter, meter: AccountMeter, submission: Submission) -> Answer | None:
        hub, box = self._hub, who.box
        if box is None:
            return None
        if box.state is not MailboxState.OK:
            return error(*_STATES[box.state])
        lacking = self._lacking(box, letter, meter)
        if lacking is not None:
            return lacking
        denied = next((one for one in letter.headers.froms if not box.may_send_as(who.mailbox, one)), None)
        if denied is not None:
            meter.blame("send_as", hub.now_s())
            text = "The user account does not have the right to send as this mailbox."
            return error(403, "ErrorSendAsDenied", text)
        return self._limits(letter, meter, submission)

    def _lacking(self, box: Mailbox, letter: Letter, meter: AccountMeter) -> Answer | None:
        if letter.size_bytes > box.max_send:
            return error(400, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")
        if not letter.recipients:
            return error(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
        if len(letter.recipients) > box.recipient_limit:
            meter.blame("too_many_recipients", self._hub.now_s())
            return error(400, "ErrorTooManyRecipients", "The message has too many recipients.")
        return None

    def _limits(self, letter: Letter, meter: AccountMeter, submission: Submission) -> Answer | None:
        hub, limits = self._hub, self._hub.directory.limits
        if limits.over_rate == "refuse" and not submission.gated:
            return self._throttled("The message rate of the mailbox is exceeded.")
        if limits.over_recipients == "refuse" and not meter.recipients_fit(hub.now_s(), len(letter.recipients)):
            return self._throttled("The recipient rate of the mailbox is exceeded.")
        return None

    def _throttled(self, text: str) -> Answer:
        self._hub.counts["graph_429"] += 1
        return error(429, "ErrorExceededMessageLimit", text, retry_after_s=self._hub.directory.graph.retry_after)

    def _facts(self, who: Caller, letter: Letter) -> Facts:
        first = letter.recipients[0] if letter.recipients else ""
        sender = letter.headers.froms[0] if letter.headers.froms else ""
        return Facts(
            key=f"{letter.id} {first}",
            account=who.mailbox,
            sender=sender,
            recipients=letter.recipients,
            subject=letter.headers.subject,
            id=letter.id,
            service="graph",
        )

    def _remember(self, who: Caller, letter: Letter, step: Step | None) -> Receipt:
        hub = self._hub
        receipt = Receipt(
            number=hub.receipts.accepted + 1,
            at_ms=hub.now_ms(),
            id=letter.id,
            message_id=letter.headers.message_id,
            account=who.mailbox,
            sender=letter.headers.froms[0] if letter.headers.froms else who.mailbox,
            recipients=list(letter.recipients),
            subject=letter.headers.subject,
            size_bytes=letter.size_bytes,
            sha256=letter.sha256,
            peer="",
            service="graph",
            tenant=who.tenant_id,
            headers=letter.head,
        )
        hub.receipts.add(receipt)
        receipt.answered = step is None or not (step.cut or step.garbage or step.half or not step.positive)
        if not receipt.answered:
            hub.receipts.lost_answer(receipt)
        if hub.on_receipt is not None:
            hub.on_receipt(receipt)
        meter = hub.meter(who.mailbox)
        meter.counts["accepted"] += 1
        meter.counts["recipients"] += len(letter.recipients)
        if letter.bare_line_feed:
            hub.violations["graph_bare_line_feed"] += 1
        copy = Copy(
            number=hub.graph.outbox.number(),
            at_ms=receipt.at_ms,
            message_id=letter.headers.message_id,
            head=letter.head,
            properties=letter.properties,
            recipients=letter.recipients,
            parts=letter.parts,
        )
        hub.graph.outbox.keep(who.mailbox, copy)
        hub.graph.outbox.trace(who.tenant_id, receipt.at_ms, receipt.message_id, receipt.sender, letter.recipients)
        return receipt
