"""Checks of the ways without a mailbox: can they be reached, is a recipient outside taken, does what is shown fit.

Only an address outside tells whether a connector matches: inside ones are taken from anybody (facts m365 §1.4).
"""

from datetime import UTC, datetime

from node.check.accounts import MAILBOX_PATHS, refusal
from node.check.causes import Evidence, cause_of
from node.check.contract import Finding, Grade, Scene, WayToTest
from node.errors import ConfigurationError
from node.policy.classify import Classifier
from node.settings.certificates import certificate_findings, client_findings
from node.settings.secrets import read_secret

OUTSIDE = "postmaster@example.com"
"""A recipient no tenant owns; it is only named, nothing is sent to it."""
OVER = ("ran out", "is not valid before")
"""How the look at a certificate words what a listener may live with, and a connector may not."""


async def pathways(scene: Scene, classifier: Classifier) -> list[Finding]:
    """Try every such way."""
    found: list[Finding] = []
    for way in scene.ways:
        if way.path not in MAILBOX_PATHS:
            found += await _one(scene, way, classifier)
    return [*found, *_certificate(scene)]


async def _one(scene: Scene, way: WayToTest, classifier: Classifier) -> list[Finding]:
    subject = f"{way.path} {way.place}"
    told = await scene.prober.login(way.name)
    if not told.good:
        return [refusal(scene, subject, "connect", told, cause_of(told, way.path, Evidence(), classifier))]
    found = [scene.finding(subject, "connect", Grade.GOOD)]
    for what, to in _recipients(scene, way):
        told = await scene.prober.envelope(way.name, sender_of(scene, way), to)
        if told.good:
            found.append(scene.finding(subject, what, Grade.GOOD))
        else:
            found.append(refusal(scene, subject, what, told, cause_of(told, way.path, Evidence(), classifier)))
    return found


def _recipients(scene: Scene, way: WayToTest) -> list[tuple[str, str]]:
    domain = scene.settings.tenants[scene.tenant].domains[0].removeprefix("*.")
    inside = scene.to or scene.settings.bounces.fallback or f"postmaster@{domain}"
    if way.path == "direct-send":
        return [("a recipient inside", inside)]
    return [("a recipient outside", _outside(scene))]


def _outside(scene: Scene) -> str:
    connector = scene.settings.tenants[scene.tenant].connector
    probe = connector.probe if connector is not None else None
    return str(probe.to) if probe is not None else OUTSIDE


def sender_of(scene: Scene, way: WayToTest) -> str:
    """Give a sender the way takes: one that is set up for it, else one of the tenant's."""
    tenant = scene.settings.tenants[scene.tenant]
    if way.path == "acs" and tenant.acs is not None:
        named = [pattern for pattern in tenant.acs.senders if "*" not in pattern]
        if named:
            return named[0]
    own = scene.settings.bounces.sender or next(iter(tenant.service_accounts), None)
    return own or f"postmaster@{tenant.domains[0].removeprefix('*.')}"


def _certificate(scene: Scene) -> list[Finding]:
    """The connector's certificate: expiry, name, use, issuer (operations F2, F3)."""
    tenant = scene.settings.tenants[scene.tenant]
    ref = tenant.connector.certificate if tenant.connector is not None else None
    if ref is None:
        return []
    subject = "connector certificate"
    try:
        pem = read_secret(ref).reveal()
    except ConfigurationError as error:
        return [scene.finding(subject, "read", Grade.BAD, str(error))]
    now = datetime.fromtimestamp(scene.now_ms / 1000, UTC)
    found = []
    for fault, doubt in certificate_findings(pem, now=now)[:1]:
        over = any(word in doubt for word in OVER)
        if fault or doubt:
            found.append(
                scene.finding(subject, "validity", Grade.BAD if fault or over else Grade.DOUBT, fault or doubt)
            )
    found += [scene.finding(subject, "fitness", Grade.DOUBT, text) for text in client_findings(pem, tenant.domains)]
    return found or [scene.finding(subject, "fitness", Grade.GOOD)]
