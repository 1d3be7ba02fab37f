"""The part a node has of a client's arrival rate: a base of its own, and a share that moves by demand (operations A8).

Each node of the list always has a small *base*, so that the first message of an idle client is never refused and
costs the store nothing; the rest of the rate is shared as message permits are. Base and share together make one GCRA
of this node; parts keep their counted units when they move. So one node alone lets in the whole rate, and all together
at most the bases of the others more: it is a limit we grant, so a few too many beat refusing one who is within it.
A node asks for more when half of its part is used, before anybody is refused.
"""

from collections.abc import Callable

from coordinator.budget.gcra import Gcra
from coordinator.budget.holding import Situation
from coordinator.budget.reserve import Pool
from node.cluster.parts import Moment
from node.cluster.permit_part import PermitPart

BASE_PERCENT = 3
"""The bases of all nodes together are this part of the rate; each is at least one message."""


def base_of(amount: int, nodes: int) -> int:
    """Messages each node may let in without a share; none when there are fewer than one for everybody and one more."""
    return 0 if amount <= nodes else max(1, amount * BASE_PERCENT // (100 * nodes))


class RatePermits:
    """Arrivals counted as a PermitPart counts permits: what drains is free again."""

    def __init__(self, window_ms: int) -> None:
        self.limit = 0
        """The share; the base comes on top."""
        self.base = 0
        self.gcra = Gcra(amount=1, window_ms=window_ms)

    @property
    def window_ms(self) -> int:
        """The rate's window."""
        return self.gcra.window_ms

    @property
    def whole(self) -> int:
        """Base and share."""
        return self.base + self.limit

    def resize(self, limit: int, window_ms: int, now_ms: int, *, reserve: int = 0) -> None:  # noqa: ARG002
        """Another share; a longer window counts for what comes from now on."""
        self.limit = limit
        self.gcra.window_ms = window_ms
        self.gcra.reshape(max(1, self.whole), now_ms)

    def rebase(self, base: int, now_ms: int) -> None:
        """Another base."""
        self.base = base
        self.gcra.reshape(max(1, self.whole), now_ms)

    def out(self, now_ms: int) -> int:
        """Units of the share in use: those the base does not bear."""
        return min(self.limit, max(0, self.gcra.level(now_ms) - self.base))

    def take(self, now_ms: int, *, urgent: bool) -> Pool | None:  # noqa: ARG002 - no client comes first
        """Reserve one arrival."""
        return Pool.COMMON if self.whole and self.gcra.reserve(now_ms) else None

    def next_free_ms(self, now_ms: int, *, urgent: bool = False) -> int:  # noqa: ARG002 - as above
        """When one more fits."""
        return self.gcra.next_ms(now_ms)

    def restore(self, now_ms: int, ended_ms: int, *, vanished: bool) -> None:  # noqa: ARG002 - all drain alike
        """Count one of an earlier life."""
        self.gcra.reserved += 1
        self.gcra.count(now_ms)


class RatePart(PermitPart[RatePermits]):
    """Arrivals of one client on this node."""

    def __init__(self, key: str, holder: str, *, window_ms: int, on_more: Callable[[], None]) -> None:
        super().__init__(key, holder, RatePermits(window_ms), settle_ms=0, on_more=on_more)

    def admit(self, now_ms: int) -> bool:
        """Reserve one arrival; more of the rate is asked for once half of what is here is used."""
        taken = self.take(now_ms, urgent=False) is not None
        if 2 * self.permits.gcra.level(now_ms) > self.permits.whole:
            self.want(now_ms)
        return taken

    def _situation(self, at: Moment, *, urgent: bool) -> Situation:
        plain = super()._situation(at, urgent=urgent)
        # Asking ahead of need: what is left here is spoken for.
        out = max(plain.out, self.holding.share) if plain.wants else plain.out
        # A smaller part drains more slowly: it goes back only once nothing of it is counted.
        idle = plain.idle and not self.permits.gcra.level(at.now_ms)
        return Situation(out=out, wants=plain.wants, idle=idle, gone=plain.gone)
