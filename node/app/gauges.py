"""Numbers that are read, not counted: budgets and tokens, put into gauges at an interval."""

from collections.abc import Iterable

from node.cluster.contract import BudgetUse
from node.m365.tokens import TokenState
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
        left_s = max(0, token.expires_ms - now_ms) / 1000
        telemetry.gauge("relay_token_expiry_seconds", left_s, tenant=token.tenant)
