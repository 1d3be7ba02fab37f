"""Checks of tenants, accounts, plans and rewriting against one another."""

import re
from datetime import date
from fnmatch import fnmatchcase
from itertools import chain
from typing import Final

from node.policy.addresses import AddressError
from node.policy.rewrite import Rewriter
from node.settings.app import PROOFS, App
from node.settings.checks.clients import owned
from node.settings.checks.scene import Scene
from node.settings.mail import AccountLimits, Plan, ServiceAccount, Tenant
from node.settings.places import KeyPath
from node.settings.units import Rate, format_rate, format_size

HARD_RATE: Final = Rate(30, 60.0)
HARD_RECIPIENTS: Final = Rate(10_000, 86_400.0)
HARD_SESSIONS: Final = 3
BASIC_OFF: Final = date(2026, 12, 31)
"""When logins with a password end by default; an admin may allow them again for a while (facts/m365.md §3.1)."""
HARD_SIZE: Final = 150 << 20
"""Microsoft's limits of one mailbox (facts/m365.md §2.1); the first three cannot be raised."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def domains_once(scene: Scene) -> None:
    """A domain belongs to one tenant: the sender's domain chooses it."""
    owned = scene.domains()
    for name, tenant in scene.settings.tenants.items():
        for index, domain in enumerate(tenant.domains):
            if owned[domain] != name:
                scene.fault(("tenants", name, "domains", index), f"{domain} belongs to tenant {owned[domain]} already")
            elif domain in tenant.domains[:index]:
                scene.warn(("tenants", name, "domains", index), f"{domain} is listed twice")


def identities(scene: Scene) -> None:
    """Tenant and application bear ids, and the application has one way to prove itself."""
    for name, tenant in scene.settings.tenants.items():
        here: KeyPath = ("tenants", name)
        if not _GUID.fullmatch(tenant.id) and "." not in tenant.id:
            scene.warn((*here, "id"), "looks neither like a directory id (8-4-4-4-12 hex digits) nor like a domain")
        if tenant.app is None:
            continue
        if not _GUID.fullmatch(tenant.app.client_id):
            scene.warn((*here, "app", "client_id"), "does not look like an application id (8-4-4-4-12 hex digits)")
        _proof(scene, (*here, "app"), tenant.app)


def _proof(scene: Scene, here: KeyPath, app: App) -> None:
    """One kind of proof; a second of its kind only beside a first."""
    if len(app.proofs) != 1:
        scene.fault(here, f"give one of {', '.join(PROOFS)}")
    for key, first in (("next_secret", app.secret), ("next_certificate", app.certificate)):
        if getattr(app, key) is not None and first is None:
            scene.fault((*here, key), f"there is no {key.removeprefix('next_')} it could follow")
    if app.certificate_password is not None and app.certificate is None:
        scene.fault((*here, "certificate_password"), "there is no certificate it could belong to")
    for key, until in (("secret", app.secret_until), ("next_secret", app.next_secret_until)):
        if until is not None and getattr(app, key) is None:
            scene.fault((*here, f"{key}_until"), f"there is no {key} it could belong to")
        elif until is not None and until < scene.now.date():
            scene.warn((*here, f"{key}_until"), f"ran out on {until}")


def accounts(scene: Scene) -> None:
    """Accounts serve known plans, send as the tenant's domains, and belong to one tenant."""
    seen: dict[str, str] = {}
    for name, tenant in scene.settings.tenants.items():
        for address, account in tenant.service_accounts.items():
            here: KeyPath = ("tenants", name, "service_accounts", address)
            if seen.setdefault(address, name) != name:
                scene.fault(here, f"this mailbox is an account of tenant {seen[address]} already")
            for index, plan in enumerate(account.only):
                scene.unknown_plan((*here, "only", index), plan)
            for index, pattern in enumerate(account.send_as):
                _send_as(scene, (*here, "send_as", index), pattern, tenant)
            _login(scene, here, account, tenant)
            _account_limits(scene, (*here, "limits"), account.limits)
            if address.rpartition("@")[2] not in tenant.domains and not address.endswith(".onmicrosoft.com"):
                scene.warn(here, "its domain is not one of the tenant's domains")


def _login(scene: Scene, here: KeyPath, account: ServiceAccount, tenant: Tenant) -> None:
    """An account can log in somehow; a password has an end (facts/m365.md §3.1)."""
    if account.password is not None:
        text = f"Exchange Online switches logins with a password off at the end of {BASIC_OFF:%B %Y} by default"
        scene.warn((*here, "password"), text)
    elif tenant.app is None and any(one.password is not None for one in tenant.service_accounts.values()):
        scene.fault(here, "has no password, and the tenant has no app it could log in with")


def _send_as(scene: Scene, path: KeyPath, pattern: str, tenant: Tenant) -> None:
    domain = pattern.rpartition("@")[2]
    if not any(fnmatchcase(mine, domain) or fnmatchcase(domain, mine) for mine in tenant.domains):
        scene.fault(path, f"{domain} is not one of the tenant's domains ({', '.join(tenant.domains)})")


def _account_limits(scene: Scene, path: KeyPath, limits: AccountLimits) -> None:
    for key, value, hard in (("rate", limits.rate, HARD_RATE), ("recipients", limits.recipients, HARD_RECIPIENTS)):
        if value.amount / value.window_s > hard.amount / hard.window_s:
            scene.warn((*path, key), f"{value} is above Microsoft's {format_rate(hard)}, which cannot be raised")
    if limits.sessions > HARD_SESSIONS:
        scene.warn(
            (*path, "sessions"), f"{limits.sessions} is above Microsoft's {HARD_SESSIONS}, which cannot be raised"
        )
    if limits.size > HARD_SIZE:
        scene.fault((*path, "size"), f"{format_size(limits.size)} is above {format_size(HARD_SIZE)}, the most possible")


def plans(scene: Scene) -> None:
    """Plans promise nothing that the door, the clock or the number of nodes cannot keep."""
    for name, plan in scene.settings.plans.items():
        here: KeyPath = ("plans", name)
        if plan.size is not None and plan.size > scene.settings.limits.size:
            text = f"{format_size(plan.size)} is above limits.size ({format_size(scene.settings.limits.size)})"
            scene.fault((*here, "size"), text)
        if plan.size is not None and plan.size == 0:
            scene.fault((*here, "size"), "expected a size above zero")
        scene.need_second_node((*here, "copies"), plan.copies)
        _times(scene, here, plan)


def _times(scene: Scene, here: KeyPath, plan: Plan) -> None:
    if plan.expire <= 0:
        scene.fault((*here, "expire"), "expected a time above zero")
    elif plan.expire <= plan.retry.delays[0]:
        scene.warn((*here, "expire"), "mail expires before its first retry; a single failure bounces it")
    for index, delay in enumerate(plan.retry.delays):
        if delay < 1:
            scene.fault((*here, "retry", "delays", index), "expected at least 1s between two tries")


def own_addresses(scene: Scene) -> None:
    """Senders we write ourselves belong to a tenant; else nobody could send them on."""
    if not scene.tenants_complete:
        return
    settings = scene.settings
    targets: list[tuple[KeyPath, str | None]] = [(("rewrite", i, "to"), r.to) for i, r in enumerate(settings.rewrite)]
    for path, address in chain(targets, [(("bounces", "from"), settings.bounces.sender)]):
        if address is not None and not owned(scene, address.rpartition("@")[2]):
            scene.fault(path, f"no tenant owns the domain of {address}")
    if settings.default_domain is not None and not owned(scene, settings.default_domain):
        scene.fault(("default_domain",), f"no tenant owns {settings.default_domain}")
    fallback = settings.bounces.fallback
    if fallback is not None and not owned(scene, fallback.rpartition("@")[2]):
        scene.warn(("bounces", "fallback"), f"{fallback} lies outside every tenant: reports would leave the company")


def aliases(scene: Scene) -> None:
    """Every recipient alias leads to a full address."""
    settings = scene.settings
    for name in settings.aliases:
        try:
            Rewriter(aliases=settings.aliases, default_domain=settings.default_domain or "").recipient(name)
        except AddressError as error:
            scene.fault(("aliases",), str(error))
            return


CHECKS = (domains_once, identities, accounts, plans, own_addresses, aliases)
