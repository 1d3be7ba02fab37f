"""Every change of mail at rest, as a function on a Work: append, claim, intend, settle, postpone, finish, operators.

Pure, and shared by both stores, so that they cannot differ in what they decide. Each function checks first and
changes afterwards: one that raises has changed nothing, and its neighbours in the batch go on.
"""

from collections.abc import Callable, Sequence

import msgspec

from node.policy.envelope import NewMessage, OnUnknown, RecipientState, lane_of
from node.policy.lifecycle import WAITING_STATES, Event, allows, step
from node.spool.contract import (
    Accepted,
    AttemptStart,
    Filter,
    JourneyLine,
    OpenAttempt,
    RecipientResult,
    Settlement,
)
from node.spool.errors import WrongRequest
from node.spool.outcomes import towards
from node.spool.search import picks_state
from node.spool.work import Arrival, Attempt, Change, Entry, Record, Work

MAX_REPLY_CHARS = 512
"""As the contract promises; replies come from outside and are kept for weeks."""

MAX_RECIPIENTS = 10_000
"""More than any intake admits; a bound on what one transaction loads for one message."""

_TOLD_AS = {state: state.value for state in RecipientState} | {
    RecipientState.QUEUED: "deferred",
    RecipientState.DEFERRED: "deferred",
}
_UNCOUNTED = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED})

Detail = dict[str, str | int]
Chosen = dict[str, tuple[int, ...]]
"""Message id to the indexes an operator means."""


def countable(message: NewMessage) -> bool:
    """Whether a message has recipients, and not too many."""
    return 0 < len(message.recipients) <= MAX_RECIPIENTS


def first_entries(message: NewMessage) -> list[Entry]:
    """How recipients stand when their message comes in."""
    state, due_ms = (RecipientState.HELD, None) if message.held else (RecipientState.QUEUED, message.received_ms)
    return [
        Entry(index, state, due_ms, lane_of(message, recipient.direction))
        for index, recipient in enumerate(message.recipients)
    ]


def append(item: Accepted, size_bytes: int, file: str, work: Work) -> Record:
    """Take in a message; raises WrongRequest for an id already here, or no or too many recipients."""
    message = item.message
    if message.id in work.records:
        raise WrongRequest(f"message {message.id} is in the spool already")
    if not countable(message):
        raise WrongRequest(f"message {message.id} has {len(message.recipients)} recipients, 1 to {MAX_RECIPIENTS} fit")
    entries = first_entries(message)
    record = work.add(item, entries, size_bytes, file)
    if message.held:
        indexes = tuple(range(len(entries)))
        work.tell(record, JourneyLine(at_ms=message.received_ms, event="held", indexes=indexes))
    return record


def arrive(arrival: Arrival, work: Work) -> None:
    """``append`` for a message whose facts are encoded already."""
    record = append(arrival.item, arrival.size_bytes, arrival.file, work)
    work.facts[record.seq] = arrival.facts


def claim(start: AttemptStart, work: Work) -> bool:
    """Put all recipients of an attempt in flight, or none; raises WrongRequest for an attempt id used before."""
    if start.attempt_id in work.attempts:
        raise WrongRequest(f"attempt {start.attempt_id} was claimed before")
    record = work.records.get(start.message_id)
    if record is None or not start.indexes:
        return False
    entries = [record.entries.get(index) for index in start.indexes]
    if len(set(start.indexes)) < len(entries) or not all(e and allows(e.state, Event.CLAIM) for e in entries):
        return False
    way = f"{start.path}:{start.account}"
    change = Change(way=way, trace=start.traceparent, tried_ms=start.started_ms)
    for index in start.indexes:
        work.move(record, index, Event.CLAIM, change)
    work.keep(Attempt(start=start), new=True)
    detail: Detail = {"attempt": start.attempt_id, "way": way}
    work.tell(record, JourneyLine(at_ms=start.started_ms, event="claimed", indexes=start.indexes, detail=detail))
    return True


def intend(attempt_id: str, dot_ms: int, work: Work) -> None:
    """Note that the final dot is about to be sent; raises AttemptUnknown, WrongRequest for a finished attempt."""
    attempt = work.attempt(attempt_id)
    if attempt.finished_ms:
        raise WrongRequest(f"attempt {attempt_id} has its outcome already")
    work.keep(msgspec.structs.replace(attempt, dot_ms=dot_ms))


def settle(done: Settlement, work: Work) -> None:
    """Write an attempt's outcomes; a second settlement of the same attempt changes nothing.

    Raises AttemptUnknown, MessageGone, IllegalMove, WrongRequest (results do not fit the attempt).
    """
    attempt = work.attempt(done.attempt_id)
    if attempt.finished_ms:
        # A caller that got an indefinite error asks again: the first answer stands.
        return
    record = work.record(done.message_id)
    _check_results(attempt.start, done, record)
    detail: Detail = {"attempt": done.attempt_id}
    if done.upstream_id:
        detail["upstream_id"] = done.upstream_id
    _apply(work, record, done.results, done.finished_ms, detail)
    ended_ms = max(1, done.finished_ms, done.counted_ms)
    work.keep(msgspec.structs.replace(attempt, finished_ms=ended_ms, mail_sent=done.mail_sent))


def _check_results(start: AttemptStart, done: Settlement, record: Record) -> None:
    """Refuse a settlement that would leave recipients in flight for ever, or speak of someone else's."""
    named = [result.index for result in done.results]
    if start.message_id != done.message_id or sorted(named) != sorted(start.indexes):
        raise WrongRequest(f"settlement of {done.attempt_id} must name each of its recipients {start.indexes} once")
    _check_moves(record, done.results)


def _check_moves(record: Record, results: Sequence[RecipientResult], event: str = "") -> None:
    for result in results:
        entry = record.entries.get(result.index)
        if entry is None:
            raise WrongRequest(f"message {record.id} has no recipient {result.index}")
        step(entry.state, towards(result, event))


def _apply(
    work: Work, record: Record, results: Sequence[RecipientResult], now_ms: int, detail: Detail, event: str = ""
) -> None:
    """Make the moves and tell them, one line for all recipients that fared alike; ``event`` overrides its name."""
    alike: dict[tuple[str, str, str, str, str], list[int]] = {}
    for result in results:
        counted = result.counts_as_attempt and result.state is not RecipientState.DELIVERED
        reply = result.reply[:MAX_REPLY_CHARS]
        due_ms = result.next_attempt_ms or now_ms
        change = Change(due_ms=due_ms, reason=result.reason, reply=reply, tries=int(counted))
        work.move(record, result.index, towards(result, event), change)
        told = _TOLD_AS[result.state]
        if result.state in _UNCOUNTED and not result.counts_as_attempt:
            told = "postponed"
        key = (told, result.reason, reply, result.stage, result.scope)
        alike.setdefault(key, []).append(result.index)
    for (told, reason, reply, stage, scope), indexes in alike.items():
        words = {"reason": reason, "reply": reply, "stage": stage, "scope": scope}
        full = detail | {name: word for name, word in words.items() if word}
        work.tell(record, JourneyLine(at_ms=now_ms, event=event or told, indexes=tuple(indexes), detail=full))
    work.close(record, now_ms)


def finish(message_id: str, results: Sequence[RecipientResult], now_ms: int, event: str, work: Work) -> None:
    """Outcome without an attempt; raises MessageGone, IllegalMove, WrongRequest and then changes nothing."""
    record = work.record(message_id)
    if len({result.index for result in results}) < len(results):
        raise WrongRequest(f"finish of {message_id} names a recipient twice")
    _check_moves(record, results, event)
    _apply(work, record, results, now_ms, {}, event)


def postpone(message_id: str, indexes: Sequence[int], until_ms: int, reason: str, now_ms: int, work: Work) -> None:
    """Make waiting recipients due later; those an operator or another attempt took meanwhile are left alone."""
    record = work.record(message_id)
    news = []
    for index in dict.fromkeys(indexes):
        entry = record.entries.get(index)
        if entry is None or entry.state not in WAITING_STATES:
            continue
        if entry.reason != reason:
            # Waiting for budget can be said a thousand times; the journey hears it when the reason changes.
            news.append(index)
        work.move(record, index, Event.DEFER, Change(due_ms=until_ms, reason=reason))
    if news:
        detail: Detail = {"reason": reason, "until_ms": until_ms}
        work.tell(record, JourneyLine(at_ms=now_ms, event="postponed", indexes=tuple(news), detail=detail))


def narrowed(event: Event, which: Filter) -> Filter:
    """The filter with only those states in which the event is legal, so that a limit is not spent on others."""
    legal = tuple(state for state in RecipientState if allows(state, event))
    wanted = tuple(state for state in legal if not which.states or state in which.states)
    # No state left: one that the event does not allow, so that nothing is chosen.
    return msgspec.structs.replace(which, states=wanted or (RecipientState.DELIVERED,))


def operate(event: Event, which: Filter, chosen: Chosen, line: JourneyLine, work: Work) -> int:
    """Hold, release or delete the chosen recipients that still fit the filter and may; number changed.

    ``line`` carries time, actor and reason. The choice was made on an older view, hence the second look.
    """
    changed = 0
    for message_id, indexes in chosen.items():
        record = work.records.get(message_id)
        if record is None:
            continue
        entries = [record.entries[index] for index in indexes if _may(event, which, record.entries[index], record)]
        if entries:
            _operate_on(work, record, event, entries, line)
            changed += len(entries)
    return changed


def _may(event: Event, which: Filter, entry: Entry, record: Record) -> bool:
    if not allows(entry.state, event) or not picks_state(which, entry.state, entry.reason):
        return False
    return record.has_body or event is not Event.RELEASE


_OPERATED = {Event.HOLD: "held", Event.DELETE: "deleted", Event.RELEASE: "released"}


def _operate_on(work: Work, record: Record, event: Event, chosen: list[Entry], line: JourneyLine) -> None:
    told: dict[str, list[int]] = {}
    for entry in chosen:
        replay = event is Event.RELEASE and entry.state is RecipientState.DEAD
        told.setdefault("replayed" if replay else _OPERATED[event], []).append(entry.index)
        work.move(record, entry.index, event, Change(due_ms=line.at_ms))
    for name, indexes in told.items():
        work.tell(record, msgspec.structs.replace(line, event=name, indexes=tuple(indexes)))
    work.close(record, line.at_ms)


def recover(now_ms: int, counted_ms: int, on_unknown: Callable[[str], OnUnknown], work: Work) -> list[OpenAttempt]:
    """Judge what a crash cut off; gives the loaded attempts that were open, as they were found.

    A crash before the intent of a careful class means the dot was never sent; ``resend`` writes no intents.
    """
    found = [attempt for attempt in work.attempts.values() if not attempt.finished_ms]
    intents: dict[tuple[str, int], int] = {}
    for attempt in found:
        for index in attempt.start.indexes:
            intents[attempt.start.message_id, index] = attempt.dot_ms
        # The process was dead by now: the next start must not take the conversation for one still going on, nor for
        # one that had its answer: a second crash would free the permit while the upstream may still count.
        work.keep(msgspec.structs.replace(attempt, finished_ms=max(1, now_ms, counted_ms)))
    for record in list(work.records.values()):
        flying = [e.index for e in record.entries.values() if e.state is RecipientState.IN_FLIGHT]
        if flying:
            _interrupt(work, record, flying, intents, on_unknown(record.id) is OnUnknown.RESEND, now_ms)
    return [told_of(attempt) for attempt in found]


def _interrupt(
    work: Work,
    record: Record,
    flying: list[int],
    intents: dict[tuple[str, int], int],
    resend: bool,
    now_ms: int,
) -> None:
    detail: Detail = {"reason": "interrupted"}
    work.tell(record, JourneyLine(at_ms=now_ms, event="unknown", indexes=tuple(flying), detail=detail))
    again = [index for index in flying if resend or not intents.get((record.id, index))]
    change = Change(due_ms=now_ms, reason="interrupted")
    for index in flying:
        work.move(record, index, Event.REQUEUE if index in again else Event.LOSE, change)
    if again:
        work.tell(record, JourneyLine(at_ms=now_ms, event="resent", indexes=tuple(again), detail=detail))


def lose_body(message_id: str, reason: str, now_ms: int, work: Work) -> None:
    """The body or the facts cannot be read: every recipient not final is dead, for a person to look at."""
    record = work.record(message_id)
    lost = [entry.index for entry in record.entries.values() if allows(entry.state, Event.KILL)]
    for index in lost:
        work.move(record, index, Event.KILL, Change(reason=reason))
    if record.has_body:
        record.has_body = False
        work.dropped[record.seq] = record
        work.body_bytes -= record.body_bytes
    work.tell(record, JourneyLine(at_ms=now_ms, event="dead", indexes=tuple(lost), detail={"reason": reason}))
    work.close(record, now_ms)


def told_of(attempt: Attempt) -> OpenAttempt:
    """The contract's view of an attempt."""
    return OpenAttempt(
        start=attempt.start,
        dot_ms=attempt.dot_ms,
        finished_ms=attempt.finished_ms,
        recipients=len(attempt.start.indexes),
    )
