"""What a coordinator knows of all others from the one watch: who lives, who is ready, who wants what."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordinator.feed import Feed
from coordinator.floors import read_floors, write_floors
from coordinator.inforce import InForce, Wanted, in_force_of, wanted_of
from coordinator.keys import Keys, Role, decode
from coordinator.members import Member, Membership, Readiness, readiness_of
from coordinator.runner import boottime_ms
from coordinator.store.contract import Item, Seen
from coordinator.wishes import Verify, WishBook

DRAINS_MAX: Final = 256
SESSIONS_MS: Final = 5_000
"""A drained node has seen out whoever came by an address after 2.5 s, and says then that it is not ready."""


def wall_ms() -> int:
    """Read the wall clock: wishes end by it."""
    return time.time_ns() // 1_000_000


class Everybody:
    """The cluster as seen by the watch. ``verify`` tells whose word a wish is."""

    def __init__(
        self, feed: Feed, keys: Keys, verify: Verify, floors: Path, *, now_ms: Callable[[], int] = boottime_ms
    ) -> None:
        """Know nobody; ``subscribe`` begins. ``floors``: the file of wishes seen before."""
        self._feed, self._keys, self._now_ms = feed, keys, now_ms
        self.coordinators = Membership(keys.member(Role.COORDINATOR, ""), known=(), now_ms=now_ms())
        self.nodes = Membership(keys.member(Role.NODE, ""), known=(), now_ms=now_ms())
        self._floors = floors
        self.wishes = WishBook(keys, verify, floors=read_floors(floors))
        self._since: dict[tuple[str, str, int], int] = {}

    def subscribe(self) -> Callable[[], None]:
        """Follow the feed from now on; gives the way out."""
        return self._feed.subscribe(self.feed)

    def feed(self, seen: Seen) -> None:
        """Take what the watch told."""
        now_ms = self._now_ms()
        self.coordinators.feed(seen, now_ms)
        self.nodes.feed(seen, now_ms)
        if self.wishes.feed(seen):
            write_floors(self._floors, self.wishes.floors)
        lives = {(role, m.node, m.inc) for role, m in self.members()}
        self._since = {life: self._since.get(life, now_ms) for life in lives}

    def members(self) -> list[tuple[str, Member]]:
        """Give every living process with its role (``node`` or ``coordinator``), by name."""
        roles = (("coordinator", self.coordinators), ("node", self.nodes))
        found = [(role, members.get(node)) for role, members in roles for node in members.live]
        return [(role, member) for role, member in found if member is not None]

    def seen_ms(self, role: str, member: Member) -> int:
        """Say for how long this life of a process has been there, as far as we saw."""
        return self._now_ms() - self._since.get((role, member.node, member.inc), self._now_ms())

    def readiness(self, node: str) -> Readiness | None:
        """Give what its living coordinator published of a node; None when nothing counts."""
        item, member = self._feed.items.get(self._keys.ready(node)), self.coordinators.get(node)
        return None if item is None or member is None else readiness_of(item, member)

    def ready(self) -> frozenset[str]:
        """Give the nodes that count as ready: with a living coordinator that said so."""
        said = {node: self.readiness(node) for node in self.coordinators.live}
        return frozenset(node for node, readiness in said.items() if readiness is not None and readiness.ready)

    def draining(self, nodes: tuple[str, ...]) -> frozenset[str]:
        """Give those of the nodes an operator drains."""
        return frozenset(node for node in nodes[:DRAINS_MAX] if self.wishes.drain(node, wall_ms()) is not None)

    def overdue(self, nodes: tuple[str, ...]) -> frozenset[str]:
        """Give those drained for so long that nobody waits for their sessions any more."""
        before_ms = wall_ms() - SESSIONS_MS
        wishes = {node: self.wishes.drain(node, wall_ms()) for node in nodes[:DRAINS_MAX]}
        return frozenset(node for node, wish in wishes.items() if wish is not None and wish.made_ms <= before_ms)

    def paused(self) -> bool:
        """Whether an operator paused takeovers."""
        return self.wishes.pause(wall_ms()) is not None

    def wish(self, address: str) -> str:
        """Give the node an operator wants an address on; empty without a wish."""
        wish = self.wishes.move(address, wall_ms())
        return wish.to if wish is not None else ""

    def in_force(self) -> InForce | None:
        """Give the values in force."""
        return in_force_of(self._feed.items.get(self._keys.config))

    def config_item(self) -> Item | None:
        """Give the key the values in force stand under."""
        return self._feed.items.get(self._keys.config)

    def wanted(self) -> dict[str, Wanted | None]:
        """Give what each node wants; None for what cannot be read."""
        return wanted_of(self._feed.under(self._keys.wanted("")), self._keys)

    def leader(self) -> str | None:
        """Give the name of the leader; None while there is none."""
        item = self._feed.items.get(self._keys.leader)
        return None if item is None else decode(item.value, str) or "?"

    def hashes(self) -> dict[str, str]:
        """Give the configuration hash of every living process, as ``coordinator relay-a`` to hash."""
        members = self.members()
        return {f"{role} {m.node}": m.record.config_hash if m.record else "?" for role, m in members}
