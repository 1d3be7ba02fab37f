"""Checks of routes and of the ways out a tenant really has."""

from fnmatch import fnmatchcase

from node.settings.checks.pathways import is_loopback
from node.settings.checks.scene import Scene
from node.settings.clouds import cloud_of
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.settings.pathways import PathKind
from node.settings.places import KeyPath

__all__ = ("CHECKS", "INSIDE_ONLY", "OUTSIDE", "is_loopback", "kinds_of", "url_fault")
OUTSIDE = frozenset({PathKind.ACS, PathKind.SMARTHOST})
"""Paths on which mail leaves the tenant's journaling, DLP and DKIM (operations M11)."""

INSIDE_ONLY = frozenset({PathKind.HVE, PathKind.DIRECT_SEND})
"""Paths that take no recipient outside the tenant (facts/m365.md §1.1)."""

BY_MAILBOX = frozenset({PathKind.SUBMISSION, PathKind.GRAPH})
"""Paths on which the account decides which From may be used."""


def kinds_of(tenant: Tenant) -> frozenset[PathKind]:
    """Give the path kinds a tenant's settings make possible; direct send needs no settings at all."""
    kinds = {PathKind.DIRECT_SEND}
    if tenant.app is not None and tenant.service_accounts:
        kinds |= {PathKind.SUBMISSION, PathKind.GRAPH}
    if any(account.password is not None for account in tenant.service_accounts.values()):
        kinds.add(PathKind.SUBMISSION)
    if tenant.connector is not None:
        kinds.add(PathKind.CONNECTOR)
    if tenant.hve is not None and tenant.app is not None:
        kinds.add(PathKind.HVE)
    if tenant.acs is not None:
        kinds.add(PathKind.ACS)
    if tenant.smarthost is not None:
        kinds.add(PathKind.SMARTHOST)
    return frozenset(kinds)


def routes(scene: Scene) -> None:
    """Every tenant has at least one way out per direction."""
    for direction, wanted, unfit in (
        ("internal", scene.settings.routes.internal, frozenset[PathKind]()),
        ("external", scene.settings.routes.external, INSIDE_ONLY),
    ):
        here: KeyPath = ("routes", direction)
        for name, tenant in scene.settings.tenants.items():
            has = kinds_of(tenant) - unfit
            if not has.intersection(wanted) and not scene.report.damaged(("tenants", name)):
                scene.fault(*_no_way(scene, here, name, has))
        for index, kind in enumerate(wanted):
            if not any(kind in kinds_of(tenant) for tenant in scene.settings.tenants.values()):
                scene.warn((*here, index), f"no tenant has the path {kind.value}; it is passed over")
            if kind in unfit:
                scene.warn((*here, index), f"{kind.value} takes recipients inside the tenant only; it is passed over")
            if kind in wanted[:index]:
                scene.warn((*here, index), f"{kind.value} stands in this route already")


def _no_way(scene: Scene, here: KeyPath, name: str, has: frozenset[PathKind]) -> tuple[KeyPath, str]:
    written = here in scene.report.places
    ways = ", ".join(sorted(kind.value for kind in has))
    text = f"mail of tenant {name} has no way out here; it has: {ways}"
    hint = "; submission needs app and service_accounts" if PathKind.SUBMISSION not in has else ""
    return (here, text + hint) if written else (("tenants", name), f"{'.'.join(map(str, here))}: {text}{hint}")


def outside(scene: Scene) -> None:
    """A path outside the tenant is taken only by who is allowed to; say so when nobody is."""
    settings = scene.settings
    kinds = settings.routes.kinds & OUTSIDE
    allowed = any(plan.outside_tenant for plan in settings.plans.values()) or any(
        client.outside_tenant for client in settings.clients.values()
    )
    if kinds and not allowed:
        names = ", ".join(sorted(kind.value for kind in kinds))
        scene.warn(("routes",), f"{names} leads outside the tenant, but no plan or client has outside_tenant: true")


def send_as(scene: Scene) -> None:
    """Where only mailboxes carry mail, some account may use each sender a client may name."""
    settings = scene.settings
    if not scene.tenants_complete or not settings.routes.kinds <= BY_MAILBOX:
        return
    for name, client in settings.clients.items():
        usable = _usable(settings, client.plan)
        for index, pattern in enumerate(client.senders):
            if not any(fnmatchcase(pattern, mine) or fnmatchcase(mine, pattern) for mine in usable):
                text = f"no service account may send as {pattern} for this client; see send_as and only"
                scene.warn(("clients", name, "senders", index), text)


def _usable(settings: Settings, plan: str | None) -> set[str]:
    """Give the From addresses and patterns of all accounts that serve a plan, in small letters as patterns are."""
    accounts = [item for tenant in settings.tenants.values() for item in tenant.service_accounts.items()]
    serving = [(address, one) for address, one in accounts if not one.only or plan in one.only]
    return {text.lower() for address, one in serving for text in (address, *one.send_as)}


def endpoints(scene: Scene) -> None:
    """Endpoints of a cloud set by hand have the right form and are encrypted unless on this machine."""
    for name, tenant in scene.settings.tenants.items():
        if isinstance(tenant.cloud, str):
            continue
        cloud, here = cloud_of(tenant), ("tenants", name, "cloud")
        host, colon, port = cloud.submission.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535):  # noqa: PLR2004
            scene.fault((*here, "submission"), "expected host:port such as smtp.office365.com:587")
        for key, url in (("authority", cloud.authority), ("graph", cloud.graph)):
            url_fault(scene, (*here, key), url)


def url_fault(scene: Scene, path: KeyPath, url: str) -> None:
    """Refuse an address that is no https URL; plain http is for this machine only."""
    scheme, mark, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    bare = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if not mark or not bare or scheme not in {"http", "https"}:
        scene.fault(path, "expected a URL such as https://host.example:443")
    elif scheme == "http" and not is_loopback(bare):
        scene.fault(path, "expected https://; plain http:// is for this machine only")


CHECKS = (routes, outside, send_as, endpoints)
