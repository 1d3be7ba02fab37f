"""The administration port as the settings want it: who may use it, by which certificate, where its audit lies."""

import ssl

from node.admin.access import Role, Token
from node.admin.server import LOOPBACK, AdminServer
from node.console.server import Console
from node.policy.endings import end_of_ms
from node.settings.model import Settings
from node.tls.server import ServerTls


def tokens_of(settings: Settings) -> tuple[Token, ...]:
    """Give the tokens of the configuration."""
    return tuple(
        Token(
            name=name,
            digest=one.hash.removeprefix("sha256:"),
            role=Role[one.role.upper()],
            until_ms=end_of_ms(one.until),
        )
        for name, one in settings.admin.tokens.items()
    )


def console_of(admin: AdminServer, settings: Settings, node: str, hostname: str) -> Console:
    """Give the console of a node."""
    names = {node, hostname, *settings.admin.names}
    return Console(admin, node=node, names=names, trace_url=settings.admin.trace_url or "")


class AdminTls:
    """The port's certificate; a changed file is in force from the next handshake on."""

    def __init__(self, tls: ServerTls) -> None:
        """Keep it."""
        self._tls = tls
        self.context = tls.context
        self.context.sni_callback = self._newest

    def _newest(self, connection: ssl.SSLSocket | ssl.SSLObject, _host: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._tls.context

    def look(self) -> None:
        """See whether the files changed."""
        self._tls.refresh()


def admin_tls(settings: Settings, hostname: str) -> AdminTls | None:
    """Give the port's TLS: by its own certificate, else the common one; None on this machine without its own.

    Raises ConfigurationError if files cannot be used.
    """
    own = settings.admin.certificate
    if own is None and str(settings.admin.address) in LOOPBACK:
        return None
    return AdminTls(ServerTls("admin", own or settings.tls, hostname=hostname))
