"""The end of a message: is it taken, when is it answered, and what is remembered.

The verdict follows facts m365 §4.4 and §4.5; the order of checks is the store's: size, account, rate, message, sender.
"""

from dataclasses import dataclass

from node.rehearsal.errors import ConversationOverError
from node.rehearsal.simulator import texts
from node.rehearsal.simulator.content import Content
from node.rehearsal.simulator.directory import Mailbox, MailboxState, TenantSpec
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.headers import Headers, read_headers
from node.rehearsal.simulator.receipts import Receipt
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.simulator.session import Session

_STATES = {
    MailboxState.FULL: (texts.MAILBOX_FULL, "mailbox_full"),
    MailboxState.RESTRICTED: (texts.RESTRICTED, ""),
    MailboxState.UNGRANTED: (texts.UNGRANTED, ""),
}
MAX_DELAY_ROUNDS = 10_000  # a surplus message waits at most so many windows' ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A complete message."""

    transaction: Transaction
    content: Content
    file: str


async def finish(session: Session, delivery: Delivery) -> None:
    """Judge, remember, wait as the service does, answer."""
    headers = read_headers(delivery.content.start)
    transaction = delivery.transaction
    step = await session.fault(Moment.DOT, _facts(session, transaction, headers))
    if step is None or not (step.speaks or step.cut):
        await _wait_for_rate(session, transaction)
        refusal = _refusal(session, delivery, headers)
    else:
        refusal = None if step.received else step.reply or "cut"
    receipt = _remember(session, delivery, headers) if refusal is None else None
    await session.wire.rest(session.hub.latency_s())
    external = _external(session, transaction)
    taken = len(transaction.recipients) if receipt is not None else 0
    transaction.settle(session.hub.now_s(), taken, external if taken else 0)
    await _answer(session, step, refusal, receipt)


async def _answer(session: Session, step: Step | None, refusal: str | None, receipt: Receipt | None) -> None:
    hub = session.hub
    if receipt is not None:
        receipt.answered = not (session.wire.lost or (step is not None and (step.cut or step.garbage)))
        if not receipt.answered:
            hub.receipts.lost_answer(receipt)
    else:
        hub.counts["refused"] += 1
        if (meter := session.meter) is not None:
            meter.counts["refused"] += 1
    if session.wire.lost:
        raise ConversationOverError
    if step is not None and (step.speaks or step.cut):
        await session.perform(step)
    elif refusal is not None:
        session.say_raw(refusal)
    elif receipt is not None:
        session.say(texts.ACCEPTED, message_id=receipt.message_id or "<none>")
    await session.wire.flush()


async def _wait_for_rate(session: Session, transaction: Transaction) -> None:
    meter, submission = transaction.meter, transaction.submission
    if meter is None or submission is None or session.hub.directory.limits.over_rate != "delay":
        return
    for _ in range(MAX_DELAY_ROUNDS):
        wait_s = meter.wait_s(submission, session.hub.now_s())
        if wait_s <= 0 or session.wire.lost:
            return
        meter.counts["delayed"] += 1
        await session.wire.rest(wait_s)


def _refusal(session: Session, delivery: Delivery, headers: Headers) -> str | None:
    """Give the filled-in reply that refuses the message, or None."""
    found = session.hub.mailbox(session.account) if session.account else None
    if delivery.content.size_bytes > session.hub.directory.limits.size:
        return session.filled(texts.TOO_LARGE)
    if found is None:
        return None
    text = (
        _account_refusal(session, found[1], delivery)
        or _limit_refusal(session, delivery)
        or _message_refusal(delivery.content, headers)
    )
    if text is not None:
        return session.filled(text)
    denied = _denied_sender(session.account, found[1], headers)
    if denied is not None:
        _blame(session, "send_as")
        return session.filled(texts.SEND_AS_DENIED, login=session.account, sender=denied)
    return None


def _account_refusal(session: Session, mailbox: Mailbox, delivery: Delivery) -> str | None:
    if delivery.content.size_bytes > mailbox.max_send:
        return texts.TOO_LARGE
    meter = delivery.transaction.meter
    kind = meter.throttled(session.hub.now_s()) if meter is not None else None
    if kind is not None:
        return texts.THROTTLED[kind]
    if mailbox.state is MailboxState.OK:
        return None
    text, kind = _STATES[mailbox.state]
    if kind:
        _blame(session, kind)
    return text


def _limit_refusal(session: Session, delivery: Delivery) -> str | None:
    limits, transaction, now_s = session.hub.directory.limits, delivery.transaction, session.hub.now_s()
    meter, submission = transaction.meter, transaction.submission
    if meter is None or submission is None:
        return None
    if limits.over_sessions == "refuse" and meter.surplus(session.number):
        return texts.OVER_SESSIONS
    if limits.over_rate == "refuse" and not submission.gated:
        return texts.OVER_RATE
    if limits.over_recipients == "refuse" and not meter.recipients_fit(now_s, len(transaction.recipients)):
        return texts.OVER_RECIPIENTS
    if limits.over_external == "refuse" and not meter.external_fit(now_s, _external(session, transaction)):
        return texts.OVER_EXTERNAL
    return None


def _message_refusal(content: Content, headers: Headers) -> str | None:
    if content.bare_line_feed:
        return texts.BARE_LINE_FEED
    if not headers.froms:
        return texts.NO_FROM
    if (headers.from_fields > 1 or len(headers.froms) > 1) and not headers.sender:
        return texts.TWO_FROMS
    return None


def _denied_sender(login: str, mailbox: Mailbox, headers: Headers) -> str | None:
    return next((sender for sender in headers.froms if not mailbox.may_send_as(login, sender)), None)


def _blame(session: Session, kind: str) -> None:
    if (meter := session.meter) is not None:
        meter.blame(kind, session.hub.now_s())


def _external(session: Session, transaction: Transaction) -> int:
    found: tuple[TenantSpec, Mailbox] | None = session.hub.mailbox(session.account) if session.account else None
    if found is None:
        return 0
    inside = found[0].domains
    return sum(one.rpartition("@")[2].lower() not in inside for one in transaction.recipients)


def _facts(session: Session, transaction: Transaction, headers: Headers) -> Facts:
    message = headers.rehearsal_id or headers.message_id
    return Facts(
        key=f"{message} {transaction.recipients[0]}",
        account=session.account,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        subject=headers.subject,
        id=message,
    )


def _remember(session: Session, delivery: Delivery, headers: Headers) -> Receipt:
    hub, content, transaction = session.hub, delivery.content, delivery.transaction
    receipt = Receipt(
        number=hub.receipts.accepted + 1,
        at_ms=hub.now_ms(),
        id=headers.rehearsal_id or headers.message_id,
        message_id=headers.message_id,
        account=session.account,
        sender=transaction.sender,
        recipients=transaction.recipients,
        subject=headers.subject,
        size_bytes=content.size_bytes,
        sha256=content.sha256(),
        peer=session.wire.peer,
        smtputf8=transaction.smtputf8,
        eight_bit=content.eight_bit,
        file=delivery.file,
        headers=content.start.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"),
    )
    hub.receipts.add(receipt)
    if hub.on_receipt is not None:
        hub.on_receipt(receipt)
    if content.long_lines:
        hub.violations["lines_over_1000_bytes"] += 1
    if (meter := session.meter) is not None:
        meter.counts["accepted"] += 1
        meter.counts["recipients"] += len(transaction.recipients)
    return receipt
