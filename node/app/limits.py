"""From the settings to the numbers the budgets keep: accounts, tenants and clients with a limit. Pure."""

from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits, ClientLimits
from node.policy.envelope import Priority
from node.settings.clouds import external_limit
from node.settings.mail import Client, SmartHost, Tenant
from node.settings.model import Settings
from node.settings.ways import account_scope, smarthost_scope

URGENT_PERCENT = 20


def budget_limits(settings: Settings) -> BudgetLimits:
    """Give every limit; the urgent reserve only where some plan is urgent (else it would be kept for nobody)."""
    urgent = any(plan.priority is Priority.URGENT for plan in settings.plans.values())
    accounts: dict[str, Limits] = {}
    for name, tenant in settings.tenants.items():
        accounts |= _accounts(name, tenant)
    return BudgetLimits(
        accounts=accounts,
        tenants={name: limit for name, tenant in settings.tenants.items() if (limit := _external(tenant))},
        clients={
            name: limits
            for name, client in settings.clients.items()
            if (limits := _client(settings, client)) != ClientLimits()
        },
        urgent_percent=URGENT_PERCENT if urgent else 0,
        urgent_day_percent=5 if urgent else 0,
    )


def _accounts(name: str, tenant: Tenant) -> dict[str, Limits]:
    found = {
        account_scope(name, mailbox): Limits(
            messages=account.limits.rate.amount,
            window_s=account.limits.rate.window_s,
            recipients_24h=account.limits.recipients.amount,
            sessions=account.limits.sessions,
        )
        for mailbox, account in tenant.service_accounts.items()
    }
    if tenant.smarthost is not None:
        found[smarthost_scope(name)] = _smarthost(tenant.smarthost)
    return found


def _smarthost(host: SmartHost) -> Limits:
    rate = host.rate
    return Limits(
        messages=rate.amount if rate else 0, window_s=rate.window_s if rate else 60.0, recipients_24h=0, sessions=0
    )


def _external(tenant: Tenant) -> int:
    limit = external_limit(tenant)
    return limit.amount if limit else 0


def _client(settings: Settings, client: Client) -> ClientLimits:
    plan = settings.plans.get(client.plan or "")
    if plan is None:
        return ClientLimits()
    return ClientLimits(
        messages=plan.rate.amount if plan.rate else 0,
        window_s=plan.rate.window_s if plan.rate else 60.0,
        recipients=plan.recipients.amount if plan.recipients else 0,
        recipients_window_s=plan.recipients.window_s if plan.recipients else 86_400.0,
    )
