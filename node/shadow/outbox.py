"""What waits to be sent, in order, and how it is cut into batches. Does no I/O and knows no peer."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.shadow.entries import Discard, Entry, Intent, Lines, Outcome
from node.shadow.frames import IDS_MAX, size_of

NEVER: Final = float("inf")
What = Intent | Outcome | Lines
"""What is told of a message beyond its copy and its discard."""


class Kept(StrEnum):
    """What became of something sent to the shadow."""

    COPIED = "copied"
    """Durable there."""
    UNPROTECTED = "unprotected"
    """Nobody knows: it counts as kept here alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Bounds of one sender. Times in seconds."""

    copy_wait_s: float = 0.5
    """Longest wait of a caller (operations A3)."""
    silence_s: float = 2.0
    """A batch without an answer for so long ends the sending."""
    gather_s: float = 0.1
    """How long what nobody waits for may gather: the bound on what a lost machine takes along (operations A2)."""
    window: int = 3
    """Batches under way at once."""
    batch_bytes: int = 896 << 10
    batch_entries: int = 512
    worth_entries: int = 32
    worth_bytes: int = 256 << 10
    """While one batch is under way, another one is sent only with so much in it: small ones would cost more than they
    save."""
    bytes_max: int = 64 << 20
    entries_max: int = 20_000
    """What may wait or be under way; a message beyond it is unprotected at once."""
    large_max: int = 32
    """Bodies sent in pieces at once."""


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """Something to send, and who waits for it."""

    entry: Entry
    size_bytes: int
    future: "asyncio.Future[Kept] | None" = None
    deadline_s: float = NEVER
    """When its caller is told that nobody knows."""

    def settle(self, kept: Kept) -> bool:
        """Tell the caller; False if it was told before, or nobody waits."""
        if self.future is None or self.future.done():
            return False
        self.future.set_result(kept)
        return True


class Outbox:
    """First in, first out."""

    def __init__(self, pace: Pace) -> None:
        """Nothing waits."""
        self._pace = pace
        self._waiting: deque[Waiting] = deque()
        self._later: list[What] = []
        self._ids: list[str] = []
        self.size_bytes = 0
        """Of all that waits."""

    def __len__(self) -> int:
        """Count what waits in order."""
        return len(self._waiting)

    @property
    def later(self) -> int:
        """How much gathers that nobody waits for."""
        return len(self._later) + len(self._ids)

    def add(self, entry: Entry, future: "asyncio.Future[Kept] | None" = None, deadline_s: float = NEVER) -> Waiting:
        """Put something at the end."""
        waiting = Waiting(entry=entry, size_bytes=size_of(entry), future=future, deadline_s=deadline_s)
        self._waiting.append(waiting)
        self.size_bytes += waiting.size_bytes
        return waiting

    def add_later(self, entry: What) -> None:
        """Let something gather."""
        self._later.append(entry)

    def discard_later(self, message_id: str) -> None:
        """Let a discard gather."""
        self._ids.append(message_id)

    def gathered(self, now_ms: int) -> None:
        """Put at the end what has gathered; discards last, so that history comes before what ends it."""
        later, self._later = self._later, []
        ids, self._ids = self._ids, []
        for entry in still_true(later, ids):
            self.add(entry)
        for start in range(0, len(ids), IDS_MAX):
            self.add(Discard(message_ids=tuple(ids[start : start + IDS_MAX]), at_ms=now_ms))

    def worth(self) -> bool:
        """Whether enough waits for a batch beside one that is under way."""
        return len(self._waiting) >= self._pace.worth_entries or self.size_bytes >= self._pace.worth_bytes

    def cut(self) -> list[Waiting]:
        """Take the next batch: what fits, one entry at least."""
        batch: list[Waiting] = []
        size_bytes = 0
        while self._waiting and len(batch) < self._pace.batch_entries:
            size_bytes += self._waiting[0].size_bytes
            if batch and size_bytes > self._pace.batch_bytes:
                break
            batch.append(self._waiting.popleft())
        self.size_bytes -= sum(each.size_bytes for each in batch)
        return batch

    def clear(self) -> list[Waiting]:
        """Forget everything; what waited in order."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._later, self._ids, self.size_bytes = [], [], 0
        return waiting


def still_true(later: Sequence[What], settled: Iterable[str]) -> list[What]:
    """Leave out what is over before it was told: intents with an outcome, and all but history of settled messages."""
    gone = set(settled)
    ended = {each.attempt_id for each in later if isinstance(each, Outcome)}
    return [
        each
        for each in later
        if isinstance(each, Lines)
        or (each.message_id not in gone and not (isinstance(each, Intent) and each.attempt_id in ended))
    ]
