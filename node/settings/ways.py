"""From the settings to the values routing decides with: patterns sorted out, defaults filled, case folded."""

from node.policy.envelope import Direction
from node.policy.patterns import PatternSet
from node.policy.route import Account, Directory, SmartHost, TenantWays
from node.settings.mail import ServiceAccount, Tenant
from node.settings.model import Settings


def directory_of(settings: Settings) -> Directory:
    """Build the directory of ways, once per reload. Raises AddressError naming a ``send_as`` pattern that is none."""
    return Directory(
        tenants={name: _tenant(name, tenant) for name, tenant in settings.tenants.items()},
        routes={
            Direction.INTERNAL: tuple(kind.value for kind in settings.routes.internal),
            Direction.EXTERNAL: tuple(kind.value for kind in settings.routes.external),
        },
        outside_plans=frozenset(name for name, plan in settings.plans.items() if plan.outside_tenant),
        outside_clients={
            name: client.outside_tenant
            for name, client in settings.clients.items()
            if client.outside_tenant is not None
        },
    )


def account_scope(tenant: str, mailbox: str) -> str:
    """Name the budget scope of a service account: ``contoso/relay1@contoso.com``."""
    return f"{tenant}/{mailbox.lower()}"


def smarthost_scope(tenant: str) -> str:
    """Name the budget scope of a tenant's smart host: ``contoso/smarthost``."""
    return f"{tenant}/smarthost"


def _tenant(name: str, tenant: Tenant) -> TenantWays:
    host = tenant.smarthost
    return TenantWays(
        name=name,
        domains=frozenset(domain.lower() for domain in tenant.domains),
        accounts=tuple(_account(name, mailbox, account) for mailbox, account in tenant.service_accounts.items()),
        smarthost=None
        if host is None
        else SmartHost(
            scope=smarthost_scope(name), size_bytes=host.size, recipients_per_message=host.recipients_per_message
        ),
    )


def _account(tenant: str, mailbox: str, account: ServiceAccount) -> Account:
    return Account(
        scope=account_scope(tenant, mailbox),
        mailbox=mailbox.lower(),
        send_as=PatternSet(account.send_as),
        only=frozenset(account.only),
        size_bytes=account.limits.size,
        recipients_per_message=account.limits.recipients_per_message,
    )
