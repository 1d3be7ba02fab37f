"""What is in the journal and not yet in the database: shared by the thread that accepts and the one that writes.

Bounded in messages and bytes. It decides when there is enough for a transaction, and never loses what it holds: a
batch leaves only after the transaction that holds it is durable.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from node.spool.work import Arrival

MAX_MESSAGES = 2_000
MAX_BYTES = 8 * 1024 * 1024
"""Beyond these, messages go into the database at once and their callers wait for it."""

APPLY_MESSAGES = 256
APPLY_BYTES = 2 * 1024 * 1024
APPLY_AFTER_S = 0.05
"""A transaction is due with so many messages or bytes, or once the oldest has waited for so long. A message costs
half of what it costs in a transaction of ten; with more there is little left to gain."""

MESSAGE_ROOM_BYTES = 4 * 1024
"""What a message takes in a database at least, besides its body: rows and their share of the indexes' pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unapplied:
    """Messages of one journal batch; none for one whose write failed, which only moves the mark."""

    number: int
    arrivals: Sequence[Arrival]
    size_bytes: int


class Pending:
    """Batches in order."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._lock = threading.Lock()
        self._batches: list[Unapplied] = []
        self._names: set[str] = set()
        self._size_bytes = 0
        self._since_s = 0.0
        self.room_bytes: int | None = None
        """Space left in a bounded database; None: unbounded."""

    def begin(self, batches: Sequence[Unapplied], now_s: float) -> None:
        """Hold what the journal had at the start."""
        self._batches, self._size_bytes = [], 0
        self._names.clear()
        for batch in batches:
            self.add(batch, now_s)

    def names(self) -> list[str]:
        """Ids of the messages that wait."""
        return list(self._names)

    def files(self) -> set[str]:
        """Body files of the messages that wait."""
        return {one.file for batch in self.batches() for one in batch.arrivals if one.file}

    def add(self, batch: Unapplied, now_s: float) -> bool:
        """Take in a batch that is durable; True if the writer should be told: the first one, or enough of them."""
        with self._lock:
            was_due = self._enough()
            if not self._batches:
                self._since_s = now_s
            self._batches.append(batch)
            self._size_bytes += batch.size_bytes
            self._names.update(one.item.message.id for one in batch.arrivals)
            return len(self._batches) == 1 or (self._enough() and not was_due)

    def _enough(self) -> bool:
        return len(self._names) >= APPLY_MESSAGES or self._size_bytes >= APPLY_BYTES

    @property
    def waiting(self) -> bool:
        """Whether anything is not in the database yet."""
        return bool(self._batches)

    def holds(self, message_id: str) -> bool:
        """Whether a message is among them."""
        return message_id in self._names

    def fits(self, size_bytes: int, messages: int) -> bool:
        """Whether more may be added."""
        if self.room_bytes is not None:
            wanted = size_bytes + self._size_bytes + MESSAGE_ROOM_BYTES * (messages + len(self._names))
            if wanted > self.room_bytes:
                return False
        return len(self._names) + messages <= MAX_MESSAGES and self._size_bytes + size_bytes <= MAX_BYTES

    def due_s(self) -> float:
        """When a transaction is due by ``time.monotonic``; only while something waits."""
        return 0.0 if self._enough() else self._since_s + APPLY_AFTER_S

    def batches(self) -> list[Unapplied]:
        """Everything that waits, oldest first."""
        with self._lock:
            return list(self._batches)

    def done(self, batches: Sequence[Unapplied], now_s: float) -> None:
        """These oldest batches are durable in the database."""
        with self._lock:
            self._batches = self._batches[len(batches) :]
            self._since_s = now_s
            for batch in batches:
                self._size_bytes -= batch.size_bytes
                self._names.difference_update(one.item.message.id for one in batch.arrivals)
