"""What is used of every limit, as lines for ``relayctl budget`` and metrics. Reads counters, changes none."""

from coordinator.budget.day import DayCounter
from coordinator.budget.forecast import exhausted_ms
from node.cluster.contract import BudgetUse, Limits
from node.cluster.scopes import Account, Client

DAY_S = 86_400.0


def account_lines(scope: str, limits: Limits, account: Account, now_ms: int) -> list[BudgetUse]:
    """Permits, day and slots of one account, those with a limit."""
    lines: list[BudgetUse] = []
    if limits.messages:
        used, free_ms = account.permits.out(now_ms), account.permits.next_free_ms(now_ms)
        lines.append(_line(scope, "permits", limits.messages, used, limits.window_s, free_ms, now_ms))
    if limits.recipients_24h:
        lines.append(_day(scope, "day", limits.recipients_24h, account.day, now_ms))
    if limits.sessions:
        used = account.slots.held + account.slots.lingering(now_ms)
        free_ms = account.slots.next_free_ms(now_ms)
        lines.append(_line(scope, "slots", limits.sessions, used, 0.0, free_ms, now_ms))
    return lines


def tenant_line(tenant: str, limit: int, counter: DayCounter, now_ms: int) -> BudgetUse:
    """The external limit of one tenant."""
    return _day(tenant, "external", limit, counter, now_ms)


def client_lines(name: str, client: Client, now_ms: int) -> list[BudgetUse]:
    """Arrival rate and recipients of one client, those with a limit."""
    limits = client.limits
    lines: list[BudgetUse] = []
    if limits.messages:
        level, next_ms = client.rate.level(now_ms), client.rate.next_ms(now_ms)
        lines.append(_line(name, "client", limits.messages, level, limits.window_s, next_ms, now_ms))
    if limits.recipients:
        used = client.recipients.used(now_ms)
        free_ms = client.recipients.free_at_ms(1, now_ms)
        lines.append(_line(name, "client", limits.recipients, used, limits.recipients_window_s, free_ms, now_ms))
    return lines


def _day(scope: str, kind: str, limit: int, counter: DayCounter, now_ms: int) -> BudgetUse:
    used, free_ms = counter.used(now_ms), counter.free_at_ms(1, now_ms)
    forecast_ms = exhausted_ms(counter.counted(now_ms), limit, now_ms)
    return _line(scope, kind, limit, used, DAY_S, free_ms, now_ms, forecast_ms)


def _line(
    scope: str, kind: str, limit: int, used: int, window_s: float, free_ms: int, now_ms: int, forecast_ms: int = 0
) -> BudgetUse:
    retry_ms = free_ms if free_ms > now_ms else 0
    return BudgetUse(
        scope=scope,
        kind=kind,
        limit=limit,
        used=used,
        window_s=window_s,
        retry_ms=retry_ms,
        exhausted_ms=forecast_ms,
    )
