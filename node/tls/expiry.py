"""When the configured certificates end, for the alarm that comes before; reads files, keeps nothing."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from node.errors import ConfigurationError
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
        if tenant.app is not None and tenant.app.certificate is not None and tenant.app.certificate.file is not None:
            yield f"tenants.{name}.app", tenant.app.certificate.file
        if tenant.connector is not None and (ref := tenant.connector.certificate) is not None:
            with suppress(ConfigurationError):
                path = secret_path(ref)
                if path is not None:
                    yield f"tenants.{name}.connector", path
