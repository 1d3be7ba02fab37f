"""From the settings to the values routing decides with: patterns sorted out, defaults filled, case folded."""

from node.policy.envelope import Direction
from node.policy.offers import Account, Acs, Connector, Directory, DirectSend, SmartHost, TenantWays
from node.policy.patterns import PatternSet
from node.settings.mail import ServiceAccount, Tenant
from node.settings.model import Settings
from node.settings.pathways import Hve, HveAccount


def directory_of(settings: Settings) -> Directory:
    """Build the directory of ways, once per reload. Raises AddressError naming a ``send_as`` pattern that is none."""
    return Directory(
        tenants={name: _tenant(name, tenant) for name, tenant in settings.tenants.items()},
        routes={
            Direction.INTERNAL: tuple(kind.value for kind in settings.routes.internal),
            Direction.EXTERNAL: tuple(kind.value for kind in settings.routes.external),
        },
        outside_plans=frozenset(name for name, plan in settings.plans.items() if plan.outside_tenant),
        rebuild_plans=frozenset(name for name, plan in settings.plans.items() if plan.rebuild),
        outside_clients={
            name: client.outside_tenant
            for name, client in settings.clients.items()
            if client.outside_tenant is not None
        },
    )


def account_scope(tenant: str, mailbox: str) -> str:
    """Name the budget scope of a service account: ``contoso/relay1@contoso.com``."""
    return f"{tenant}/{mailbox.lower()}"


def graph_flow(tenant: str) -> str:
    """Name the tokens a tenant needs for Graph; those for its mailboxes bear its own name."""
    return f"{tenant}#graph"


def path_account(tenant: str, kind: str) -> str:
    """Name the budget scope of a path without mailboxes: ``contoso/connector``."""
    return f"{tenant}/{kind}"


def smarthost_scope(tenant: str) -> str:
    """Name the budget scope of a tenant's smart host: ``contoso/smarthost``."""
    return path_account(tenant, "smarthost")


def _tenant(name: str, tenant: Tenant) -> TenantWays:
    return TenantWays(
        name=name,
        domains=frozenset(domain.lower() for domain in tenant.domains),
        accounts=tuple(_account(name, mailbox, account) for mailbox, account in tenant.service_accounts.items()),
        graph=tenant.app is not None,
        hve=() if tenant.hve is None else _hve(name, tenant.hve),
        connector=_connector(name, tenant),
        direct_send=DirectSend(
            scope=path_account(name, "direct-send"),
            size_bytes=tenant.direct_send.size,
            recipients_per_message=tenant.direct_send.recipients_per_message,
        ),
        acs=_acs(name, tenant),
        smarthost=_smarthost(name, tenant),
    )


def _account(tenant: str, mailbox: str, account: ServiceAccount) -> Account:
    return Account(
        scope=account_scope(tenant, mailbox),
        mailbox=mailbox.lower(),
        send_as=PatternSet(account.send_as),
        aliases=frozenset(alias.lower() for alias in account.aliases),
        only=frozenset(account.only),
        size_bytes=account.limits.size,
        recipients_per_message=account.limits.recipients_per_message,
    )


def _hve(tenant: str, hve: Hve) -> tuple[Account, ...]:
    def account(mailbox: str, one: HveAccount) -> Account:
        return Account(
            scope=account_scope(tenant, mailbox),
            mailbox=mailbox.lower(),
            send_as=PatternSet(one.send_as),
            only=frozenset(one.only),
            size_bytes=hve.size,
            recipients_per_message=hve.recipients_per_message,
        )

    return tuple(account(mailbox, one) for mailbox, one in hve.accounts.items())


def _connector(name: str, tenant: Tenant) -> Connector | None:
    host = tenant.connector
    if host is None:
        return None
    return Connector(
        scope=path_account(name, "connector"),
        size_bytes=host.size,
        recipients_per_message=host.recipients_per_message,
        certificate=host.certificate is not None,
    )


def _acs(name: str, tenant: Tenant) -> Acs | None:
    host = tenant.acs
    if host is None:
        return None
    return Acs(
        scope=path_account(name, "acs"),
        size_bytes=host.size,
        recipients_per_message=host.recipients_per_message,
        senders=PatternSet(host.senders),
    )


def _smarthost(name: str, tenant: Tenant) -> SmartHost | None:
    host = tenant.smarthost
    if host is None:
        return None
    return SmartHost(
        scope=smarthost_scope(name), size_bytes=host.size, recipients_per_message=host.recipients_per_message
    )
