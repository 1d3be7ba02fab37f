"""What one unit of work did to attached messages, for whoever tells the other end. Pure."""

from collections.abc import Iterable

from node.policy.envelope import RecipientState
from node.spool.paired import Changed, Progress
from node.spool.work import Attempt, Entry, Record, Work


def progress_of(entry: Entry) -> Progress:
    """Where one recipient stands."""
    return Progress(
        index=entry.index,
        state=entry.state,
        attempts=entry.attempts,
        next_attempt_ms=entry.due_ms or 0,
        reason=entry.reason,
        reply=entry.reply,
        way=entry.way,
        traceparent=entry.trace,
    )


def changes_of(work: Work) -> list[Changed]:
    """One for each attached message that something happened to beyond its being taken in."""
    moved: dict[int, list[int]] = {}
    for seq, index in work.moved:
        moved.setdefault(seq, []).append(index)
    ended = _by_message(a for a in (*work.claimed.values(), *work.touched.values()) if a.finished_ms)
    claimed = _by_message(a for a in work.claimed.values() if not a.finished_ms)
    new = {record.seq for record, _, _ in work.appended}
    found: list[Changed] = []
    for record in work.records.values():
        seq, name = record.seq, record.id
        news = seq in moved or seq in work.finished or name in ended or name in claimed
        if not record.pairing or seq in work.taken_over or not (news or (seq in work.lines and seq not in new)):
            continue
        found.append(
            Changed(
                message_id=name,
                pairing=record.pairing,
                attempt_ids=tuple(each.start.attempt_id for each in ended.get(name, ())),
                claimed=tuple((each.start.attempt_id, each.start.indexes) for each in claimed.get(name, ())),
                careful=record.careful,
                progress=_moved(record, moved.get(seq, ())),
                lines=tuple(work.lines.get(seq, ())),
                finished=bool(work.finished.get(seq)),
            )
        )
    return found


def _moved(record: Record, indexes: Iterable[int]) -> tuple[Progress, ...]:
    entries = (record.entries[index] for index in sorted(indexes))
    return tuple(progress_of(entry) for entry in entries if entry.state is not RecipientState.IN_FLIGHT)


def _by_message(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.start.message_id, []).append(attempt)
    return found
