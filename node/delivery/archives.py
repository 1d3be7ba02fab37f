"""From the settings to where it shows what each way has sent: Sent Items of its mailbox, the tenant's message trace."""

from node.delivery.endpoint import Endpoint
from node.delivery.looking import Archive
from node.policy.marker import KEEPS_COPIES
from node.settings.clouds import cloud_of
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.settings.pathways import PathKind
from node.settings.ways import graph_flow

_OUTSIDE = frozenset({PathKind.ACS.value, PathKind.SMARTHOST.value})
"""Paths whose mail the tenant's message trace does not see."""


def archives_of(settings: Settings, endpoints: dict[str, Endpoint]) -> dict[str, Archive]:
    """Give where to look for what each way sent, by way name; ways that leave no trace are missing."""
    found = {}
    for name, endpoint in endpoints.items():
        tenant = settings.tenants[endpoint.tenant]
        archive = _archive(tenant, endpoint) if tenant.app is not None else None
        if archive is not None:
            found[name] = archive
    return found


def _archive(tenant: Tenant, endpoint: Endpoint) -> Archive | None:
    copies = endpoint.path in KEEPS_COPIES
    traced = tenant.message_trace and endpoint.path not in _OUTSIDE
    if not copies and not traced:
        return None
    account = tenant.service_accounts.get(endpoint.user)
    return Archive(
        graph=cloud_of(tenant).graph,
        flow=graph_flow(endpoint.tenant),
        mailbox=endpoint.user if copies else "",
        keeps_copies=copies and account is not None and account.sent_items,
        traced=traced,
    )
