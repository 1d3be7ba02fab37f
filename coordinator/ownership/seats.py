"""Who is there with which spool: the members' keys as ownership needs them, and since when a spool is not there. Pure.

Times are those of *learning* of an end, never earlier than the end itself, so delays counted from them are safe.
"""

from dataclasses import dataclass

import msgspec

from coordinator.keys import decode
from coordinator.members import told
from coordinator.store.contract import Item, Seen


class _Spooled(msgspec.Struct, frozen=True):
    spool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A member that is there; ``spool`` is empty when it does not say, or what it says cannot be read."""

    node: str
    inc: int
    spool: str = ""


class Seats:
    """State of one watch over the members' keys; bounded by the names and spools ever seen in it."""

    def __init__(self, prefix: str, *, now_ms: int) -> None:
        """Watch keys that begin with ``prefix``; what was never seen counts as absent since ``now_ms``."""
        self._prefix, self._began_ms = prefix, now_ms
        self._live: dict[str, Seat] = {}
        self._gone_ms: dict[str, int] = {}

    def feed(self, seen: Seen, now_ms: int) -> None:
        """Take what a watch told."""
        for node, item in told(seen, self._prefix, self._live):
            self._remove(node, now_ms)
            if item is not None:
                self._add(node, item)

    def get(self, node: str) -> Seat | None:
        """Give the member's seat, or None when it is absent."""
        return self._live.get(node)

    def with_spool(self, spool: str) -> Seat | None:
        """Give the seat of whoever is there with this spool."""
        return next((seat for seat in self._live.values() if seat.spool == spool), None)

    @property
    def live(self) -> tuple[Seat, ...]:
        """Everybody who is there, by name."""
        return tuple(self._live[node] for node in sorted(self._live))

    def spool_gone_ms(self, spool: str) -> int:
        """Give the time we learnt that nobody has this spool any more; never seen: since we watch."""
        return self._gone_ms.get(spool, self._began_ms)

    def _add(self, node: str, item: Item) -> None:
        record = decode(item.value, _Spooled)
        self._live[node] = Seat(node=node, inc=item.create_revision, spool=record.spool if record else "")

    def _remove(self, node: str, now_ms: int) -> None:
        before = self._live.pop(node, None)
        if before is not None and before.spool:
            self._gone_ms[before.spool] = now_ms
