"""Checks of what the configuration points at on this machine: secrets, certificates, directories."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from coordinator.pki import Pki, PkiUnusable
from node.errors import ConfigurationError
from node.settings.base import SecretRef
from node.settings.certificates import certificate_findings, pair_findings
from node.settings.checks.scene import Scene
from node.settings.host import Certificate
from node.settings.places import KeyPath
from node.settings.secrets import Secret, read_secret, secret_warnings

PartT = TypeVar("PartT", bound=BaseModel)


def secrets(scene: Scene) -> None:
    """Every secret can be read and is not open to everyone."""
    for path, ref in _parts(scene.settings, SecretRef):
        for warning in secret_warnings(ref):
            scene.warn(path, warning)
        if scene.here:
            _secret(scene, path, ref)


def certificates(scene: Scene) -> None:
    """Every certificate can be read, has its key, and has not run out."""
    if not scene.here:
        return
    for path, pair in _parts(scene.settings, Certificate):
        _pem(scene, (*path, "certificate"), pair.certificate, _secret(scene, None, pair.key))
    for name, tenant in scene.settings.tenants.items():
        for key, part in (("app", tenant.app), ("connector", tenant.connector)):
            ref = part.certificate if part is not None else None
            pem = _secret(scene, None, ref) if ref is not None else None
            if pem is not None and (tenant.app is None or tenant.app.certificate_password is None):
                for fault, warning in pair_findings(pem.reveal(), pem.reveal(), now=scene.now):
                    _note(scene, ("tenants", name, key, "certificate"), fault, warning)


def authorities(scene: Scene) -> None:
    """Certificates trusted besides the system's can be read."""
    if not scene.here:
        return
    settings = scene.settings
    trusted: list[tuple[KeyPath, Path | None]] = [
        (("egress", "ca"), settings.egress.ca),
        (("telemetry", "ca"), settings.telemetry.ca),
        *((("listeners", name, "client_ca"), one.client_ca) for name, one in settings.listeners.items()),
    ]
    for path, file in trusted:
        if file is not None:
            _pem(scene, path, file, None)


def identity(scene: Scene) -> None:
    """The cluster's certificates fit each other and name this node."""
    cluster = scene.settings.cluster
    if not scene.here or cluster is None:
        return
    pki = Pki(cluster.pki)
    missing = [path.name for path in (pki.ca, pki.certificate, pki.key) if not path.is_file()]
    if missing:
        scene.fault(("cluster", "pki"), f"{cluster.pki} lacks {', '.join(missing)}")
        return
    try:
        pki.check(cluster.name, scene.node if scene.node in cluster.nodes else None)
        pem = pki.read()
    except PkiUnusable as error:
        scene.fault(("cluster", "pki"), str(error))
        return
    for text in (pem.ca, pem.certificate):
        for fault, warning in certificate_findings(text.decode("utf-8", "replace"), now=scene.now):
            _note(scene, ("cluster", "pki"), fault, warning)


def _secret(scene: Scene, path: KeyPath | None, ref: SecretRef) -> Secret | None:
    """Read a secret; its fault is noted at *path*, or not at all where another check notes it."""
    try:
        return read_secret(ref, scene.environment)
    except ConfigurationError as error:
        if path is not None:
            scene.fault(path, "; ".join(error.faults))
        return None


def _pem(scene: Scene, path: KeyPath, file: Path, key: Secret | None) -> None:
    try:
        text = read_secret(SecretRef(file=file)).reveal()
    except ConfigurationError as error:
        scene.fault(path, "; ".join(error.faults).removeprefix("secret "))
        return
    found = pair_findings(text, key.reveal(), now=scene.now) if key else certificate_findings(text, now=scene.now)
    for fault, warning in found:
        _note(scene, path, fault, warning)


def _note(scene: Scene, path: KeyPath, fault: str, warning: str) -> None:
    if fault:
        scene.fault(path, fault)
    if warning:
        scene.warn(path, warning)


def _parts(part: object, kind: type[PartT], path: KeyPath = ()) -> Iterator[tuple[KeyPath, PartT]]:
    """Find every part of one kind, with the path to it."""
    if isinstance(part, kind):
        yield path, part
    if isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _parts(getattr(part, name), kind, (*path, name))
    elif isinstance(part, dict):
        for name, inner in part.items():
            yield from _parts(inner, kind, (*path, name))
    elif isinstance(part, tuple):
        for index, inner in enumerate(part):
            yield from _parts(inner, kind, (*path, index))


CHECKS = (secrets, certificates, authorities, identity)
