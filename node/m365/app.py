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
    """One app in one tenant; authority and scope are separate settings (facts/m365.md §1.3)."""

    tenant_id: str
    client_id: str
    authority: str
    """``https://`` and host of the sign-in endpoint."""
    scope: str
    secret: SecretRef | None = None
    certificate: SecretRef | None = None
    """PEM with certificate and RSA private key."""
    certificate_password: SecretRef | None = None


class ClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in with a client secret."""

    secret: Secret


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in with an assertion signed by the certificate's key."""

    pem: Secret
    password: Secret | None = None


Credential = ClientSecret | ClientCertificate


def tenant_app(tenant: Tenant) -> TenantApp | None:
    """Give the tenant's app with its cloud's endpoints; None if it has none (smart host only)."""
    if tenant.app is None:
        return None
    cloud = cloud_of(tenant)
    return TenantApp(
        tenant_id=tenant.id,
        client_id=tenant.app.client_id,
        authority=cloud.authority,
        scope=cloud.scope,
        secret=tenant.app.secret,
        certificate=tenant.app.certificate,
        certificate_password=tenant.app.certificate_password,
    )


def read_credential(app: TenantApp) -> Credential:
    """Read the secret or certificate as it is now; blocks on the disk. Raises CredentialUnusable naming the place."""
    try:
        if app.certificate is not None:
            password = read_secret(app.certificate_password) if app.certificate_password else None
            return ClientCertificate(pem=read_secret(app.certificate), password=password)
        if app.secret is not None:
            return ClientSecret(secret=read_secret(app.secret))
    except ConfigurationError as error:
        raise CredentialUnusable(str(error)) from None
    raise CredentialUnusable(f"app {app.client_id} has neither secret nor certificate")


def credential_stamp(app: TenantApp) -> tuple[tuple[int, int, int], ...]:
    """Tell whether the credential's files changed: inode, size and time of each, zeros for one that is missing."""
    stamps = []
    for ref in (app.secret, app.certificate, app.certificate_password):
        path = _path(ref)
        if path is not None:
            stamps.append(_stamp(path))
    return tuple(stamps)


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
