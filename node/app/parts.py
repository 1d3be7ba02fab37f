"""Builds the parts of one node from its settings; opens nothing. Raises ConfigurationError with its faults."""

from node.delivery.archives import archives_of
from node.delivery.assembly import checked, endpoints_of, reporting_of
from node.delivery.wiring import Plans
from node.m365.app import TenantApp, graph_app, tenant_app
from node.policy.classify import Classifier
from node.policy.envelope import OnUnknown
from node.policy.levels import Marks
from node.settings.model import Settings
from node.settings.pathways import PathKind
from node.settings.replies import reply_rows
from node.settings.ways import directory_of, graph_flow

MEMORY_SHUT_PERCENT = 85


def apps_of(settings: Settings) -> dict[str, TenantApp]:
    """Give every tenant's app that signs in, and once more for its Graph where that is asked for anything."""
    found = {name: tenant_app(tenant) for name, tenant in settings.tenants.items()}
    if asks_graph(settings):
        found |= {graph_flow(name): graph_app(tenant) for name, tenant in settings.tenants.items()}
    return {name: app for name, app in found.items() if app is not None}


def asks_graph(settings: Settings) -> bool:
    """Tell whether Graph is a way out, or is asked what became of mail: after a lost answer, or by reading reports."""
    looks = any(plan.on_unknown is OnUnknown.VERIFY for plan in settings.plans.values())
    looks = looks or any(tenant.ndrs is not None for tenant in settings.tenants.values())
    return looks or PathKind.GRAPH in settings.routes.kinds


def plans_of(settings: Settings, hostname: str, node: str) -> Plans:
    """Give all the back door decides with; ``node``: its name in a cluster."""
    endpoints = endpoints_of(settings, hostname)
    checked(endpoints)
    return Plans(
        directory=directory_of(settings),
        plans=settings.plans,
        endpoints=endpoints,
        reporting=reporting_of(settings, hostname),
        classifier=Classifier(first=reply_rows(settings.replies)),
        archives=archives_of(settings, endpoints),
        verify=settings.verify,
        node=node,
        span_addresses=settings.telemetry.addresses,
    )


def marks_of(settings: Settings, memory_limit_bytes: int) -> Marks:
    """Give where the door shuts; memory counts only where a cgroup bounds it."""
    limits = settings.limits
    return Marks(
        disk_low_bytes=limits.disk_free_low,
        disk_high_bytes=max(limits.disk_free_low, limits.disk_free_high),
        memory_shut_bytes=memory_limit_bytes * MEMORY_SHUT_PERCENT // 100,
        queue_shut=limits.queue,
    )
