"""When the configured certificates end, for the alarm that comes before; reads files, keeps nothing."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from node.errors import ConfigurationError
from node.settings.base import SecretRef
from node.settings.model import Settings
from node.settings.secrets import secret_path


def expiries(settings: Settings) -> dict[str, int]:
    """Give the end of each certificate file as epoch milliseconds, by its place in the configuration.

    A file that cannot be read now is left out: the check at start names it, and a swap in progress is no alarm.
    """
    found: dict[str, int] = {}
    for place, path in _files(settings):
        try:
            parsed = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            continue
        found[place] = int(parsed.not_valid_after_utc.timestamp() * 1000)
    return found


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    if settings.tls is not None:
        yield "tls", settings.tls.certificate
    for name, listener in settings.listeners.items():
        if listener.certificate is not None:
            yield f"listeners.{name}", listener.certificate.certificate
        for server_name, certificate in listener.sni.items():
            yield f"listeners.{name}.sni.{server_name}", certificate.certificate
    if settings.admin.certificate is not None:
        yield "admin", settings.admin.certificate.certificate
    for name, tenant in settings.tenants.items():
        app, connector = tenant.app, tenant.connector
        yield from _kept(f"tenants.{name}.app", app.certificate if app else None)
        yield from _kept(f"tenants.{name}.app.next_certificate", app.next_certificate if app else None)
        yield from _kept(f"tenants.{name}.connector", connector.certificate if connector else None)


def _kept(place: str, ref: SecretRef | None) -> Iterator[tuple[str, Path]]:
    """Give the file of a reference, if it has one."""
    with suppress(ConfigurationError):
        path = secret_path(ref) if ref is not None else None
        if path is not None:
            yield place, path
