"""Endpoints per Microsoft cloud and the tenant's external limit: figures, no decisions.

Five separate settings per cloud, none derived from another (facts/m365.md §1.3, hosts of DoD and China as confirmed
by facts/operations.md §6, F8).
"""

import math
from typing import assert_never

from node.settings.mail import Cloud, CloudPreset, Tenant
from node.settings.units import Rate

DAY_S = 86_400.0
MX_ZONES = (
    ".mail.protection.outlook.com",
    ".mx.microsoft",
    ".mail.protection.office365.us",
    ".mail.protection.partner.outlook.cn",
)
"""Where the MX hosts of tenants lie in every cloud; a host elsewhere is not Microsoft's (facts/m365.md §1.1 B)."""
WORLDWIDE = Cloud()
"""Also GCC."""
GCC_HIGH = Cloud(
    submission="smtp.office365.us:587",
    authority="https://login.microsoftonline.us",
    scope="https://outlook.office365.us/.default",
    graph="https://graph.microsoft.us",
    graph_scope="https://graph.microsoft.us/.default",
)
DOD = Cloud(
    submission="outlook-dod.office365.us:587",
    authority="https://login.microsoftonline.us",
    scope="https://outlook.office365.us/.default",
    graph="https://dod-graph.microsoft.us",
    graph_scope="https://dod-graph.microsoft.us/.default",
)
CHINA = Cloud(
    submission="smtp.partner.outlook.cn:587",
    authority="https://login.partner.microsoftonline.cn",
    scope="https://partner.outlook.cn/.default",
    graph="https://microsoftgraph.chinacloudapi.cn",
    graph_scope="https://microsoftgraph.chinacloudapi.cn/.default",
)


def preset(name: CloudPreset) -> Cloud:
    """Give the four settings behind a preset's name."""
    match name:
        case "worldwide" | "gcc":
            return WORLDWIDE
        case "gcc-high":
            return GCC_HIGH
        case "dod":
            return DOD
        case "china":
            return CHINA
    assert_never(name)


def cloud_of(tenant: Tenant) -> Cloud:
    """Give the tenant's endpoints, from its preset or as written by hand."""
    return preset(tenant.cloud) if isinstance(tenant.cloud, str) else tenant.cloud


def terrl(licences: int) -> int:
    """Tenant external recipients in 24 h for a number of licences (facts/m365.md §2.2)."""
    return round(500 * math.pow(licences, 0.7) + 9500)


def external_limit(tenant: Tenant) -> Rate | None:
    """Give the tenant's external recipient limit: as written, else by its licences, else None (unknown)."""
    if tenant.external_recipients is not None:
        return tenant.external_recipients
    return Rate(terrl(tenant.licences), DAY_S) if tenant.licences else None
