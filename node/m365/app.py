"""Which app signs in where, and with what: plain values from the settings, secrets read afresh each time.

Reading the secret for every request is what makes a rotation need no restart: a request goes out some 40 minutes
apart. Knows no network.
"""

from pathlib import Path

import msgspec

from node.errors import ConfigurationError
from node.m365.errors import CredentialUnusable
from node.settings.base import SecretRef
from node.settings.clouds import cloud_of
from node.settings.mail import Tenant
from node.settings.secrets import Secret, read_secret, secret_path


class TenantApp(msgspec.Struct, frozen=True, kw_only=True):
    """One app in one tenant, for one audience; authority and scope are separate settings (facts/m365.md §1.3)."""

    tenant_id: str
    client_id: str
    authority: str
    """``https://`` and host of the sign-in endpoint."""
    scope: str
    secret: SecretRef | None = None
    next_secret: SecretRef | None = None
    certificate: SecretRef | None = None
    """PEM with certificate and RSA private key."""
    next_certificate: SecretRef | None = None
    certificate_password: SecretRef | None = None
    federation: SecretRef | None = None
    """Token of a workload identity."""
    managed_identity: str = ""
    """``system`` or ``user``; empty: none."""

    @property
    def proofs(self) -> tuple[str, ...]:
        """Name what it can prove itself with, in the order it is tried."""
        if self.managed_identity:
            return ("managed_identity",)
        kinds = ("certificate", "next_certificate", "secret", "next_secret", "federation")
        return tuple(kind for kind in kinds if getattr(self, kind) is not None)


class ClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in with a client secret."""

    secret: Secret


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in with an assertion signed by the certificate's key."""

    pem: Secret
    password: Secret | None = None


class WorkloadToken(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in with a token somebody issues whom the app trusts (federated credential)."""

    token: Secret


class ManagedIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in as the machine."""

    client_id: str
    """Of an identity assigned to it; empty: its own."""


Credential = ClientSecret | ClientCertificate | WorkloadToken | ManagedIdentity


def tenant_app(tenant: Tenant) -> TenantApp | None:
    """Give the tenant's app with its cloud's endpoints; None if it has none (smart host only)."""
    return _app(tenant, cloud_of(tenant).scope)


def graph_app(tenant: Tenant) -> TenantApp | None:
    """Give the same app for Graph, whose tokens are others (facts/m365.md §3.3)."""
    return _app(tenant, cloud_of(tenant).graph_scope)


def _app(tenant: Tenant, scope: str) -> TenantApp | None:
    app = tenant.app
    if app is None:
        return None
    return TenantApp(
        tenant_id=tenant.id,
        client_id=app.client_id,
        authority=cloud_of(tenant).authority,
        scope=scope,
        secret=app.secret,
        next_secret=app.next_secret,
        certificate=app.certificate,
        next_certificate=app.next_certificate,
        certificate_password=app.certificate_password,
        federation=app.federation,
        managed_identity=app.managed_identity or "",
    )


def read_credential(app: TenantApp, proof: str = "") -> Credential:
    """Read one of the app's proofs as it is now (the first by default); blocks on the disk.

    Raises CredentialUnusable naming the place.
    """
    proof = proof or next(iter(app.proofs), "")
    try:
        match proof:
            case "managed_identity":
                return ManagedIdentity(client_id=app.client_id if app.managed_identity == "user" else "")
            case "certificate" | "next_certificate":
                password = read_secret(app.certificate_password) if app.certificate_password else None
                return ClientCertificate(pem=_read(app, proof), password=password)
            case "secret" | "next_secret":
                return ClientSecret(secret=_read(app, proof))
            case "federation":
                return WorkloadToken(token=_read(app, proof))
    except ConfigurationError as error:
        raise CredentialUnusable(str(error)) from None
    raise CredentialUnusable(f"app {app.client_id} has nothing to prove itself with")


def _read(app: TenantApp, proof: str) -> Secret:
    ref: SecretRef = getattr(app, proof)
    return read_secret(ref)


def credential_stamp(app: TenantApp) -> tuple[tuple[int, int, int], ...]:
    """Tell whether the credential's files changed: inode, size and time of each, zeros for one that is missing."""
    refs = (
        app.secret,
        app.next_secret,
        app.certificate,
        app.next_certificate,
        app.certificate_password,
        app.federation,
    )
    return tuple(_stamp(path) for path in map(_path, refs) if path is not None)


def _path(ref: SecretRef | None) -> Path | None:
    try:
        return secret_path(ref) if ref is not None else None
    except ConfigurationError:
        return None


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
