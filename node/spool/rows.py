"""Values to columns and back, and the views people and dispatchers get. Pure mapping; no query, no decision."""

from collections.abc import Iterable, Sequence

import msgspec

from node.policy.envelope import NewMessage, OnUnknown, Recipient, RecipientState
from node.spool.contract import AttemptStart, Due, JourneyLine, MessageView, Queued
from node.spool.search import key_of, sender_keys
from node.spool.work import Attempt, Entry, Record

Cell = str | int | bytes | None


class _Line(msgspec.Struct, frozen=True, array_like=True):
    """A journey line as stored: an array, for a third of the map's size."""

    at_ms: int
    event: str
    indexes: tuple[int, ...]
    detail: dict[str, str | int]


class _Class(msgspec.Struct, frozen=True):
    """What of a message's facts says whether it is repeated."""

    on_unknown: OnUnknown = OnUnknown.RESEND


class AttemptRow(msgspec.Struct, frozen=True, array_like=True):
    """The columns of ``attempts`` in the order of the queries."""

    id: str
    message_id: str
    indexes: str
    path: str
    account: str
    tenant: str
    grant_id: str
    external: int
    started_ms: int
    traceparent: str
    dot_ms: int
    finished_ms: int
    mail_sent: int


_encoder = msgspec.msgpack.Encoder()
_facts = msgspec.msgpack.Decoder(NewMessage)
_classes = msgspec.msgpack.Decoder(_Class)
_lines = msgspec.msgpack.Decoder(list[_Line])
_indexes = msgspec.json.Decoder(tuple[int, ...])


class Unreadable(ValueError):  # noqa: N818 - says what the row is
    """Stored bytes are not what this version wrote."""


def text_json(values: Iterable[str | int]) -> str:
    """A list as the JSON text ``json_each`` takes."""
    return msgspec.json.encode(list(values)).decode()


def facts_of(message: NewMessage) -> bytes:
    """A message's facts as stored."""
    return _encoder.encode(message)


def message_of(facts: bytes) -> NewMessage:
    """A message from its stored facts; raises Unreadable."""
    try:
        return _facts.decode(facts)
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"stored facts of a message: {error}") from error


def careful_of(facts: Cell) -> bool:
    """Whether stored facts are of a class that is not repeated; those that cannot be read are taken for one."""
    try:
        return _classes.decode(facts if isinstance(facts, bytes) else b"").on_unknown is not OnUnknown.RESEND
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
        return True


def message_row(seq: int, message: NewMessage, facts: bytes | None = None) -> tuple[Cell, ...]:
    """Columns of ``messages`` for a new message; ``facts`` if they are encoded already."""
    sender, env_sender = sender_keys(message)
    head = (seq, message.id, message.received_ms, message.expires_ms, message.client)
    return (*head, sender, env_sender, facts_of(message) if facts is None else facts)


def recipient_row(seq: int, entry: Entry, lane: int, recipient: Recipient, received_ms: int) -> tuple[Cell, ...]:
    """Columns of ``recipients`` for a new recipient."""
    original = key_of(recipient.original) if recipient.original else None
    return (seq, entry.index, entry.state.value, entry.due_ms, lane, key_of(recipient.address), original, received_ms)


def move_row(seq: int, was: RecipientState, entry: Entry) -> tuple[Cell, ...]:
    """Parameters of ``move_recipients``: the key and the state found, then the new values."""
    key = (seq, entry.index, was.value)
    tried = (entry.way, entry.trace, entry.tried_ms)
    return (*key, entry.state.value, entry.due_ms, entry.attempts, entry.reason, entry.reply, *tried)


def lines_of(lines: Iterable[JourneyLine]) -> bytes:
    """Journey lines as stored."""
    return _encoder.encode([_Line(line.at_ms, line.event, line.indexes, line.detail) for line in lines])


def journey_of(stored: Iterable[bytes]) -> list[JourneyLine]:
    """Journey lines from stored rows; a damaged row becomes a line that says so."""
    found: list[JourneyLine] = []
    for blob in stored:
        try:
            lines = _lines.decode(blob)
        except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
            lines = [_Line(0, "unreadable", (), {})]
        found += [
            JourneyLine(at_ms=line.at_ms, event=line.event, indexes=line.indexes, detail=line.detail) for line in lines
        ]
    return found


def attempt_row(attempt: Attempt) -> tuple[Cell, ...]:
    """Columns of ``attempts``."""
    start = attempt.start
    who = (start.attempt_id, start.message_id, msgspec.json.encode(start.indexes).decode(), start.path)
    whose = (start.account, start.tenant, start.grant_id, start.external, start.started_ms, start.traceparent)
    return (*who, *whose, attempt.dot_ms, attempt.finished_ms, int(attempt.mail_sent))


def attempt_of(row: AttemptRow) -> Attempt:
    """An attempt from its columns."""
    start = AttemptStart(
        attempt_id=row.id,
        message_id=row.message_id,
        indexes=_indexes.decode(row.indexes),
        path=row.path,
        account=row.account,
        tenant=row.tenant,
        grant_id=row.grant_id,
        external=row.external,
        started_ms=row.started_ms,
        traceparent=row.traceparent,
    )
    return Attempt(start=start, dot_ms=row.dot_ms, finished_ms=row.finished_ms, mail_sent=bool(row.mail_sent))


def queued_of(message: NewMessage, entry: Entry) -> Queued:
    """One recipient as the contract shows it."""
    recipient = message.recipients[entry.index]
    return Queued(
        index=entry.index,
        address=recipient.address,
        direction=recipient.direction,
        state=entry.state,
        attempts=entry.attempts,
        next_attempt_ms=entry.due_ms or 0,
        orcpt=recipient.orcpt,
        notify=recipient.notify,
        original=recipient.original,
        last_reason=entry.reason,
        last_reply=entry.reply,
        last_way=entry.way,
        last_traceparent=entry.trace,
    )


def due_of(message: NewMessage, entries: Sequence[Entry], body: bytes | None = None, pairing: int = 0) -> Due:
    """A message with some recipients of one lane; ``entries`` is not empty."""
    newest = max(entries, key=lambda entry: entry.tried_ms)
    return Due(
        message=message,
        lane=entries[0].lane,
        recipients=tuple(queued_of(message, entry) for entry in entries),
        last_traceparent=newest.trace,
        body=body,
        pairing=pairing,
    )


def dues_of(message: NewMessage, entries: Iterable[Entry], body: bytes | None = None, pairing: int = 0) -> list[Due]:
    """One Due for each lane the recipients are in."""
    lanes: dict[str, list[Entry]] = {}
    for entry in entries:
        lanes.setdefault(entry.lane, []).append(entry)
    return [due_of(message, members, body, pairing) for members in lanes.values()]


def view_of(message: NewMessage, record: Record, lines: Iterable[JourneyLine] | None = None) -> MessageView:
    """A message with every recipient; ``lines`` (not None) is preceded by how it was accepted."""
    entries = sorted(record.entries.values(), key=lambda entry: entry.index)
    told = () if lines is None else (accepted_line(message), *lines)
    return MessageView(
        message=message,
        recipients=tuple(queued_of(message, entry) for entry in entries),
        lines=told,
        finished_ms=record.finished_ms,
    )


def accepted_line(message: NewMessage) -> JourneyLine:
    """How it came in, told from the facts: no row is written for it."""
    detail: dict[str, str | int] = {"client": message.client, "size_bytes": message.size_bytes}
    if message.source:
        detail["source"] = message.source
    return JourneyLine(at_ms=message.received_ms, event="accepted", detail=detail)
