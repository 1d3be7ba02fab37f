"""TLS contexts for connections this node opens: towards Microsoft and towards a smart host.

Decides nothing about when TLS is wanted; there is no context without verification of chain and name.
"""

import logging
import ssl
from pathlib import Path

from node.errors import ConfigurationError
from node.settings.base import SecretRef
from node.settings.secrets import read_secret, secret_path
from node.tls.pem import load_pem, stamp

_log = logging.getLogger(__name__)


def client_context(ca: Path | None = None) -> ssl.SSLContext:
    """Make a context that trusts the system's authorities and, besides, the PEM bundle ``ca``.

    TLS 1.2 or newer (Microsoft takes nothing older, facts m365 §6); the name is checked. Raises
    ConfigurationError when the bundle cannot be read.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        try:
            context.load_verify_locations(cafile=str(ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError([f"egress.ca: cannot read {ca}: {error}"]) from error
    return context


class ClientTls:
    """Contexts that show a certificate of ours; a changed file is honoured by the next connection.

    A context is never changed once given away: a certificate without its key in it would end every connection.
    """

    def __init__(self, place: str, certificate: SecretRef, ca: Path | None = None) -> None:
        """Read the PEM file with certificate and key. Raises ConfigurationError naming its ``place``."""
        self._place, self._certificate, self._ca = place, certificate, ca
        self._stamp = self._stamped()
        self._context = self._made()

    def context(self) -> ssl.SSLContext:
        """Give the context for the next handshake. A file that cannot be used keeps the old one and is logged once."""
        found = self._stamped()
        if found != self._stamp:
            self._stamp = found
            try:
                self._context = self._made()
            except ConfigurationError as error:
                _log.error("the old certificate is kept: %s", error)
        return self._context

    def _stamped(self) -> tuple[int, int, int]:
        path = secret_path(self._certificate)
        return stamp(path) if path is not None else (0, 0, 0)

    def _made(self) -> ssl.SSLContext:
        context = client_context(self._ca)
        pem = read_secret(self._certificate).reveal().encode()
        try:
            load_pem(context, pem, b"")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigurationError([f"{self._place}: certificate and key cannot be used: {error}"]) from error
        return context
