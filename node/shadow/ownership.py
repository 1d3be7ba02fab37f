"""What spares ask of the pairings' keeper, and which pairing a number in the spool stands for."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached, Row, kept_twice
from coordinator.ownership.views import Me, View
from node.spool.paired import Looked, Pair, PairedSpool


class Ownership(Protocol):
    """The part of ``coordinator.keeping.keeper.Keeper`` that is needed here."""

    @property
    def me(self) -> Me:
        """Who this node is, on which spool."""
        ...

    @property
    def judged(self) -> bool:
        """Whether the spool was judged good in this process."""
        ...

    def view(self, key: PairKey) -> View | None:
        """Give a pairing as known."""
        ...

    def views(self) -> Iterable[View]:
        """Give all of them."""
        ...

    def other_end(self, key: PairKey) -> str:
        """Name the node at the other end; empty if nobody is there on the disk the pairing knows."""
        ...

    def live(self) -> bool:
        """Whether the session is live and the spool opened in it."""
        ...

    def to_ask_back(self) -> Sequence[tuple[str, PairKey, int]]:
        """Name nodes to be asked for a pairing's key, and the revision it is asked for."""
        ...

    def asked_back(self, key: PairKey, revision: int) -> None:
        """Take that a pairing's own node asks for its key."""
        ...


async def numbers(spool: PairedSpool) -> dict[int, Attached]:
    """Every pairing the spool has given a number."""
    return {pair.number: attached_of(pair) for pair in await spool.pairs()}


def attached_of(pair: Pair) -> Attached:
    """Give a pairing's epoch as ownership names it."""
    return Attached(key=PairKey(spool=pair.spool, shadow=pair.shadow), epoch=pair.epoch)


async def number_of(spool: PairedSpool, attached: Attached) -> int:
    """Give a pairing's number; 0 if it has none, so nothing in the spool belongs to it."""
    return await spool.number_of(attached.key.spool, attached.key.shadow, attached.epoch)


async def attach(spool: PairedSpool, attached: Attached) -> int:
    """Give a pairing's number, a new one if it has none."""
    return await spool.attach(attached.key.spool, attached.key.shadow, attached.epoch)


def row_of(looked: Looked, pairs: dict[int, Attached], ownership: Ownership) -> Row:
    """Give a live message of the spool as ownership sees it.

    That it is kept twice counts only as long as its pairing lets it count, whatever the spool has noted so far.
    """
    attached = pairs.get(looked.pairing)
    row = Row(attached=attached, confirmed=looked.confirmed)
    twice = attached is not None and kept_twice(row, ownership.view(attached.key))
    return row if twice else Row(attached=attached)
