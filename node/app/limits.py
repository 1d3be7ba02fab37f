"""From the settings to the numbers the budgets keep: accounts, tenants and clients with a limit. Pure."""

from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits, ClientLimits
from node.policy.envelope import Priority
from node.settings.clouds import external_limit
from node.settings.mail import Client, Tenant
from node.settings.model import Settings
from node.settings.pathways import HveAccount, PathKind
from node.settings.rates import narrowed
from node.settings.units import Rate
from node.settings.ways import account_scope, path_account, smarthost_scope

URGENT_PERCENT = 20


def budget_limits(settings: Settings) -> BudgetLimits:
    """Give every limit; the urgent reserve only where some plan is urgent (else it would be kept for nobody)."""
    urgent = any(plan.priority is Priority.URGENT for plan in settings.plans.values())
    accounts: dict[str, Limits] = {}
    for name, tenant in settings.tenants.items():
        accounts |= _accounts(settings, name, tenant)
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


def _accounts(settings: Settings, name: str, tenant: Tenant) -> dict[str, Limits]:
    """Give the limits of every mailbox and of every path without mailboxes."""
    found = {
        account_scope(name, mailbox): Limits(
            messages=account.limits.rate.amount,
            window_s=account.limits.rate.window_s,
            recipients_24h=account.limits.recipients.amount,
            sessions=account.limits.sessions,
        )
        for mailbox, account in tenant.service_accounts.items()
    }
    if tenant.hve is not None:
        found |= {account_scope(name, mailbox): _hve(account) for mailbox, account in tenant.hve.accounts.items()}
    if tenant.connector is not None:
        found[path_account(name, "connector")] = _unslotted(tenant.connector.rate)
    if PathKind.DIRECT_SEND in settings.routes.kinds:
        found[path_account(name, "direct-send")] = _unslotted(tenant.direct_send.rate)
    if tenant.acs is not None:
        found[path_account(name, "acs")] = _unslotted(narrowed(tenant.acs.rate, tenant.acs.hourly))
    if tenant.smarthost is not None:
        found[smarthost_scope(name)] = _unslotted(tenant.smarthost.rate)
    return found


def _hve(account: HveAccount) -> Limits:
    rate = account.rate
    return Limits(
        messages=rate.amount if rate else 0,
        window_s=rate.window_s if rate else 60.0,
        recipients_24h=account.recipients.amount if account.recipients else 0,
        sessions=account.sessions,
    )


def _unslotted(rate: Rate | None) -> Limits:
    """A path whose sessions nobody counts: its connections are bounded on each node."""
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
