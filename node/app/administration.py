"""The administration port as the settings want it: who may use it, by which certificate, where its audit lies."""

import ssl

from node.admin.access import Role, Token
from node.admin.oidc import Oidc, Rules
from node.admin.oidc_provider import Client, Provider
from node.admin.server import LOOPBACK
from node.m365.https import Https
from node.policy.endings import end_of_ms
from node.settings.host import CALLBACK
from node.settings.model import Settings
from node.settings.secrets import read_secret
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


def oidc_of(settings: Settings, hostname: str) -> Oidc | None:
    """Give the sign-in by an OpenID provider; None: none is configured. Raises ConfigurationError."""
    one = settings.admin.oidc
    if one is None:
        return None
    secret = one.secret
    client = Client(client_id=one.client_id, secret=None if secret is None else lambda: read_secret(secret).reveal())
    rules = Rules(
        client_id=one.client_id,
        redirect=one.redirect or _redirect(settings, hostname),
        roles={name: Role[role.upper()] for name, role in one.roles.items()},
        claims=one.claims,
        scopes=one.scopes,
        algorithms=one.algorithms,
        lasts_s=one.lasts,
    )
    return Oidc(Provider(one.issuer, client, Https(settings.egress)), rules)


def _redirect(settings: Settings, hostname: str) -> str:
    admin = settings.admin
    clear = admin.certificate is None and str(admin.address) in LOOPBACK
    host = f"http://localhost:{admin.port}" if clear else f"https://{hostname}:{admin.port}"
    return f"{host.removesuffix(':443')}{CALLBACK}"


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
