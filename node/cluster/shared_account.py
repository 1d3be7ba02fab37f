"""One account whose limits are shared with other nodes: its parts, and the order in which they are asked."""

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.budget import holding as holdings
from coordinator.budget.day_part import DayPart
from coordinator.budget.reserve import ElasticPermits, share_of
from coordinator.budget.turns import Scene, ScopeKeys
from coordinator.keys import Keys
from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits, whole_ms, window_ms
from node.cluster.lot_part import LotPart
from node.cluster.parts import Part
from node.cluster.permit_part import PermitPart
from node.cluster.scopes import UNLIMITED
from node.cluster.slot_part import NEVER_MS, SlotPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What every part of this node needs to be built."""

    node: str
    keys: Keys
    on_free: Callable[[str], None]
    on_slot_wanted: Callable[[str, bool], None]


class SharedAccount:
    """Permits, day units and connections of one account on this node."""

    def __init__(self, scope: str, limits: Limits, shared: BudgetLimits, here: Here, now_ms: int) -> None:
        settle_ms, keys = whole_ms(shared.settle_s), here.keys
        self.limits = limits
        permits = ElasticPermits(limit=0, window_ms=window_ms(limits.window_s) or 1, settle_ms=settle_ms)

        def more() -> None:
            here.on_free(scope)

        self.permits = PermitPart(keys.budget(scope, "permits"), here.node, permits, settle_ms=settle_ms, on_more=more)
        self.lots = lot_part(keys.budget(scope, "day"), here, settle_ms, on_more=more)
        scene = Scene(
            keys=ScopeKeys(
                record=keys.budget(scope, "slots"),
                slots=f"{keys.root}slot/{scope}/",
                waits=f"{keys.root}wait/{scope}/",
            )
        )
        self.slots = SlotPart(
            scope,
            scene,
            node=here.node,
            sessions=UNLIMITED,
            linger_ms=whole_ms(shared.linger_s),
            on_more=more,
            on_wanted=here.on_slot_wanted,
        )
        self.permits.slotless = self._slotless
        self.slots.needed_until_ms = self._slot_needed_until_ms
        self.resize(limits, shared, now_ms)

    def resize(self, limits: Limits, shared: BudgetLimits, now_ms: int) -> None:
        """Put limits in force; nothing out or held is forgotten."""
        self.limits = limits
        reserve = share_of(limits.messages, shared.urgent_percent)
        self.permits.resize(limits.messages, window_ms(limits.window_s) or 1, reserve, now_ms)
        self.lots.day.limit = limits.recipients_24h or UNLIMITED
        self.lots.day.kept = share_of(limits.recipients_24h, shared.urgent_day_percent)
        self.slots.sessions = limits.sessions or UNLIMITED

    def parts(self) -> list[Part]:
        """Those with a limit."""
        found: list[Part] = []
        found += [self.permits] if self.limits.messages else []
        found += [self.lots] if self.limits.recipients_24h else []
        return found + ([self.slots] if self.limits.sessions else [])

    def look(self, now_ms: int) -> None:
        """Permits are of no use here while the connection to use them with is waited for."""
        queues = bool(self.limits.sessions) and self.slots.queues(now_ms) and self.permits.free(now_ms) > 0
        since_ms = self.permits.queues_since_ms
        self.permits.queues_since_ms = (now_ms if since_ms is None else since_ms) if queues else None

    def _slot_needed_until_ms(self) -> int:
        """Where there are fewer permits than nodes that want one, a connection goes where the permit goes."""
        holding = self.permits.holding
        scarce = holding.record is not None and not holdings.fair_part(holding.record, holding.limit)
        return NEVER_MS if scarce else self.permits.needs_until_ms

    def _slotless(self) -> bool:
        return bool(self.limits.sessions) and not self.slots.held()


def lot_part(key: str, here: Here, settle_ms: int, *, on_more: Callable[[], None]) -> LotPart:
    """A day limit's part, its limit still to be set."""
    return LotPart(key, DayPart(holder=here.node, limit=UNLIMITED, settle_ms=settle_ms), on_more=on_more)
