"""MAIL, RCPT and DATA: asks the inbound policy and the door, and moves the session on (design §5.1).

Decides nothing itself but the order of questions: levels, rule, sender; then recipients; then memory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from node.errors import TemporaryError
from node.intake.replies import Say, wire
from node.intake.sequence import Event, Mode
from node.intake.transfer import Storing, Transfer
from node.policy.admission import Denial, check_mail, check_recipient
from node.policy.clients import OverLimit
from node.policy.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from node.cluster.contract import Refusal
    from node.intake.conversation import Conversation
    from node.policy.envelope import Recipient

_SHUT: Final = {
    "disk": wire(Reply(code=452, enhanced="4.3.1", text="Not enough disk space, try later")),
    "memory": wire(Reply(code=452, enhanced="4.3.1", text="Not enough memory, try later")),
    "queue": wire(Reply(code=452, enhanced="4.3.1", text="Queue is full, try later")),
    "core": Say.CORE_AWAY,
}


def mail(session: Conversation, argument: str) -> bytes:
    """Begin a transaction."""
    house = session.house
    state = house.door.state()
    if not state.accepting:
        session.refused_reason = f"door_{state.reason or 'shut'}"
        return _SHUT.get(state.reason, Say.TRY_LATER)
    if session.messages >= house.limits.messages_per_session:
        return session.close(Say.TOO_MANY_MESSAGES)
    path = _after(argument, "FROM", lenient=session.gate.legacy)
    if path is None:
        return Say.BAD_MAIL
    rule = session.rule
    answer = check_mail(
        house.rules,
        rule,
        path,
        lenient=session.gate.legacy,
        peer=session.ip,
        auth_possible=not session.user and session.gate.auth_offered(tls_on=bool(session.tls_version)),
    )
    if isinstance(answer, Denial) or rule is None:
        return session.deny(answer) if isinstance(answer, Denial) else Say.CLOSED_TO_YOU
    started_ns = time.time_ns() if session.messages else session.started_ns
    session.transfer = Transfer(session, rule, answer, started_ns)
    session.move(Event.SENDER)
    return Say.SENDER_OK


def _after(argument: str, word: str, *, lenient: bool) -> str | None:
    """What follows ``FROM:`` or ``TO:``, in any case of letters; None if that is missing."""
    head, colon, rest = argument.partition(":")
    if not colon or (head.strip(" ") if lenient else head).upper() != word:
        return None
    return rest


def rcpt(session: Conversation, argument: str) -> bytes | Awaitable[bytes]:
    """Add a recipient."""
    path = _after(argument, "TO", lenient=session.gate.legacy)
    transfer = session.transfer
    if path is None or transfer is None:
        return Say.BAD_RCPT
    answer = check_recipient(
        session.house.rules,
        transfer.client,
        transfer.mail,
        path,
        len(transfer.recipients),
        lenient=session.gate.legacy,
    )
    if isinstance(answer, Denial):
        return session.deny(answer)
    client = transfer.client
    if client.rate is not None or client.recipients is not None:
        return _reserve(session, transfer, answer)
    return _accept(session, transfer, answer)


def _accept(session: Conversation, transfer: Transfer, recipient: Recipient) -> bytes:
    transfer.recipients.append(recipient)
    session.move(Event.RECIPIENT)
    return Say.RECIPIENT_OK


async def _reserve(session: Conversation, transfer: Transfer, recipient: Recipient) -> bytes:
    """Reserve before accepting (A8); a plan may take what is over the limit on hold instead."""
    wanted = len(transfer.recipients) + 1
    if transfer.held:
        return _accept(session, transfer, recipient)
    try:
        refusal = await session.house.door.admit(transfer.client.name, wanted, transfer.reserved)
    except TemporaryError:
        session.refused_reason = "door_core"
        return Say.TRY_LATER
    if session.transfer is not transfer:  # the client went away meanwhile: what was just reserved goes back
        if refusal is None:
            session.house.door.client_done(transfer.client.name, wanted, 0)
        return Say.TRY_LATER
    if refusal is None:
        transfer.reserved = wanted
        return _accept(session, transfer, recipient)
    if transfer.client.over_limit is OverLimit.HOLD:
        transfer.held = True
        return _accept(session, transfer, recipient)
    return _over_limit(session, refusal)


def _over_limit(session: Conversation, refusal: Refusal) -> bytes:
    session.refused_reason = "client_limit"
    reply = Reply(code=452, enhanced="4.7.1", text=f"Sending limit reached ({refusal.reason}), try later")
    return wire(reply)


def start_data(session: Conversation, argument: str) -> bytes:
    """Open the way for the message's octets."""
    if argument:
        return Say.NO_ARGUMENT
    transfer = session.transfer
    if transfer is None:
        return Say.MAIL_FIRST
    if not transfer.open():
        return Say.NO_MEMORY
    session.mode = Mode.DATA
    return Say.GO_AHEAD


def data(session: Conversation, chunk: bytes) -> bytes | Awaitable[bytes] | Storing | None:
    """Take octets; at the end conclude and be ready for the next transaction."""
    transfer = session.transfer
    if transfer is None or transfer.reader is None:
        return session.close(Say.MAIL_FIRST)
    if not transfer.feed(chunk, session.when_free):
        return None
    session.transfer = None
    session.leftover = transfer.reader.rest
    session.messages += 1
    session.mode = Mode.COMMAND
    session.move(Event.ENDED)
    if transfer.reader.closes:
        session.mode = Mode.CLOSE
    return transfer.conclude()
