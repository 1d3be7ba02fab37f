"""The spool in dictionaries: the same contract and the same steps, durable only as long as the process lives.

For tests and simulations of other rooms. Files are used only for the bodies handed over as files.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from node.policy.envelope import NewMessage, RecipientState
from node.policy.lifecycle import WAITING_STATES
from node.spool import steps
from node.spool.bodies import INLINE_BYTES, SMALL_BODY_BYTES, Bodies, chunks
from node.spool.changed import changes_of
from node.spool.contract import (
    Accepted,
    AttemptStart,
    Counts,
    Due,
    Filter,
    JourneyLine,
    LaneState,
    MessageView,
    OpenAttempt,
    RecipientResult,
    Settlement,
)
from node.spool.erasing import Eraser
from node.spool.errors import MessageGone, SpoolClosed
from node.spool.memory_pairing import MemoryPairs
from node.spool.operations import Step
from node.spool.pages import Page, Spot
from node.spool.rows import due_of, dues_of, view_of
from node.spool.search import MAX_LIMIT, key_of, matches, page_of
from node.spool.work import Attempt, Entry, Record, Work

LEDGER_MS = 25 * 3_600_000

T = TypeVar("T")


class MemorySpool(MemoryPairs):
    """Mail at rest in memory; implements ``paired.PairedSpool``."""

    def __init__(self, directory: Path, *, now_ms: Callable[[], int]) -> None:
        """``directory`` takes large bodies only."""
        super().__init__()
        self._bodies = Bodies(directory)
        self._directory = directory
        self._now_ms = now_ms
        self._records: dict[str, Record] = {}
        self._messages: dict[str, NewMessage] = {}
        self._lines: dict[int, list[JourneyLine]] = {}
        self._attempts: dict[str, Attempt] = {}
        self._data: dict[str, bytes] = {}
        self._next_seq, self._open = 1, False

    async def open(self, now_ms: int) -> None:  # noqa: ARG002 - the contract's
        """See the contract; what an earlier ``close`` left is still there."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._bodies.prepare()
        self._open = True

    async def close(self) -> None:
        """See the contract."""
        self._open = False

    def _do(self, apply: Callable[[Work], T], messages: Iterable[str] = (), attempts: Iterable[str] = ()) -> T:
        """Let one step work on the records themselves, then take over what it noted."""
        if not self._open:
            raise SpoolClosed("the spool is closed")
        work = Work(
            next_seq=self._next_seq,
            pairs=self._numbers,
            records={name: self._records[name] for name in messages if name in self._records},
            attempts={name: self._attempts[name] for name in attempts if name in self._attempts},
        )
        value = apply(work)
        self._next_seq = work.next_seq
        self._records |= work.records
        self._attempts |= work.attempts
        for record, item, _ in work.appended:
            self._messages[record.id] = item.message
        for seq, lines in work.lines.items():
            self._lines.setdefault(seq, []).extend(lines)
        for record in work.dropped.values():
            self._forget_body(record)
        self._sequence += work.changed()
        self._written |= dict.fromkeys(work.lines, self._sequence)
        if self.on_changed is not None and (changes := changes_of(work)):
            self.on_changed(changes)
        return value

    def _forget_body(self, record: Record) -> None:
        self._data.pop(record.id, None)
        if record.body_file:
            self._bodies.remove([record.body_file])

    def new_body_path(self, message_id: str) -> Path:
        """See the contract."""
        return self._bodies.path_for(message_id)

    async def append(self, item: Accepted) -> None:
        """See the contract."""
        body, message_id = item.body, item.message.id
        if isinstance(body, bytes) and len(body) <= INLINE_BYTES:
            self._do(partial(steps.append, item, len(body), ""), (message_id,))
            self._data[message_id] = body
            return
        size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
        # The step refuses an id already here before the file of that id is touched.
        self._do(partial(self._append_file, item, size_bytes), (message_id,))

    def append_soon(self, item: Accepted) -> "asyncio.Future[None]":
        """See the contract."""
        return asyncio.ensure_future(self.append(item))

    def _append_file(self, item: Accepted, size_bytes: int, work: Work) -> None:
        steps.append(item, size_bytes, "", work)
        work.records[item.message.id].body_file = self._bodies.take(item.message.id, item.body)

    async def lanes(self) -> list[LaneState]:
        """See the contract."""
        waiting: dict[str, list[tuple[int, Record]]] = {}
        for record in self._records.values():
            for entry in record.entries.values():
                if entry.due_ms is not None:
                    waiting.setdefault(entry.lane, []).append((entry.due_ms, record))
        return [
            LaneState(
                lane=lane,
                waiting=len(found),
                first_due_ms=min(due_ms for due_ms, _ in found),
                oldest_received_ms=self._messages[min((r for _, r in found), key=_seq).id].received_ms,
            )
            for lane, found in sorted(waiting.items())
        ]

    async def peek(self, lane: str, now_ms: int, limit: int, exclude: Sequence[str] = ()) -> list[Due]:
        """See the contract."""
        found: list[tuple[int, int, Due]] = []
        for record in self._records.values():
            due = [e for e in _sorted(record) if e.lane == lane and e.due_ms is not None and e.due_ms <= now_ms]
            if due and record.id not in exclude:
                first = min(entry.due_ms or 0 for entry in due)
                body = self._data.get(record.id)
                small = body if body is not None and len(body) <= SMALL_BODY_BYTES else None
                found.append((first, record.seq, due_of(self._messages[record.id], due, small, record.pairing or 0)))
        return [due for _, _, due in sorted(found, key=lambda item: item[:2])[:limit]]

    async def claim(self, start: AttemptStart) -> bool:
        """See the contract."""
        return self._do(partial(steps.claim, start), (start.message_id,), (start.attempt_id,))

    async def intend(self, attempt_id: str, dot_ms: int) -> None:
        """See the contract."""
        self._do(partial(steps.intend, attempt_id, dot_ms), (), (attempt_id,))

    async def settle(self, settlement: Settlement) -> None:
        """See the contract."""
        self._do(partial(steps.settle, settlement), (settlement.message_id,), (settlement.attempt_id,))

    async def postpone(self, message_id: str, indexes: Sequence[int], until_ms: int, reason: str) -> None:
        """See the contract."""
        self._do(partial(steps.postpone, message_id, indexes, until_ms, reason, self._now_ms()), (message_id,))

    async def recover(self, now_ms: int, counted_ms: int = 0) -> list[OpenAttempt]:
        """See the contract."""
        since_ms = now_ms - LEDGER_MS
        found = [
            steps.told_of(attempt)
            for attempt in sorted(self._attempts.values(), key=lambda a: (a.start.started_ms, a.start.attempt_id))
            if attempt.mail_sent and attempt.start.started_ms >= since_ms
        ]
        apply = partial(steps.recover, now_ms, counted_ms, lambda name: self._messages[name].on_unknown)
        self._do(apply, list(self._records), list(self._attempts))
        return found

    async def unknowns(self, now_ms: int, limit: int) -> list[Due]:  # noqa: ARG002 - the contract's
        """See the contract."""
        order = sorted(self._records.values(), key=_seq)
        return self._in_states(order, frozenset({RecipientState.UNKNOWN}), limit)

    async def expired(self, now_ms: int, limit: int) -> list[Due]:
        """See the contract."""
        past = [r for r in self._records.values() if self._messages[r.id].expires_ms <= now_ms]
        past.sort(key=lambda record: (self._messages[record.id].expires_ms, record.seq))
        return self._in_states(past, WAITING_STATES | {RecipientState.UNKNOWN}, limit)

    def _in_states(self, order: list[Record], states: frozenset[RecipientState], limit: int) -> list[Due]:
        found: list[Due] = []
        for record in order:
            if limit <= 0:
                break
            entries = [entry for entry in _sorted(record) if entry.state in states]
            if entries:
                limit -= 1
                found += dues_of(self._messages[record.id], entries, pairing=record.pairing or 0)
        return found

    async def finish(self, message_id: str, results: Sequence[RecipientResult], now_ms: int, event: str) -> None:
        """See the contract."""
        self._do(partial(steps.finish, message_id, results, now_ms, event), (message_id,))

    async def body(self, message_id: str) -> bytes | Path:
        """See the contract."""
        record = self._records.get(message_id)
        if record is None or not record.has_body:
            raise MessageGone(f"the body of {message_id} is not in the spool")
        return self._bodies.find(message_id, record.body_file) if record.body_file else self._data[message_id]

    async def export(self, message_id: str) -> AsyncIterator[bytes]:
        """See the contract."""
        found = await self.body(message_id)
        for piece in [found] if isinstance(found, bytes) else chunks(found):
            yield piece

    async def _change(self, step: Step) -> int:
        return int(self._do(step.apply, step.messages))

    async def find(self, which: Filter) -> list[MessageView]:
        """See the contract."""
        newest = sorted(self._records.values(), key=lambda r: (self._messages[r.id].received_ms, r.seq), reverse=True)
        views = (view_of(self._messages[record.id], record) for record in newest)
        return [view for view in views if matches(which, view)][: max(0, min(which.limit, MAX_LIMIT))]

    async def page(self, which: Filter, before: Spot | None = None) -> Page:
        """See the contract."""
        views = (view_of(self._messages[record.id], record) for record in self._records.values())
        return page_of((view for view in views if matches(which, view)), which.limit, before)

    async def journey(self, message_id: str) -> MessageView | None:
        """See the contract."""
        record = self._records.get(message_id)
        if record is None:
            return None
        return view_of(self._messages[message_id], record, self._lines.get(record.seq, ()))

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """See the contract."""
        eraser = Eraser(address)
        hit = [r for r in self._records.values() if r.finished_ms and eraser.key in self._addresses(r)]
        for record in hit:
            self._messages[record.id] = eraser.message(self._messages[record.id])
            for entry in _sorted(record):
                record.entries[entry.index] = _reworded(entry, eraser.text(entry.reply))
            told = [eraser.line(line) for line in self._lines.get(record.seq, ())]
            self._lines[record.seq] = [*told, JourneyLine(at_ms=now_ms, event="erased", detail={"actor": actor})]
        return len(hit)

    def _addresses(self, record: Record) -> set[str]:
        message = self._messages[record.id]
        every = [message.mail_from, message.header_from]
        every += [word for recipient in message.recipients for word in (recipient.address, recipient.original)]
        return {key_of(address) for address in every if address}

    async def prune(self, before_ms: int, limit: int) -> int:
        """See the contract."""
        past = [record for record in self._records.values() if 0 < record.finished_ms < before_ms]
        past.sort(key=lambda record: (self._messages[record.id].received_ms, record.seq))
        for record in past[:limit]:
            self._forget_body(record)
            del self._records[record.id], self._messages[record.id]
            self._lines.pop(record.seq, None)
        old_ms = self._now_ms() - LEDGER_MS
        self._attempts = {
            name: attempt
            for name, attempt in self._attempts.items()
            if not attempt.finished_ms or attempt.start.started_ms >= old_ms
        }
        return len(past[:limit])

    async def count(self) -> Counts:
        """See the contract."""
        by_state: dict[str, int] = {}
        for record in self._records.values():
            for entry in record.entries.values():
                by_state[entry.state.value] = by_state.get(entry.state.value, 0) + 1
        oldest: dict[str, int] = {}
        for lane in await self.lanes():
            priority = lane.lane.split("/", 1)[0]
            oldest[priority] = min(oldest.get(priority, lane.oldest_received_ms), lane.oldest_received_ms)
        size = sum(record.body_bytes for record in self._records.values() if record.has_body)
        return Counts(by_state=by_state, oldest_received_ms=oldest, body_bytes=size)


def _seq(record: Record) -> int:
    return record.seq


def _sorted(record: Record) -> list[Entry]:
    return sorted(record.entries.values(), key=lambda entry: entry.index)


def _reworded(entry: Entry, reply: str) -> Entry:
    head = (entry.index, entry.state, entry.due_ms, entry.lane, entry.attempts, entry.reason)
    return Entry(*head, reply, entry.way, entry.trace, entry.tried_ms)
