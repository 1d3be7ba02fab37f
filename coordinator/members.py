"""Who is there: a view of the members' keys, with the local time each one disappeared. Pure, fed by a watch.

Times are those of *learning* of an end, never earlier than the end itself, so delays counted from them are safe.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from coordinator.keys import decode
from coordinator.store.contract import Item, Seen


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a process publishes of itself under its leased key."""

    node: str
    boot_id: str
    """The kernel's boot id: the same host since the same start."""
    process_id: str
    """Random, new with every start of the process."""
    site: str = ""
    config_hash: str = ""
    address: str = ""
    version: str = ""
    spool: str = ""
    """UUID of the disk it works on (coordination-review §3); empty: it has none, or none yet."""
    levels: tuple[int, int] = (1, 1)
    """Oldest and newest level it knows (``versions/release.py``); the first version did not say so."""
    protocols: tuple[int, int] = (1, 1)
    """Oldest and newest protocol it answers other processes in."""
    schemas: tuple[int, int] = (0, 0)
    """Schemas its disk has at the oldest and at the newest of these levels; zeros: it has no disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A key that is there; ``record`` is None when it cannot be read (then it is there all the same)."""

    node: str
    inc: int
    lease: int
    record: MemberRecord | None


def told(seen: Seen, prefix: str, live: Collection[str]) -> list[tuple[str, Item | None]]:
    """Give the names under ``prefix`` a watch spoke of, each with its key's item, or None for one that is gone.

    A resync speaks by its silence of those in ``live`` that are not there any more.
    """
    present = {change.key for change in seen.changes}
    gone = [node for node in live if prefix + node not in present] if seen.resync else []
    changed = [change for change in seen.changes if change.key.startswith(prefix)]
    return [
        *((node, None) for node in gone),
        *((change.key.removeprefix(prefix), change.item) for change in changed),
    ]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What a coordinator publishes of its node under ``ready/<node>``, with its lease."""

    ready: bool
    reasons: tuple[str, ...] = ()
    ended: bool = False
    """The node's process was seen to end and no other has answered since; the first version did not say so."""


def readiness_of(item: Item, coordinator: Member) -> Readiness | None:
    """Read what a living coordinator published; None when it is another's word, or cannot be read."""
    return decode(item.value, Readiness) if item.lease == coordinator.lease else None


class Membership:
    """State of one watch over one role's keys; bounded by the number of names ever seen in it."""

    def __init__(self, prefix: str, *, known: tuple[str, ...], now_ms: int) -> None:
        """``known``: configured nodes, which count as absent since ``now_ms`` until seen."""
        self._prefix = prefix
        self._live: dict[str, Member] = {}
        self._gone_ms: dict[str, int] = dict.fromkeys(known, now_ms)
        self._began_ms = now_ms
        self.revision = 0

    def feed(self, seen: Seen, now_ms: int) -> None:
        """Take what a watch told."""
        for node, item in told(seen, self._prefix, self._live):
            if item is None:
                self._remove(node, now_ms)
            else:
                self._add(node, item, now_ms)
        self.revision = max(self.revision, seen.revision)

    def get(self, node: str) -> Member | None:
        """Give the member, or None when it is absent."""
        return self._live.get(node)

    @property
    def live(self) -> tuple[str, ...]:
        """Names of those who are there, sorted."""
        return tuple(sorted(self._live))

    def gone_ms(self, node: str) -> int | None:
        """Give the time we learnt of a node's absence; None while it is there. Unknown names: since we watch."""
        return None if node in self._live else self._gone_ms.get(node, self._began_ms)

    @property
    def incarnations(self) -> dict[str, int]:
        """Give those who are there, each with the create revision of its key."""
        return {node: member.inc for node, member in self._live.items()}

    @property
    def ends_ms(self) -> dict[str, int]:
        """Give the times at which we learnt of ends; names never seen are missing."""
        return {node: gone_ms for node, gone_ms in self._gone_ms.items() if node not in self._live}

    def _add(self, node: str, item: Item, now_ms: int) -> None:
        before = self._live.get(node)
        if before is not None and before.inc != item.create_revision:
            self._remove(node, now_ms)  # one life ended and another began between two looks
        self._live[node] = Member(
            node=node, inc=item.create_revision, lease=item.lease, record=decode(item.value, MemberRecord)
        )

    def _remove(self, node: str, now_ms: int) -> None:
        if self._live.pop(node, None) is not None:
            self._gone_ms[node] = now_ms
