"""Checks of what comes back: the return path, who may hand in reports, which mailboxes are read."""

from fnmatch import fnmatchcase
from typing import Final

from node.errors import ConfigurationError
from node.policy.return_path import BASE_CHARS_MAX, KEY_LEAST_CHARS, PATHS, addresses_of
from node.settings.checks.clients import owned
from node.settings.checks.scene import Scene
from node.settings.mail import Tenant, mailboxes_read
from node.settings.pathways import PathKind
from node.settings.secrets import read_secret

REPORTED_S: Final = 86_400.0
"""How long Exchange Online tries before it gives up (facts m365 §2.2)."""
NAMED: Final = 3
"""Addresses a warning names; it says how many more there are."""


def return_path(scene: Scene) -> None:
    """The return path has room for its key, is a tenant's, is used, and its mail comes back somewhere."""
    bounces = scene.settings.bounces
    here = ("bounces", "return_path")
    if bounces.return_path is None:
        for key in ("key", "former_key", "accept_from"):
            if getattr(bounces, key):
                scene.warn(("bounces", key), "has no effect without bounces.return_path")
        return
    local, _, domain = bounces.return_path.rpartition("@")
    if "+" in local or len(local) > BASE_CHARS_MAX:
        scene.fault(here, f"expected a name of at most {BASE_CHARS_MAX} characters without a plus sign before the @")
    if scene.tenants_complete and not owned(scene, domain):
        scene.fault(here, f"no tenant owns the domain of {bounces.return_path}")
    if not PATHS & {kind.value for kind in scene.settings.routes.kinds}:
        scene.warn(here, f"has no effect: no route names {', '.join(sorted(PATHS))}")
    if not bounces.accept_from:
        _returned(scene)


def _returned(scene: Scene) -> None:
    """Every tenant's return address is a mailbox that is read: a tenant that owns another domain has one of its own."""
    tenants = scene.settings.tenants
    bases = addresses_of(scene.settings.bounces.return_path, {name: part.domains for name, part in tenants.items()})
    unread = [base for name, base in bases.by_tenant.items() if base not in mailboxes_read(tenants[name])]
    if unread:
        text = f"reports to {_listed(unread)} reach nobody but clients that hand them in: set accept_from, or read"
        scene.warn(("bounces", "return_path"), f"{text} {'its mailbox' if len(unread) == 1 else 'them'} (ndrs)")


def direct_send(scene: Scene) -> None:
    """Mail by direct send bears the application's own sender, who need not be a mailbox: its reports are read too."""
    inside = scene.settings.routes.internal
    if PathKind.DIRECT_SEND not in inside or scene.settings.bounces.return_path is not None:
        return
    here = ("routes", "internal", inside.index(PathKind.DIRECT_SEND))
    for name, tenant in scene.settings.tenants.items():
        unread = sorted(_senders(scene, tenant) - set(mailboxes_read(tenant)))
        if unread:
            text = f"reports on mail of tenant {name} by direct-send go to its sender, and nobody reads those to"
            scene.warn(here, f"{text} {_listed(unread)}: set bounces.return_path, or read the mailboxes (ndrs)")


def _senders(scene: Scene, tenant: Tenant) -> set[str]:
    """Give the addresses and patterns clients may send as that this tenant owns."""
    domains = tenant.domains
    senders = {sender.lower() for client in scene.settings.clients.values() for sender in client.senders}
    return {one for one in senders if any(_meet(one.rpartition("@")[2], domain) for domain in domains)}


def _meet(one: str, other: str) -> bool:
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _listed(addresses: list[str]) -> str:
    more = f" and {len(addresses) - NAMED} more" if len(addresses) > NAMED else ""
    return ", ".join(addresses[:NAMED]) + more


def keys(scene: Scene) -> None:
    """A key is long enough; nodes of a cluster share one, or a report on a lost node's mail proves nothing."""
    bounces = scene.settings.bounces
    if bounces.return_path is None:
        return
    if scene.settings.cluster is not None and bounces.key is None:
        text = "each node makes its own: reports on mail of a node that is gone for good match nothing"
        scene.warn(("bounces", "key"), text)
    for name in ("key", "former_key"):
        ref = getattr(bounces, name)
        if ref is None or not scene.here:
            continue
        try:
            text = read_secret(ref, scene.environment).reveal()
        except ConfigurationError:
            continue  # said by the look at all secrets
        if len(text) < KEY_LEAST_CHARS:
            scene.fault(("bounces", name), f"expected a key of at least {KEY_LEAST_CHARS} characters")


def mailboxes(scene: Scene) -> None:
    """Mailboxes are read by an app, once each, and there are some."""
    for name, tenant in scene.settings.tenants.items():
        here = ("tenants", name, "ndrs")
        if tenant.ndrs is None:
            continue
        if tenant.app is None:
            scene.fault(here, "mailboxes are read by an application: the tenant has none (app)")
        if not tenant.ndrs.mailboxes and not (tenant.ndrs.accounts and tenant.service_accounts):
            scene.warn(here, "names no mailbox, and there is no service account")
        if tenant.ndrs.every < 1:
            scene.fault((*here, "every"), "expected at least 1s")


def history(scene: Scene) -> None:
    """A report finds its message in the history, so that is kept for as long as Exchange Online may still report."""
    settings = scene.settings
    comes_back = settings.bounces.return_path is not None or any(one.ndrs for one in settings.tenants.values())
    if comes_back and 0 < settings.history.keep < REPORTED_S:
        scene.warn(("history", "keep"), "shorter than 24h: reports that come later find no message any more")


CHECKS = (return_path, direct_send, keys, mailboxes, history)
