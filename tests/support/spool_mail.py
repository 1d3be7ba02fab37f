"""Messages, attempts and settlements for spool tests, with defaults that say nothing surprising."""

import itertools

from node.policy.envelope import Direction, NewMessage, OnUnknown, Priority, Recipient, RecipientState, lane_of
from node.spool.contract import Accepted, AttemptStart, BodyFile, RecipientResult, Settlement

T0 = 1_800_000_000_000
BODY = b"Subject: test\r\n\r\nhello\r\n"
_numbers = itertools.count(1)


def recipients(*addresses: str) -> tuple[Recipient, ...]:
    return tuple(Recipient(address=address, direction=Direction.EXTERNAL) for address in addresses)


def message(
    message_id: str = "",
    *,
    to: tuple[str, ...] = ("bob@example.com",),
    received_ms: int = T0,
    client: str = "app",
    sender: str = "app@contoso.com",
    on_unknown: OnUnknown = OnUnknown.RESEND,
    priority: Priority = Priority.NORMAL,
    held: bool = False,
    expires_ms: int = 0,
    mail_from: str | None = None,
    rcpts: tuple[Recipient, ...] = (),
    traceparent: str = "",
) -> NewMessage:
    name = message_id or f"0190-{next(_numbers):08d}"
    return NewMessage(
        id=name,
        client=client,
        plan="standard",
        mail_from=sender if mail_from is None else mail_from,
        header_from=sender,
        tenant="contoso",
        recipients=rcpts or recipients(*to),
        size_bytes=len(BODY),
        received_ms=received_ms,
        expires_ms=expires_ms or received_ms + 172_800_000,
        message_id=f"<{name}@contoso.com>",
        priority=priority,
        on_unknown=on_unknown,
        held=held,
        source="192.0.2.1:4711",
        traceparent=traceparent,
    )


def accepted(made: NewMessage, body: bytes | BodyFile = BODY) -> Accepted:
    return Accepted(message=made, body=body)


def lane(made: NewMessage) -> str:
    return lane_of(made, made.recipients[0].direction)


def attempt(
    made: NewMessage, *indexes: int, at_ms: int = T0 + 1000, attempt_id: str = "", trace: str = ""
) -> AttemptStart:
    chosen = indexes or tuple(range(len(made.recipients)))
    return AttemptStart(
        attempt_id=attempt_id or f"attempt-{next(_numbers)}",
        message_id=made.id,
        indexes=chosen,
        path="submission",
        account="relay@contoso.com",
        tenant="contoso",
        grant_id="g1",
        external=len(chosen),
        started_ms=at_ms,
        traceparent=trace,
    )


def outcome(index: int, state: RecipientState, reason: str = "ok", **more: object) -> RecipientResult:
    return RecipientResult(index=index, state=state, reason=reason, **more)


def settlement(start: AttemptStart, *results: RecipientResult, at_ms: int = T0 + 2000, **more: object) -> Settlement:
    chosen = results or tuple(outcome(index, RecipientState.DELIVERED) for index in start.indexes)
    return Settlement(
        attempt_id=start.attempt_id, message_id=start.message_id, finished_ms=at_ms, results=chosen, **more
    )
