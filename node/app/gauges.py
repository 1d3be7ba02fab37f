"""Numbers that are read, not counted: budgets, tokens, ownership of mail, put into gauges at an interval."""

from collections import Counter
from collections.abc import Iterable, Mapping

from coordinator.ownership.views import State, View
from node.cluster.contract import BudgetUse
from node.m365.tokens import TokenState
from node.shadow.contract import Held
from node.telemetry.contract import Telemetry


def refresh(
    telemetry: Telemetry,
    budgets: Iterable[BudgetUse],
    tokens: Iterable[TokenState],
    now_ms: int,
    *,
    unprotected: int = 0,
) -> None:
    """Set every such gauge once. ``unprotected``: messages of a cluster's node that lie here alone."""
    telemetry.gauge("relay_unprotected", unprotected)
    for use in budgets:
        telemetry.gauge("relay_budget_used", use.used, scope=use.scope, kind=use.kind)
        telemetry.gauge("relay_budget_limit", use.limit, scope=use.scope, kind=use.kind)
    for token in tokens:
        if not token.expires_ms and token.reason is None:
            # Nobody has asked for one yet: 0 would be an alarm.
            continue
        left_s = max(0, token.expires_ms - now_ms) / 1000
        telemetry.gauge("relay_token_expiry_seconds", left_s, tenant=token.tenant)


class CopiesGauges:
    """Those of second copies; remembers what it set, so that what is gone is shown as 0."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Nothing was set yet."""
        self._telemetry = telemetry
        self._moves: Counter[str] = Counter()
        self._nodes: set[str] = set()
        """Bounded by the nodes that ever sent copies to this process."""

    def ownership(self, views: Iterable[View], made: Mapping[str, int], *, quarantined: bool) -> None:
        """Set what the pairings are, the moves made so far, and whether the spool is quarantined."""
        states = Counter(view.state for view in views)
        for state in State:
            if state is not State.UNPAIRED:
                self._telemetry.gauge("relay_pairings", states[state], state=state.value)
        for move, so_far in made.items():
            fresh = so_far - self._moves[move]
            if fresh > 0:
                self._telemetry.count("relay_ownership_moves", fresh, move=str(move))
            self._moves[move] = so_far
        self._telemetry.gauge("relay_quarantined", int(quarantined))

    def kept(self, held: Iterable[Held]) -> None:
        """Set what is kept for each node."""
        messages: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for each in held:
            messages[each.node] += each.messages
            sizes[each.node] += each.size_bytes
        self._nodes |= messages.keys()
        for node in self._nodes:
            self._telemetry.gauge("relay_copies_kept", messages[node], node=node)
            self._telemetry.gauge("relay_copies_kept_bytes", sizes[node], node=node)
