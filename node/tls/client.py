"""TLS contexts for connections this node opens: towards Microsoft and towards a smart host.

Decides nothing about when TLS is wanted; there is no context without verification of chain and name.
"""

import ssl
from pathlib import Path

from node.errors import ConfigurationError


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
