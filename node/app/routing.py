"""Answers operators' questions about routing and names of scopes, from what the running node has in force."""

from collections.abc import Iterable

from node.app.limits import budget_limits
from node.cluster.contract import BudgetUse
from node.policy.choose import Shortage
from node.policy.explain import Question, RouteAnswer, explain
from node.policy.health import HealthBook
from node.policy.scopes import account_scope_name
from node.settings.model import Settings
from node.settings.rules import intake_rules
from node.settings.ways import directory_of

SHORT_OF = {"permits": "no_permit", "day": "day_budget", "external": "tenant_budget"}
"""Kinds of limits that stop a message before it starts, and the reason it then waits for."""


def shortages(uses: Iterable[BudgetUse], steady_ms: int, now_ms: int) -> dict[str, Shortage]:
    """Give what has no budget now, by account scope or tenant; the clock of budgets becomes the wall's."""
    found: dict[str, Shortage] = {}
    for use in uses:
        reason = SHORT_OF.get(use.kind)
        if reason is None or use.retry_ms <= steady_ms:
            continue
        shortage = Shortage(until_ms=now_ms + use.retry_ms - steady_ms, reason=reason)
        known = found.get(use.scope)
        if known is None or known.until_ms < shortage.until_ms:
            found[use.scope] = shortage
    return found


def answer(
    question: Question, settings: Settings, hostname: str, health: HealthBook, short: dict[str, Shortage], now_ms: int
) -> RouteAnswer:
    """Answer with the settings in force. Raises QuestionError."""
    rules = intake_rules(settings, hostname)
    return explain(question, rules, directory_of(settings), health, short, now_ms, plans=settings.plans)


def scope_named(settings: Settings, name: str) -> str | None:
    """Give the scope an operator means: an account as listed, its mailbox, or a scope as ``policy/scopes.py`` names it.

    None: the configuration has nothing of that name, so parking it would stop nobody.
    """
    accounts = _accounts(settings)
    meant = [scope for scope in accounts if name == scope or name.lower() == scope.partition("/")[2]]
    if len(meant) == 1:
        return account_scope_name(meant[0])
    kind, _, rest = name.partition("/")
    known: set[str] = {
        "account": accounts,
        "pair": accounts,
        "client": set(settings.clients),
        "tenant": set(settings.tenants),
        "path": {f"{tenant}/{path}" for tenant in settings.tenants for path in _paths(settings)},
    }.get(kind, set())
    owner = rest.partition("|" if kind == "pair" else "#")[0]
    return name if owner in known else None


def _accounts(settings: Settings) -> set[str]:
    """Name every budget scope: whatever has limits is what mail may be sent by."""
    return set(budget_limits(settings).accounts)


def _paths(settings: Settings) -> set[str]:
    return {kind.value for kind in settings.routes.kinds}
