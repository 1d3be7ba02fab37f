"""From an endpoint to an open, logged-in connection: token, dial, handshake, each timed for the trace.

Knows the one case that is tried twice: a token refused although it should be valid (facts m365 §3.2, §4.3).
"""

import asyncio
from contextlib import suppress

from node.delivery.clock import wall_ns
from node.delivery.connection import Connection, Phase, Session, broken_reply
from node.delivery.dial import Dialer
from node.delivery.endpoint import AuthKind, Endpoint, TlsMode, TokenSource
from node.delivery.errors import ElsewhereError, NameUnknown, Refused, WireBroken
from node.delivery.graph_line import graph_line, token_of
from node.delivery.handshake import Handshake
from node.delivery.mx import MxHosts
from node.delivery.wire import Wire
from node.errors import RelayError
from node.m365.graph import Graph
from node.m365.token import AccessToken
from node.policy.reply import Reply, Stage


class Opener:
    """Makes connections; raises ``Refused`` with the stage reached."""

    def __init__(
        self, dialer: Dialer, tokens: TokenSource | None, graph: Graph | None = None, mx: MxHosts | None = None
    ) -> None:
        """Keep what is shared by all ways."""
        self._dialer = dialer
        self._mx = mx or MxHosts()
        self._tokens = tokens
        self._graph = graph

    async def open(self, endpoint: Endpoint, phases: list[Phase]) -> Session:
        """Open and log in; phases are appended as they begin. Raises Refused."""
        if endpoint.graph:
            return await graph_line(endpoint, self._graph, self._tokens)
        # The token comes first: a slow token endpoint must not hold one of three sessions open.
        token = await self._token(endpoint)
        if token is None:
            return await self._once(endpoint, _password(endpoint), phases)
        try:
            return await self._once(endpoint, token.value, phases)
        except Refused as refused:
            if self._tokens is None or not _token_is_stale(refused):
                raise
            self._tokens.invalidate(endpoint.flow, token)
        fresh = await self._token(endpoint)
        return await self._once(endpoint, fresh.value if fresh else "", phases)

    def by_ipv4(self, host: str) -> None:
        """Hear that a host takes no mail by IPv6."""
        self._dialer.by_ipv4(host)

    async def _once(self, endpoint: Endpoint, secret: str, phases: list[Phase]) -> Connection:
        phase = Phase(name="relay.connect", start_ns=wall_ns())
        phases.append(phase)
        phase.attributes |= {"server.address": endpoint.host or endpoint.mx, "server.port": endpoint.port}
        wire: Wire | None = None
        handshake: Handshake | None = None
        try:
            wire, host = await self._reached(endpoint)
            phase.attributes["server.address"] = host
            connection = Connection(wire=wire, endpoint=endpoint, opened_s=asyncio.get_running_loop().time(), host=host)
            handshake = Handshake(connection)
            await handshake.greet()
            phase.end_ns = wall_ns()
            if endpoint.auth is not AuthKind.NONE:
                phase = Phase(name="relay.auth", start_ns=phase.end_ns)
                phases.append(phase)
                await handshake.log_in(secret)
        except Refused as refused:
            phase.error = refused.stage.value
            _close(wire, politely=True)
            raise
        except WireBroken as error:
            stage = handshake.stage if handshake is not None else Stage.CONNECT
            phase.error = stage.value
            _close(wire)
            raise Refused(stage, broken_reply(error)) from error
        except BaseException:
            _close(wire)
            raise
        finally:
            phase.end_ns = wall_ns()
        return connection

    async def _token(self, endpoint: Endpoint) -> AccessToken | None:
        if endpoint.auth is not AuthKind.XOAUTH2 or self._tokens is None:
            return None
        return await token_of(self._tokens, endpoint)

    async def _reached(self, endpoint: Endpoint) -> tuple[Wire, str]:
        """Connect to the endpoint's host, or to the first of its MX hosts that can be reached."""
        hosts = (endpoint.host,) if endpoint.host else await self._mx_hosts(endpoint.mx)
        for host in hosts[:-1]:
            with suppress(Refused, WireBroken):
                return await self._wire(endpoint, host), host
        return await self._wire(endpoint, hosts[-1]), hosts[-1]

    async def _mx_hosts(self, domain: str) -> tuple[str, ...]:
        try:
            return await self._mx.of(domain)
        except NameUnknown as error:
            raise Refused(Stage.CONNECT, Reply(code=0, text="dns no MX")) from error
        except ElsewhereError as error:
            raise Refused(Stage.CONNECT, Reply(code=0, text=f"mx_elsewhere {error}")) from error

    async def _wire(self, endpoint: Endpoint, host: str) -> Wire:
        """Connect, with TLS at once where the endpoint says ``implicit``."""
        timings = endpoint.timings
        try:
            sock = await self._dialer.connect(host, endpoint.port, endpoint.source_address, timings.connect_s)
        except NameUnknown as error:
            raise Refused(Stage.CONNECT, Reply(code=0, text="dns no such name")) from error
        implicit = endpoint.tls is TlsMode.IMPLICIT
        try:
            async with asyncio.timeout(timings.connect_s):
                _, wire = await asyncio.get_running_loop().create_connection(
                    Wire,
                    sock=sock,
                    ssl=endpoint.tls_context() if implicit else None,
                    server_hostname=host if implicit else None,
                )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError too
            sock.close()
            raise Refused(Stage.TLS, Reply(code=0, text=f"tls {type(error).__name__}")) from error
        except BaseException:
            sock.close()
            raise
        return wire


def _password(endpoint: Endpoint) -> str:
    """Read the password anew: a changed file is honoured at the next login."""
    if endpoint.auth is not AuthKind.PASSWORD or endpoint.password is None:
        return ""
    try:
        return endpoint.password()
    except RelayError as error:
        raise Refused(Stage.TOKEN, Reply(code=401, text="invalid_client the password cannot be read")) from error


def _close(wire: Wire | None, *, politely: bool = False) -> None:
    if wire is None:
        return
    if politely and wire.usable:
        wire.goodbye()
    else:
        wire.cut()


def _token_is_stale(refused: Refused) -> bool:
    """535 5.7.3 is the documented answer to an expired token; 501 5.5.127 says it will expire soon."""
    reply = refused.reply
    return refused.stage is Stage.AUTH and (
        (reply.code == 535 and reply.enhanced == "5.7.3") or reply.enhanced == "5.5.127"  # noqa: PLR2004
    )
