"""The administration port as the settings want it: who may use it, by which certificate, where its audit lies."""

import ssl

from node.admin.access import Role, Token
from node.admin.oidc import Oidc, Rules
from node.admin.oidc_provider import Client, Provider
from node.admin.seconding import Seconding
from node.admin.server import LOOPBACK, AdminServer
from node.admin.trust import Trust
from node.app.syslog import Shipper
from node.console.server import ARRIVED, Console
from node.m365.https import Https
from node.policy.endings import end_of_ms
from node.settings.host import CALLBACK
from node.settings.model import Settings
from node.settings.secrets import read_secret
from node.telemetry.contract import Telemetry
from node.tls.client import client_context
from node.tls.server import ServerTls


def tokens_of(settings: Settings) -> tuple[Token, ...]:
    """Give the tokens of the configuration."""
    return tuple(
        Token(
            name=name,
            digest=one.hash.removeprefix("sha256:"),
            role=Role[one.role.upper()],
            until_ms=end_of_ms(one.until),
            key=bytes.fromhex((one.sign or "").removeprefix("ed25519:")),
        )
        for name, one in settings.admin.tokens.items()
    )


def seconding_of(settings: Settings) -> Seconding:
    """Give what waits for a second person, beside the spool."""
    rules = settings.admin
    return Seconding(settings.spool / "kept" / "approvals.json", rules.second_approver, rules.approve_within)


def syslog_of(settings: Settings, hostname: str, telemetry: Telemetry) -> Shipper | None:
    """Give the audit's way to syslog; None where none is configured. Raises ConfigurationError for a bundle."""
    rules = settings.admin.syslog
    if rules is None:
        return None
    if rules.to.startswith("tls:"):
        client_context(rules.ca)  # a fault in it must be told at the start
    return Shipper(
        rules.to,
        facility=rules.facility,
        host=hostname,
        tls=lambda: client_context(rules.ca),
        lost=lambda number: telemetry.count("relay_syslog_lost", number),
    )


def trust_of(settings: Settings, node: str, oidc: Oidc | None) -> Trust:
    """Give what tells who ordered what another node asks."""
    cluster = settings.cluster.name if settings.cluster is not None else ""
    return Trust(cluster, node, tokens_of(settings), oidc)


def put_in_force(admin: AdminServer, trust: Trust, seconding: Seconding, settings: Settings) -> None:
    """Take other tokens, and other deeds that need a second person; what waits goes on waiting."""
    trust.replace(tokens_of(settings))
    admin.gatekeeper.replace(tokens_of(settings))
    seconding.kinds = frozenset(settings.admin.second_approver)
    seconding.within_s = settings.admin.approve_within


def console_of(admin: AdminServer, settings: Settings, node: str, hostname: str) -> Console:
    """Give the console of a node."""
    names = {node, hostname, *settings.admin.names}
    return Console(
        admin,
        node=node,
        names=names,
        trace_url=settings.admin.trace_url or "",
        provider=settings.admin.oidc is not None,
    )


async def listen(admin: AdminServer, settings: Settings, node: str, hostname: str, tls: ssl.SSLContext | None) -> None:
    """Open the socket, the port with the console, and the port for metrics where there is one."""
    await admin.start_socket(settings.runtime / "admin.sock")
    if settings.telemetry.prometheus is not None:
        await admin.start_port("127.0.0.1", settings.telemetry.prometheus, api=False)
    pages = console_of(admin, settings, node, hostname).mount
    if admin.sign_in is not None:
        admin.sign_in.home = ARRIVED
    await admin.start_port(str(settings.admin.address), settings.admin.port, tls, pages=pages)


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
