"""The simulator as a whole: its ports, its certificates, start and stop. Decides nothing about mail."""

import asyncio
import datetime as dt
import json
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from node.rehearsal.authority import Authority, establish, subjects
from node.rehearsal.simulator import greeting, login, transaction
from node.rehearsal.simulator.directory import Directory, default_directory
from node.rehearsal.simulator.endpoints import control_routes, entra_routes, identity_routes
from node.rehearsal.simulator.graph.routes import graph_routes
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.mailboxes import mailbox_control_routes, mailbox_routes
from node.rehearsal.simulator.postmaster import Postmaster
from node.rehearsal.simulator.script import Step
from node.rehearsal.simulator.services.acs import AcsService
from node.rehearsal.simulator.services.hve import HveService
from node.rehearsal.simulator.services.mailboxes import Submission
from node.rehearsal.simulator.services.mx import MxService
from node.rehearsal.simulator.services.service import Service
from node.rehearsal.simulator.services.smarthost import SmartHostService
from node.rehearsal.simulator.session import Command, Session
from node.rehearsal.web import WebServer
from node.rehearsal.wire import Wire

NAMES = (
    "localhost",
    "127.0.0.1",
    "::1",
    "smtp.office365.com",
    "smtp-hve.office365.com",
    "smtp.azurecomm.net",
    "*.mail.protection.outlook.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
)
BACKLOG = 1024
COMMANDS: dict[bytes, Command] = {
    b"EHLO": greeting.ehlo,
    b"HELO": greeting.helo,
    b"STARTTLS": greeting.starttls,
    b"AUTH": login.auth,
    b"MAIL": transaction.mail,
    b"RCPT": transaction.rcpt,
    b"DATA": transaction.data,
    b"BDAT": transaction.bdat,
    b"RSET": greeting.rset,
    b"NOOP": greeting.noop,
    b"VRFY": greeting.vrfy,
    b"HELP": greeting.help_,
    b"QUIT": greeting.quit_,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where to listen; 0 lets the system choose."""

    host: str = "127.0.0.1"
    smtp: int = 0
    mx: int = 0
    hve: int = 0
    acs: int = 0
    entra: int = 0
    graph: int = 0
    identity: int = 0
    control: int = 0


class Simulator:
    """Run it as ``async with Simulator(...) as simulator``; afterwards every port is closed."""

    def __init__(
        self,
        directory: Directory | None = None,
        *,
        ports: Ports | None = None,
        tls_directory: Path | None = None,
        names: tuple[str, ...] = NAMES,
        keep: Path | None = None,
        receipts: int = 100_000,
        steps: tuple[Step, ...] = (),
        clients: tuple[str, ...] = (),
        history: Path | None = None,
    ) -> None:
        """Prepare; nothing listens yet. ``tls_directory`` gets the PEM files (default: temporary).

        ``history``: every operation is written to this file, for ``rehearse check``.

        ``clients``: names for which a client certificate of the simulator's own authority is made.
        """
        self.hub = Hub(directory or default_directory(), receipts=receipts, keep=keep)
        self.hub.script.set(steps)
        self._ports = ports or Ports()
        self._names = names
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._tls_directory = tls_directory
        self._sessions: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._clients = clients
        self._history = history
        self.post = Postmaster(self.hub)
        self.hub.on_receipt = self.post.taken
        self._entra = WebServer({**entra_routes(self.hub), **mailbox_routes(self.post)})
        self._graph = WebServer({**graph_routes(self.hub), **mailbox_routes(self.post)}, lazy=True)
        self._identity = WebServer(identity_routes(self.hub))
        self._control = WebServer({**control_routes(self.hub), **mailbox_control_routes(self.post)})
        self.authority: Authority | None = None
        self.ports: dict[str, int] = {}
        """Of every service, by name."""
        self.entra_port = self.graph_port = self.identity_port = self.control_port = 0

    async def start(self) -> None:
        """Write the certificates and open the ports."""
        if self.hub.keep is not None:
            self.hub.keep.mkdir(parents=True, exist_ok=True)
        if self._history is not None:
            self.hub.chronicle.open(self._history)
        if self._tls_directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rehearsal-")
        place = self._tls_directory or Path(self._temporary.name if self._temporary else ".")
        authority = establish(place, self._names, dt.datetime.now(dt.UTC), self._clients)
        self.authority = authority
        self.hub.untrusted = subjects(self.hub.directory.mx.untrusted)
        for service, port in self._services():
            await self._listen(service, port, self._context(authority, service))
        host = self._ports.host
        self.entra_port = await self._entra.start(host, self._ports.entra, authority.server_context())
        self.graph_port = await self._graph.start(host, self._ports.graph, authority.server_context())
        self.identity_port = await self._identity.start(host, self._ports.identity)
        self.control_port = await self._control.start(host, self._ports.control)

    def _services(self) -> tuple[tuple[Service, int], ...]:
        hub, ports = self.hub, self._ports
        if hub.directory.smarthost is not None:
            return ((SmartHostService(hub), ports.smtp),)
        return (
            (Submission(hub), ports.smtp),
            (MxService(hub), ports.mx),
            (HveService(hub), ports.hve),
            (AcsService(hub), ports.acs),
        )

    def _context(self, authority: Authority, service: Service) -> ssl.SSLContext | None:
        smarthost = self.hub.directory.smarthost
        if smarthost is not None and smarthost.tls == "none":
            return None
        asks = isinstance(service, MxService)
        return authority.asking_context(*self.hub.directory.mx.untrusted) if asks else authority.server_context()

    async def _listen(self, service: Service, port: int, context: ssl.SSLContext | None) -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: Wire(lambda wire: self._accept(wire, service, context)),
            self._ports.host,
            port,
            backlog=BACKLOG,
            family=socket.AF_UNSPEC,
        )
        self._servers.append(server)
        self.ports[service.name] = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the ports and cut what is open."""
        for server in self._servers:
            server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        await self.post.stop()
        await self._entra.stop()
        await self._graph.stop()
        await self._identity.stop()
        await self._control.stop()
        self.hub.chronicle.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def __aenter__(self) -> Self:
        """Start; a port that cannot be opened closes the others."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    # -- for those who use it in their own process ------------------------------------------------------------------

    @property
    def smtp_port(self) -> int:
        """The port of submission, or of the smart host."""
        return next(iter(self.ports.values()), 0)

    @property
    def ca_file(self) -> Path:
        """The authority's certificate."""
        if self.authority is None:
            raise RuntimeError("the simulator has not been started")
        return self.authority.ca_file

    @property
    def authority_url(self) -> str:
        """Base URL of the token endpoint, without the tenant."""
        return f"https://{self._name()}:{self.entra_port}"

    @property
    def graph_url(self) -> str:
        """Root of Graph."""
        return f"https://{self._name()}:{self.graph_port}"

    @property
    def identity_url(self) -> str:
        """Base URL of the machine's endpoint for managed identities: plain HTTP, as in life."""
        return f"http://{self._ports.host}:{self.identity_port}"

    @property
    def control_url(self) -> str:
        """Base URL of the control port."""
        return f"http://{self._ports.host}:{self.control_port}"

    def ready(self) -> dict[str, Any]:
        """Give everything a program needs to use this simulator."""
        return {
            "event": "ready",
            "host": self._name(),
            "address": self._ports.host,
            "smtp": self.smtp_port,
            **{name: port for name, port in self.ports.items() if name in ("mx", "hve", "acs")},
            **({"clients": {name: str(file) for name, file in self._issued().items()}} if self._clients else {}),
            "entra": self.authority_url,
            "graph": self.graph_url,
            "identity": self.identity_url,
            "control": self.control_url,
            "ca": str(self.ca_file),
        }

    def report(self) -> bytes:
        """Give statistics and deliveries as one JSON document, as ``rehearse reconcile`` reads it."""
        return json.dumps(
            {**self.hub.stats(), "deliveries": list(self.hub.receipts.deliveries())}, default=msgspec.to_builtins
        ).encode()

    def _issued(self) -> dict[str, Path]:
        return dict(self.authority.clients) if self.authority is not None else {}

    def _name(self) -> str:
        return "localhost" if self._ports.host in ("127.0.0.1", "::1") else self._ports.host

    def _accept(self, wire: Wire, service: Service, context: ssl.SSLContext | None) -> None:
        task = asyncio.get_running_loop().create_task(Session(wire, self.hub, context, COMMANDS, service).run())
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)
