"""The copy store's contract: what another node's mail is kept in, and what is durable when.

Everything that returns from a call marked *durable* survives kill -9 and power loss of this host. Copies belong to one
pairing and epoch (``Attached``); those of one never touch those of another. All methods are called from one loop.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from coordinator.ownership.rows import Attached
from node.shadow.entries import Copy, Intent, Progress
from node.shadow.frames import Batch
from node.spool.contract import Filter, JourneyLine
from node.spool.pages import Spot
from node.spool.paired import Standing

PAIRINGS_MAX: Final = 1_024
"""Pairings and epochs a store keeps anything of."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Whose batches are taken for a pairing now, and which one next."""

    node: str
    number: int
    expected: int


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One pairing's copies in numbers."""

    attached: Attached
    node: str
    """Who sent them."""
    messages: int
    size_bytes: int
    """Of their bodies and facts; history is not counted."""


class KeptCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One message as kept, with what was told of it since; ``body`` gives its body."""

    message_id: str
    facts: bytes
    size_bytes: int
    progress: tuple[Progress, ...] = ()
    intents: tuple[Intent, ...] = ()
    """Attempts that may have sent the final dot and of which no outcome was told."""
    lines: tuple[JourneyLine, ...] = ()
    damaged: bool = False
    """Something that was told of it cannot be read: where it stands is not known."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A settled message as history keeps it."""

    message_id: str
    facts: bytes
    discarded_ms: int
    lines: tuple[JourneyLine, ...] = ()


class FoundPast(msgspec.Struct, frozen=True, kw_only=True):
    """Settled messages that fit a filter, newest first."""

    items: tuple[Past, ...]
    more: bool = False
    """Not everything was looked at."""
    looked_to: Spot | None = None
    """All that fits down to here is in it, and there may be more beyond; None: that was all."""


class FoundKept(msgspec.Struct, frozen=True, kw_only=True):
    """Copies that fit a filter, newest first."""

    items: tuple[KeptCopy, ...]
    more: bool = False
    """Not everything was looked at."""


class Copies(Protocol):
    """Copies at rest."""

    @property
    def store_id(self) -> str:
        """UUID made with the store; another one means that what was kept under the old one is gone."""
        ...

    async def open(self, now_ms: int) -> None:
        """Check, migrate, set aside what cannot be read. Raises SpoolUnusable (newer schema, network file system)."""
        ...

    async def close(self) -> None:
        """Finish what is under way; idempotent."""
        ...

    async def begin(self, attached: Attached, node: str) -> int:
        """Durable. Give a new stream, whose first batch is 1; the one before counts no more.

        Pieces of bodies that were not complete are gone; copies stay. Raises WrongNode, QuotaReached.
        """
        ...

    async def stream(self, attached: Attached) -> Stream | None:
        """Tell what is taken next; None if nothing ever was."""
        ...

    async def put(self, attached: Attached, batch: Batch) -> int:
        """Durable. Take a batch; the sequence of the last one taken.

        One that was taken before changes nothing. Calls made one after the other are carried out in that order. Raises
        WrongStream, Gap, Malformed (a body that is not there), and SpoolFull, SpoolBroken, SpoolClosed (temporary).
        """
        ...

    async def held(self) -> list[Held]:
        """Every pairing with copies or a stream."""
        ...

    async def rows(self, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
        """Copies of a pairing by id, which is the order of acceptance, beyond the id *after* (empty: all)."""
        ...

    async def body(self, attached: Attached, message_id: str) -> bytes | Path:
        """Give a body, or the file of a large one. Raises MessageGone."""
        ...

    async def holding(self, attached: Attached) -> Held | None:
        """Give one pairing in numbers, at once; None if nothing of it is here."""
        ...

    async def ids(self, attached: Attached, after: str, limit: int) -> list[str]:
        """Ids of a pairing's copies in their order, beyond one."""
        ...

    async def seen(self, message_ids: Sequence[str]) -> dict[str, bool]:
        """Of these, under whatever pairing: True, settled and not kept; False, kept. Others are missing."""
        ...

    async def keep(self, attached: Attached, node: str, items: Sequence[tuple[Standing, bytes | Path]]) -> None:
        """Durable. Keep messages of this node's own spool that are another's now, as they stand.

        ``node``: who may send copies of this pairing. One that is kept already takes what it stands at; a body that is
        a file of the same file system is shared, not copied. The quota does not apply, for it is no other node's mail.
        Raises SpoolFull, SpoolBroken, SpoolClosed.
        """
        ...

    async def settle(self, attached: Attached, message_ids: Sequence[str], at_ms: int) -> int:
        """Durable. Turn copies into history, as a discard does; how many there were."""
        ...

    async def take_away(self, attached: Attached, message_ids: Sequence[str]) -> int:
        """Durable. Forget copies that are kept as somebody's own now, without history; how many there were."""
        ...

    async def drop(self, attached: Attached) -> int:
        """Durable. Forget a pairing with its copies; how many there were. History stays."""
        ...

    async def keep_only(self, attached: Attached) -> int:
        """Durable. Forget copies of the same pairing's other epochs; how many there were."""
        ...

    async def past(self, message_id: str) -> Past | None:
        """Give a settled message."""
        ...

    async def find_past(self, which: Filter) -> FoundPast:
        """Find settled messages, as far as is known here how they ended; at most ``which.limit``."""
        ...

    async def page_past(self, which: Filter, before: Spot | None = None) -> FoundPast:
        """Find settled messages beyond a place of history; takes a bounded time, as ``Spool.page`` does."""
        ...

    async def find_kept(self, which: Filter, pairings: Sequence[Attached]) -> FoundKept:
        """Find copies of some pairings as they stand; at most ``which.limit``."""
        ...

    async def complete_addresses(self, limit: int) -> int:
        """Durable. Let some of what was settled under an older version be found by address; 0 when all can be."""
        ...

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """Durable. Replace an address in history by a fixed mark, as the spool does; messages changed."""
        ...

    async def prune(self, before_ms: int, limit: int) -> int:
        """Durable. Drop history of messages discarded before; how many."""
        ...


def cost_of(copy: Copy) -> int:
    """Bytes that count towards the quota."""
    return len(copy.facts) + copy.size_bytes
