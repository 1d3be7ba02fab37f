"""The rest of the spool's contract: which pairing a message belongs to, and whether its copy is known to exist.

``coordinator/ownership`` decides what a pairing means; here its messages are told apart. A message is *attached* to a
pairing by that one's number from the moment it is appended, if its copy is to be sent; 0 means that it is here alone.
Only live messages count, and settled ones of which the other end has not heard yet. All methods are called from one
loop; those that change something return when it is durable.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from node.policy.envelope import NewMessage, RecipientState
from node.spool.contract import JourneyLine, Spool


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where one recipient stands; what is not named waits untried since it was accepted."""

    index: int
    state: RecipientState
    attempts: int = 0
    next_attempt_ms: int = 0
    reason: str = ""
    reply: str = ""
    way: str = ""
    """``path:account`` of the last attempt."""
    traceparent: str = ""
    """Context of the last attempt, for links between attempts."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch of a pairing as the spool knows it."""

    number: int
    spool: str
    shadow: str
    epoch: int
    store: str = ""
    """The copy store that has the copies sent under it; empty: none were."""


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there are live messages of a pairing."""

    own: bool = False
    unconfirmed: bool = False
    """Of which it is not known that the other end has them."""
    careful: bool = False
    """Of a class that is not repeated (``bounce``, ``verify``)."""
    moving: bool = False
    """With a recipient in flight."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one message."""

    pairing: int
    """0 also for a settled one."""
    confirmed: bool
    finished: bool
    moving: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A live message as whoever takes it over must know it. ``body`` of the spool gives its body."""

    message: NewMessage
    facts: bytes
    size_bytes: int
    pairing: int
    confirmed: bool
    moving: bool
    progress: tuple[Progress, ...]
    """Every recipient that is not untried."""
    lines: tuple[JourneyLine, ...]


class Newer(msgspec.Struct, frozen=True, kw_only=True):
    """Some live messages of a pairing of which something was written lately."""

    found: tuple[Standing, ...]
    last: str
    """The id of the last message looked at; empty: there are no more."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What one durable transaction did to an attached message, beyond taking it in."""

    message_id: str
    pairing: int
    attempt_ids: tuple[str, ...] = ()
    """Attempts that ended."""
    claimed: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Attempts that began, with their recipients."""
    careful: bool = False
    progress: tuple[Progress, ...] = ()
    """Recipients that moved; those in flight are left out."""
    lines: tuple[JourneyLine, ...] = ()
    finished: bool = False


class PairedSpool(Spool, Protocol):
    """A spool that knows pairings."""

    on_changed: Callable[[Sequence[Changed]], None] | None
    """Told in the loop after each commit, before those who wait for it; None: nobody listens."""

    async def attach(self, spool: str, shadow: str, epoch: int) -> int:
        """Give the number of a pairing's epoch, the same one each time. Messages of before are attached to 0."""
        ...

    async def name_store(self, number: int, store: str) -> None:
        """Remember which copy store has the copies."""
        ...

    async def pairs(self) -> list[Pair]:
        """Every epoch of every pairing that was given a number and still has messages, and the newest ones."""
        ...

    async def number_of(self, spool: str, shadow: str, epoch: int) -> int:
        """Give the number of a pairing's epoch; 0 if it was given none, so nothing here belongs to it."""
        ...

    async def here(self, number: int) -> Here:
        """What there is of one; of 0: what is here alone."""
        ...

    async def unprotected(self) -> int:
        """Live messages not known to be kept twice."""
        ...

    async def confirm(self, number: int, message_ids: Sequence[str]) -> None:
        """The other end has these: those still attached to it count as kept twice."""
        ...

    async def unconfirm(self, number: int) -> None:
        """What the other end has counts no more."""
        ...

    async def reattach(self, message_ids: Sequence[str], number: int) -> list[str]:
        """Attach live messages, none of them in flight, to another one, unconfirmed; those it was done for."""
        ...

    async def standing(self, number: int, after: str, limit: int, *, unconfirmed: bool = False) -> list[Standing]:
        """Live messages of a pairing by id beyond one; only the unconfirmed ones if so asked."""
        ...

    async def newer(self, number: int, sequence: int, after: str, limit: int) -> Newer:
        """Live messages of a pairing by id beyond one, with whose journey something was written after *sequence*."""
        ...

    async def journeys(self, message_ids: Sequence[str]) -> dict[str, tuple[JourneyLine, ...]]:
        """The journeys of these, live or past; those that have none are missing."""
        ...

    async def heard(self, number: int) -> int:
        """How far the spool had come when the other end of a pairing had last heard everything; 0: not known."""
        ...

    async def note_heard(self, number: int, sequence: int) -> int:
        """Durable. Remember that; gives how far the spool has come: ``on_changed`` was told of all up to there.

        Raises WrongRequest for a number nobody was given.
        """
        ...

    async def look(self, message_ids: Sequence[str]) -> dict[str, Looked]:
        """What is known of these, live or past; those never seen are missing."""
        ...

    async def yield_up(self, message_ids: Sequence[str]) -> None:
        """Forget live messages that are kept as another's now, without history. None of them may be in flight."""
        ...

    async def withdraw(self, message_id: str, why: str, now_ms: int) -> bool:
        """End a message that was not answered with 250, before anything was tried; False: something was."""
        ...

    async def untold(self, number: int, limit: int) -> list[str]:
        """Settled messages of a pairing of which the other end has not heard, oldest first."""
        ...

    async def told(self, message_ids: Sequence[str]) -> None:
        """The other end has heard, or need not hear."""
        ...

    async def adopt(
        self,
        standing: Standing,
        body: bytes | Path,
        *,
        sent: frozenset[int] = frozenset(),
        origin: str,
        now_ms: int,
    ) -> bool:
        """Take a message over as it stands, under ``standing.pairing``; False if it is here already, live or past.

        ``sent``: recipients of attempts that may have sent the final dot. A body that is a file of the same file
        system is shared, not copied. Raises SpoolFull, SpoolBroken, WrongRequest.
        """
        ...

    async def remembered(self) -> int:
        """The sequence last told to the coordination store; 0: none was."""
        ...

    async def remember(self, sequence: int) -> None:
        """Remember that it is about to be told."""
        ...

    async def sequence(self) -> int:
        """Number of write transactions so far."""
        ...
