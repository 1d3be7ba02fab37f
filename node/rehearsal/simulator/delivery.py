"""The end of a message: is it taken, when is it answered, and what is remembered.

What refuses a message is the service's business (``services``); its size is looked at before.
"""

from dataclasses import dataclass

from node.rehearsal.errors import ConversationOverError
from node.rehearsal.simulator import texts
from node.rehearsal.simulator.content import Content
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.headers import Headers, read_headers
from node.rehearsal.simulator.receipts import Receipt
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.simulator.session import Session


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
        await session.service.wait(session, transaction)
        refusal = _refusal(session, delivery, headers)
    else:
        refusal = None if step.received else step.reply or "cut"
    receipt = _remember(session, delivery, headers) if refusal is None else None
    await session.wire.rest(session.hub.latency_s())
    external = session.service.external(session, transaction)
    taken = len(transaction.recipients) if receipt is not None else 0
    transaction.settle(session.hub.now_s(), taken, external if taken else 0)
    if receipt is not None:
        receipt.answered = not (session.wire.lost or (step is not None and (step.cut or step.garbage)))
    message = headers.rehearsal_id or headers.message_id
    session.hub.chronicle.ended(transaction.operation, message, transaction.recipients, external, receipt)
    await _answer(session, step, refusal, receipt)


async def _answer(session: Session, step: Step | None, refusal: str | None, receipt: Receipt | None) -> None:
    hub = session.hub
    if receipt is not None:
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
        session.service.confirm(session, receipt)
    await session.wire.flush()


def _refusal(session: Session, delivery: Delivery, headers: Headers) -> str | None:
    """Give the filled-in reply that refuses the message, or None."""
    if delivery.content.size_bytes > session.service.size(session):
        return session.filled(texts.TOO_LARGE)
    return session.service.refusal(session, delivery, headers)


def _facts(session: Session, transaction: Transaction, headers: Headers) -> Facts:
    message = headers.rehearsal_id or headers.message_id
    return Facts(
        key=f"{message} {transaction.recipients[0]}",
        account=session.account,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        subject=headers.subject,
        id=message,
        service=session.service.name,
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
        service=session.service.name,
        tenant=transaction.tenant,
        attribution=transaction.attribution,
        headers=content.start.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"),
    )
    hub.receipts.add(receipt)
    box, owner = hub.mailbox(session.account), hub.directory.tenant_of(session.account)
    tenant = receipt.tenant or (owner[0] if owner is not None else "")
    hub.graph.taken(receipt, tenant, keeps_copy=box is not None and box[1].keeps_copies)
    if hub.on_receipt is not None:
        hub.on_receipt(receipt)
    if content.long_lines:
        hub.violations["lines_over_1000_bytes"] += 1
    if (meter := session.meter) is not None:
        meter.counts["accepted"] += 1
        meter.counts["recipients"] += len(transaction.recipients)
    return receipt
