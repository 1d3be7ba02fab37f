"""Where a node stands in its cluster: its session and clocks, and who else is seen to be there."""

from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.budget.turns import Me
from coordinator.feed import Feed
from coordinator.keys import Keys, Role
from coordinator.members import Membership, readiness_of
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.store.contract import Seen
from node.cluster.parts import Moment


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


def _fits() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node's place in its cluster, made from joining.Joined."""

    node: str
    nodes: tuple[str, ...]
    """All configured nodes, this one too."""
    session: SessionRunner
    keys: Keys
    feed: Feed
    boot: str
    """The kernel's boot id, as published in our member record."""
    config_hash: str = ""
    clock: Callable[[], int] = field(default=boottime_ms)
    """The steady clock delivery hands in."""
    boot_ms: Callable[[], int] = field(default=boottime_ms)
    clock_fits: Callable[[], bool] = field(default=_fits)
    """Whether this host's wall clock agrees with the others' (``node/cluster/clocks.py``)."""
    on_free: Callable[[str], None] = _nothing
    on_slot_wanted: Callable[[str, bool], None] = _nothing

    @property
    def live(self) -> bool:
        """Whether there is a session to act on now."""
        return self.session.session.live(self.boot_ms())

    @property
    def heard(self) -> bool:
        """Whether there is a session and the store has answered lately: what is handed over arrives."""
        return self.live and not self.session.session.silent(self.boot_ms())


class Sight:
    """Who is there, as the watch shows it; bounded by the names ever seen."""

    def __init__(self, place: Place) -> None:
        self._place = place
        now_ms = place.boot_ms()
        nodes, coordinators = (place.keys.member(role, "") for role in (Role.NODE, Role.COORDINATOR))
        self._nodes = Membership(nodes, known=place.nodes, now_ms=now_ms)
        self._coordinators = Membership(coordinators, known=place.nodes, now_ms=now_ms)

    def feed(self, seen: Seen) -> None:
        """Take news."""
        now_ms = self._place.boot_ms()
        self._nodes.feed(seen, now_ms)
        self._coordinators.feed(seen, now_ms)

    def moment(self, nodes: frozenset[str]) -> Moment:
        """Give what holds now; ``nodes`` is the list to go by."""
        place = self._place
        return Moment(
            now_ms=place.clock(),
            boot_ms=place.boot_ms(),
            session=place.session.session,
            boot=place.boot,
            gone_ms=self._nodes.gone_ms,
            closed=self._closed,
            nodes=nodes,
            clock_fits=place.clock_fits(),
        )

    def _closed(self, owner: str) -> bool:
        """Its node lives on in the same boot, or the coordinator beside it saw that process end.

        A process that only stands still keeps its connections, however long its session is over: the coordinator's word
        counts, and only if it was written after the owner's session had begun.
        """
        whose = Me.read(owner)
        if whose is None:
            return False
        member, beside = self._nodes.get(whose.node), self._coordinators.get(whose.node)
        if member is not None and member.record is not None and member.record.boot_id == whose.boot:
            return True
        item = self._place.feed.items.get(self._place.keys.ready(whose.node))
        if item is None or beside is None or beside.record is None or beside.record.boot_id != whose.boot:
            return False
        said = readiness_of(item, beside)
        return said is not None and said.ended and item.mod_revision > whose.inc
