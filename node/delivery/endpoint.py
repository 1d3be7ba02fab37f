"""Where a way leads on the network: host, TLS, login and the habits of connections. Values only; opens nothing."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from node.m365.token import AccessToken
from node.tls.client import ClientTls


class TlsMode(StrEnum):
    """How the connection becomes secret. ``none`` is for loopback only (the settings check it)."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


class AuthKind(StrEnum):
    """How the relay logs in."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - the name of a kind
    XOAUTH2 = "xoauth2"


class TokenSource(Protocol):
    """Where tokens come from; one flight per tenant, refreshed early, with a back-off of its own."""

    async def token(self, tenant: str) -> AccessToken:
        """Give a token that is valid for some minutes, for a tenant or for its Graph. Raises RelayError."""
        ...

    def invalidate(self, tenant: str, token: AccessToken | None = None) -> bool:
        """Forget this token: the server refused it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Waits in seconds. The defaults are RFC 5321 §4.5.3.2, shortened where only a connection is at stake."""

    connect_s: float = 20.0
    banner_s: float = 60.0
    command_s: float = 120.0
    data_s: float = 120.0
    dot_s: float = 600.0  # surplus submissions may be delayed by minutes (facts m365 §6)
    age_s: float = 600.0  # Exchange cuts sessions at about 20 min
    idle_s: float = 60.0  # and idle ones at 5 min
    messages: int = 50
    yield_messages: int = 5  # given back after so many messages ...
    yield_s: float = 15.0  # ... or so long, when somebody waits for the slot
    yield_idle_s: float = 0.5  # ... and at once when nothing goes over it


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One way's place on the network."""

    way: str
    """Name of the way, ``path:account``."""
    path: str
    account: str
    tenant: str
    host: str
    """Empty: one of the MX hosts of ``mx``."""
    port: int
    mx: str = ""
    """Domain whose MX hosts the way leads to."""
    tls: TlsMode = TlsMode.STARTTLS
    context: ssl.SSLContext | None = None
    shown: ClientTls | None = None
    """Contexts with a client certificate, instead of ``context``."""
    auth: AuthKind = AuthKind.NONE
    user: str = ""
    password: Callable[[], str] | None = None
    """Reads the secret anew for each login, so that a changed file is honoured."""
    connections: int = 2
    slotted: bool = False
    """Sessions are counted by the upstream and shared with other nodes: each needs a slot."""
    paced: bool = False
    """The upstream publishes no limits: connections become fewer when it slows us down, and more again."""
    metered: bool = False
    """The upstream counts messages: RSET before DATA is worth a round trip, since it returns the permit."""
    helo: str = "localhost"
    source_address: str = ""
    graph: str = ""
    """Root of Microsoft Graph, for the path that speaks to it instead of SMTP."""
    token_flow: str = ""
    """Which of the tenant's tokens it needs; empty: the one for mailboxes."""
    timings: Timings = Timings()

    @property
    def flow(self) -> str:
        """Name of the tokens it needs."""
        return self.token_flow or self.tenant

    @property
    def place(self) -> str:
        """Where it leads, for people."""
        return f"{self.host or f'MX of {self.mx}'}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """Give the context for the next handshake, with the certificate as it is now."""
        return self.shown.context() if self.shown is not None else self.context
