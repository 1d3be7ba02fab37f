"""Checks of clients: each can be recognised, no two are equal, and what they send belongs to somebody."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from node.policy.clients import fold_user
from node.policy.passwords import PasswordHashError, kind_of
from node.policy.patterns import PatternSet
from node.settings.checks.scene import Scene
from node.settings.mail import Client
from node.settings.places import KeyPath

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
RESERVED = "bounce"
"""Name under which our own reports travel."""


def recognisable(scene: Scene) -> None:
    """Every client has something to be known by, and a login is complete."""
    offers_login = any(one.auth != "none" for one in scene.settings.listeners.values())
    asks_certificate = any(one.client_ca is not None for one in scene.settings.listeners.values())
    for name, client in scene.settings.clients.items():
        here: KeyPath = ("clients", name)
        if name == RESERVED:
            scene.fault(here, "this name is kept for the relay's own reports")
        if not client.networks and client.user is None and client.certificate is None:
            scene.fault(here, "nothing to recognise it by; give networks, user or certificate")
        if client.certificate is not None and not asks_certificate:
            scene.warn((*here, "certificate"), "no listener asks for client certificates (client_ca); never matches")
        if client.user is not None and not offers_login:
            scene.warn((*here, "user"), "no listener offers a login (auth); never matches")
        _passwords(scene, here, client)


def logins(scene: Scene) -> None:
    """Every user has a password, in whichever client it is written."""
    clients = scene.settings.clients.values()
    known = {fold_user(client.user) for client in clients if client.user and client.passwords}
    for name, client in scene.settings.clients.items():
        whole = not scene.report.damaged(("clients", name))
        if whole and client.user is not None and fold_user(client.user) not in known:
            text = "a user needs passwords; `relayctl client add` or `relayctl hash-password` makes one"
            scene.fault(("clients", name, "user"), text)


def _passwords(scene: Scene, here: KeyPath, client: Client) -> None:
    if client.user is None and client.passwords:
        scene.fault((*here, "passwords"), "passwords need a user")
    for index, password in enumerate(client.passwords):
        _hash(scene, (*here, "passwords", index, "hash"), password.hash)
    today = scene.now.date()
    if client.passwords and all(one.until is not None and one.until < today for one in client.passwords):
        scene.warn((*here, "passwords"), "every password has run out; nobody can log in")


def _hash(scene: Scene, path: KeyPath, stored: str) -> None:
    """Refuse what can never be a hash; the ellipsis of an example is only pointed out, so that examples load."""
    try:
        kind_of(stored)
    except PasswordHashError as error:
        if stored.endswith(ELLIPSIS):
            scene.warn(path, "this is an example, not a hash; nobody can log in with it")
        else:
            scene.fault(path, str(error))


def marks(client: Client) -> Iterator[tuple[str, str, str]]:
    """Give each combination a client is known by: certificate, user, network; empty where none is asked."""
    for network in client.networks or ("",):
        yield (client.certificate or "").casefold(), fold_user(client.user or ""), str(network)


def distinct(scene: Scene) -> None:
    """Two clients known by exactly the same could not be told apart (operations M4)."""
    seen: dict[tuple[str, str, str], str] = {}
    for name, client in scene.settings.clients.items():
        for mark in dict.fromkeys(marks(client)):
            other = seen.setdefault(mark, name)
            if other != name and any(mark):
                words = ", ".join(f"{kind} {value}" for kind, value in zip(_KINDS, mark, strict=True) if value)
                at = scene.report.place_of(("clients", other))
                scene.fault(("clients", name), f"matches exactly as client {other} ({at}) does: {words}")
    _reporters(scene, seen)


def _reporters(scene: Scene, seen: dict[tuple[str, str, str], str]) -> None:
    """Who may hand in reports is no client: from one network alone it cannot be told which of the two it is."""
    bounces = scene.settings.bounces
    for index, network in enumerate(bounces.accept_from if bounces.return_path is not None else ()):
        client = seen.get(("", "", str(network)))
        if client is not None:
            at = scene.report.place_of(("clients", client))
            text = f"client {client} ({at}) is known by {network} alone: its mail and reports could not be told apart"
            scene.fault(("bounces", "accept_from", index), text)


_KINDS = ("certificate", "user", "network")


def promises(scene: Scene) -> None:
    """Plans exist; bounces have somewhere to go; there is a second machine where one is asked for."""
    for name, client in scene.settings.clients.items():
        scene.need_second_node(("clients", name, "copies"), client.copies)
        if client.plan is None:
            continue
        scene.unknown_plan(("clients", name, "plan"), client.plan)
        plan = scene.settings.plans.get(client.plan)
        to_owner = plan is not None and plan.bounces == "owner"
        if to_owner and client.owner is None and scene.settings.bounces.fallback is None:
            scene.warn(("clients", name), f"plan {client.plan} sends bounces to the owner, but no owner is given")


def senders(scene: Scene) -> None:
    """What a client may send as belongs to a tenant; rewriting comes first, so its targets are what counts."""
    if not scene.tenants_complete:
        return
    for name, client in scene.settings.clients.items():
        for index, pattern in enumerate(client.senders):
            path: KeyPath = ("clients", name, "senders", index)
            domain = pattern.rpartition("@")[2]
            if set(domain) <= {"*", "."}:
                scene.warn(path, f"{pattern} allows any sender at all; name the domains")
            elif not owned(scene, domain):
                scene.fault(path, f"no tenant owns {domain}{_instead(scene, pattern)}")


def owned(scene: Scene, domain: str) -> bool:
    """Tell whether a domain, or some domain a pattern stands for, belongs to a tenant."""
    return any(fnmatchcase(mine, domain) or fnmatchcase(domain, mine) for mine in scene.domains())


def _instead(scene: Scene, pattern: str) -> str:
    rule = next((rule for rule in scene.settings.rewrite if PatternSet((rule.sender,)).matches(pattern)), None)
    if rule is not None:
        return f"; rewrite makes it {rule.to} before senders are checked, so name that here"
    return f"; domains: {', '.join(scene.domains())}"


CHECKS = (recognisable, logins, distinct, promises, senders)
