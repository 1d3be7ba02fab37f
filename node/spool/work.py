"""The unit of work: the records a batch of operations touches, and what those operations changed in them.

Pure. Both stores load records into a Work, let ``steps`` change it, and write back what it lists. It decides no
move itself (node/policy/lifecycle.py does) and does not know how anything is stored. An operation must check
everything before its first change: a Work has no undo.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from node.policy.envelope import FINAL_STATES, Copies, OnUnknown, RecipientState
from node.policy.lifecycle import BODY_STATES, WAITING_STATES, Event, step
from node.spool.contract import Accepted, AttemptStart, JourneyLine
from node.spool.errors import AttemptUnknown, MessageGone


class CopyState(IntEnum):
    """What is known of a message's copy."""

    UNCONFIRMED = 0
    CONFIRMED = 1
    SETTLED = 2
    """The message is settled, and the other end has not heard."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The changeable half of one recipient; array-like because rows arrive as JSON arrays in this order."""

    index: int
    state: RecipientState
    due_ms: int | None
    """Set exactly while the recipient waits."""
    lane: str
    attempts: int = 0
    reason: str = ""
    reply: str = ""
    way: str = ""
    trace: str = ""
    """Context of the newest attempt, begun at ``tried_ms``."""
    tried_ms: int = 0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One claimed attempt and what is known of its end."""

    start: AttemptStart
    dot_ms: int = 0
    finished_ms: int = 0
    mail_sent: bool = True


@dataclass(slots=True, kw_only=True)
class Record:
    """One message with all its recipients, as far as moves need to know it."""

    seq: int
    """Number of the row in this spool; order of appending."""
    id: str
    entries: dict[int, Entry]
    finished_ms: int = 0
    body_bytes: int = 0
    body_file: str = ""
    has_body: bool = True
    pairing: int | None = None
    """Number of the pairing it is attached to (``paired.py``); None: nothing is noted of a copy."""
    copy: CopyState = CopyState.UNCONFIRMED
    careful: bool = False
    """Of a class that is not repeated; known of one that has a pairing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message to append, its body inline or kept as ``file`` already."""

    item: Accepted
    size_bytes: int
    file: str
    facts: bytes
    """The message's facts as stored."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to make of one recipient besides its state; ``None`` leaves the old value."""

    due_ms: int = 0
    reason: str | None = None
    reply: str | None = None
    way: str | None = None
    trace: str | None = None
    tried_ms: int | None = None
    tries: int = 0


@dataclass(slots=True, kw_only=True)
class Work:
    """Records by message id, attempts by attempt id, and the list of changes to be written in one transaction."""

    next_seq: int
    pairs: frozenset[int] | None = None
    """Numbers of pairings; None: this spool was never in a cluster."""
    records: dict[str, Record] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    appended: list[tuple[Record, Accepted, tuple[Entry, ...]]] = field(default_factory=list)
    """New messages with their recipients as appended: a later operation of the batch may move them already."""
    moved: dict[tuple[int, int], tuple[RecipientState, Record]] = field(default_factory=dict)
    """(seq, index) to the state found in the store; guards the write."""
    lines: dict[int, list[JourneyLine]] = field(default_factory=dict)
    claimed: dict[str, Attempt] = field(default_factory=dict)
    touched: dict[str, Attempt] = field(default_factory=dict)
    finished: dict[int, int] = field(default_factory=dict)
    dropped: dict[int, Record] = field(default_factory=dict)
    """Messages whose body is no longer needed."""
    facts: dict[int, bytes] = field(default_factory=dict)
    """Facts of new messages by seq, where they were encoded before."""
    recopied: dict[int, Record] = field(default_factory=dict)
    """Messages whose pairing or copy is not as it was, by seq."""
    taken_over: set[int] = field(default_factory=set)
    """Those of ``appended`` that came as they stand: what is written of them is no news."""
    tally: Counter[tuple[str, RecipientState]] = field(default_factory=Counter)
    body_bytes: int = 0

    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.appended or self.moved or self.lines or self.claimed or self.touched)

    def record(self, message_id: str) -> Record:
        """Find a record; raises MessageGone."""
        found = self.records.get(message_id)
        if found is None:
            raise MessageGone(f"no message {message_id} in the spool")
        return found

    def attempt(self, attempt_id: str) -> Attempt:
        """Find an attempt; raises AttemptUnknown."""
        found = self.attempts.get(attempt_id)
        if found is None:
            raise AttemptUnknown(f"no attempt {attempt_id} in the spool")
        return found

    def add(self, item: Accepted, entries: Iterable[Entry], size_bytes: int, file: str) -> Record:
        """Take in a new message."""
        pairing = self._pairing(item.pairing)
        # What shall lie here alone is as safe as it is meant to be.
        alone = pairing == 0 and item.message.copies is Copies.ONE
        made = Record(
            seq=self.next_seq,
            id=item.message.id,
            entries={entry.index: entry for entry in entries},
            body_bytes=size_bytes,
            body_file=file,
            pairing=pairing,
            copy=CopyState.CONFIRMED if alone else CopyState.UNCONFIRMED,
            careful=item.message.on_unknown is not OnUnknown.RESEND,
        )
        self.next_seq += 1
        self.records[made.id] = made
        self.appended.append((made, item, tuple(made.entries.values())))
        self.body_bytes += size_bytes
        for entry in made.entries.values():
            self.tally[entry.lane, entry.state] += 1
        return made

    def _pairing(self, asked: int | None) -> int | None:
        """Under what number a message is kept: alone if that is not known here, for the message counts more."""
        if asked is None:
            return None if self.pairs is None else 0
        return asked if self.pairs is not None and asked in self.pairs else 0

    def move(self, record: Record, index: int, event: Event, change: Change) -> None:
        """Move one recipient; raises IllegalMove and changes nothing for a pair the table does not have."""
        old = record.entries[index]
        state = step(old.state, event)
        record.entries[index] = Entry(
            index,
            state,
            change.due_ms if state in WAITING_STATES else None,
            old.lane,
            old.attempts + change.tries,
            old.reason if change.reason is None else change.reason,
            old.reply if change.reply is None else change.reply,
            old.way if change.way is None else change.way,
            old.trace if change.trace is None else change.trace,
            old.tried_ms if change.tried_ms is None else change.tried_ms,
        )
        self.moved.setdefault((record.seq, index), (old.state, record))
        self.tally[old.lane, old.state] -= 1
        self.tally[old.lane, state] += 1

    def tell(self, record: Record, line: JourneyLine) -> None:
        """Add a line to the message's journey."""
        self.lines.setdefault(record.seq, []).append(line)

    def keep(self, attempt: Attempt, *, new: bool = False) -> None:
        """Note a new or changed attempt."""
        attempt_id = attempt.start.attempt_id
        self.attempts[attempt_id] = attempt
        if new or attempt_id in self.claimed:
            self.claimed[attempt_id] = attempt
        else:
            self.touched[attempt_id] = attempt

    def close(self, record: Record, now_ms: int) -> None:
        """After moves: note whether the message is finished, and let the body go when nobody can need it."""
        states = {entry.state for entry in record.entries.values()}
        finished_ms = (record.finished_ms or now_ms) if states <= FINAL_STATES else 0
        if finished_ms != record.finished_ms:
            record.finished_ms = finished_ms
            self.finished[record.seq] = finished_ms
            self._recopy(record)
        if record.has_body and not states & BODY_STATES:
            record.has_body = False
            self.dropped[record.seq] = record
            self.body_bytes -= record.body_bytes

    def _recopy(self, record: Record) -> None:
        """A settled message is remembered until the other end has heard; one that lives again is here alone."""
        if record.pairing is None and (record.finished_ms or self.pairs is None):
            return
        if not record.finished_ms:
            record.pairing, record.copy = 0, CopyState.UNCONFIRMED
        elif record.pairing:
            record.copy = CopyState.SETTLED
        else:
            record.pairing = None
        self.recopied[record.seq] = record
