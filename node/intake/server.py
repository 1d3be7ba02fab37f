"""The intake server of one process: listeners, sessions, deadlines, reload and drain.

Built on a door, so it runs the same in the core's process and in a worker. Decides nothing about mail.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from node.errors import ConfigurationError
from node.intake.connection import Connection
from node.intake.door import Door
from node.intake.farewell import SETTLE_S, Farewell
from node.intake.house import DATA_SHARE_BYTES, Gate, House
from node.intake.leaving import Grace, grace, short_grace
from node.intake.sockets import bind_listener
from node.policy.rulebook import IntakeRules
from node.settings.model import Settings
from node.telemetry.contract import Telemetry
from node.tls.server import ServerTls

if TYPE_CHECKING:
    from node.intake.protocol import Link

log = logging.getLogger(__name__)
TICK_S: Final = 0.25
"""Precision of every time limit of a session."""
CERTIFICATES_EVERY_TICKS: Final = 120
"""Certificate files are looked at every 30 s."""
BODY_THREADS: Final = 4
"""Writers of large bodies; more wait in line."""


class IntakeServer:
    """Takes mail in on every listener of the settings."""

    def __init__(
        self,
        settings: Settings,
        rules: IntakeRules,
        door: Door,
        telemetry: Telemetry,
        *,
        sockets: Mapping[str, socket.socket] | None = None,
        processes: int = 1,
    ) -> None:
        """``sockets``: listening ones by listener, handed down to a worker; ``processes`` share the bounds."""
        self._settings = settings
        self._processes = processes
        self._given = dict(sockets or {})
        self._pool = ThreadPoolExecutor(BODY_THREADS, thread_name_prefix="body")
        share = settings.limits
        self.house = House(
            rules=rules,
            limits=share,
            door=door,
            telemetry=telemetry,
            pool=self._pool,
            transfers_max=max(share.memory // processes // DATA_SHARE_BYTES, 1),
            sessions_max=_share(share.sessions, processes),
            sessions_per_address_max=_share(share.sessions_per_address, processes),
        )
        self._gates: dict[str, Gate] = {}
        self._tls: dict[str, ServerTls] = {}
        self._servers: list[asyncio.Server] = []
        self._links: set[Link] = set()
        self._farewell = Farewell(self.house, self._links)
        self._sweeper: asyncio.Task[None] | None = None
        self.ports: dict[str, int] = {}
        """Where each listener listens, known once started."""

    @property
    def sessions(self) -> int:
        """Open sessions now."""
        return len(self._links)

    async def start(self) -> None:
        """Bind and accept. Raises ConfigurationError (certificates) and ListenError, then nothing listens."""
        loop = asyncio.get_running_loop()
        self.house.clock_s = loop.time()
        self._open_gates(self._settings)
        try:
            for name, listener in self._settings.listeners.items():
                taken = self._given.get(name) or bind_listener(name, listener, 1)[0]
                self.ports[name] = taken.getsockname()[1]
                self._farewell.listens(taken)
                self._servers.append(await loop.create_server(self._factory(name, loop), sock=taken, backlog=1024))
        except BaseException:
            await self.close()
            raise
        self._sweeper = loop.create_task(self._sweep(loop))

    def _open_gates(self, settings: Settings) -> None:
        """Work out every listener anew; all faults of certificates at once."""
        faults: list[str] = []
        tls: dict[str, ServerTls] = {}
        for name, listener in settings.listeners.items():
            if listener.tls == "none":
                continue
            try:
                tls[name] = ServerTls(
                    name,
                    listener.certificate or settings.tls,
                    sni=listener.sni,
                    client_ca=listener.client_ca,
                    old_versions=listener.profile == "legacy",
                    hostname=self.house.rules.hostname,
                )
            except ConfigurationError as error:
                faults += error.faults
        if faults:
            raise ConfigurationError(faults)
        self._tls = tls
        self._gates = {name: Gate(name, own, self.house, tls.get(name)) for name, own in settings.listeners.items()}

    def _factory(self, name: str, loop: asyncio.AbstractEventLoop) -> "_Factory":
        return _Factory(self, name, loop)

    def connection(self, name: str, loop: asyncio.AbstractEventLoop) -> Connection:
        """Make the protocol of a new connection, under the rules in force now."""
        return Connection(self._gates[name], loop, self._links)

    async def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the coarse clock and end what is overdue."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            now_s = self.house.clock_s = loop.time()
            for link in tuple(self._links):
                link.tick(now_s)
            ticks += 1
            if ticks % CERTIFICATES_EVERY_TICKS == 0:
                self.refresh_certificates()

    def refresh_certificates(self) -> None:
        """Take over certificate files that changed."""
        for name, tls in self._tls.items():
            if tls.refresh():
                log.info("listener %s uses its new certificate", name)

    def reload(self, settings: Settings, rules: IntakeRules) -> list[str]:
        """Put new rules, limits and listener options in force for new sessions; what needs a restart is returned.

        Raises ConfigurationError when a certificate cannot be used; then everything stays as it was.
        """
        before = self._settings
        kept = {name: own for name, own in settings.listeners.items() if name in before.listeners}
        stuck = [f"listeners.{name}: added or removed" for name in settings.listeners.keys() ^ before.listeners.keys()]
        for name, own in kept.items():
            old = before.listeners[name]
            if (own.port, own.address) != (old.port, old.address):
                stuck.append(f"listeners.{name}: port or address changed")
        merged = settings.model_copy(update={"listeners": {**before.listeners, **kept}})
        house, limits = self.house, merged.limits
        old_rules, house.rules = house.rules, rules
        try:
            self._open_gates(merged)
        except ConfigurationError:
            house.rules = old_rules
            raise
        house.limits = limits
        house.transfers_max = max(limits.memory // self._processes // DATA_SHARE_BYTES, 1)
        house.sessions_max = _share(limits.sessions, self._processes)
        house.sessions_per_address_max = _share(limits.sessions_per_address, self._processes)
        self._settings = merged
        return sorted(stuck)

    async def hold(self, addresses: frozenset[str], bound_s: float, settle_s: float = SETTLE_S) -> None:
        """Keep newcomers waiting and see sessions out that came by these addresses: what they hold would be cut.

        A session that is left when the time is up is ended with 421. ``welcome`` ends it, or ``drain``. A handshake
        under way may take ``settle_s``.
        """
        self._farewell.hold_back()
        await self._farewell.emptied(settle_s)
        await self._farewell.see_out(short_grace(bound_s), lambda link: link.is_at(addresses))

    async def see_out(self, addresses: frozenset[str], bound_s: float) -> None:
        """See sessions out that are here by these addresses now, as ``hold`` does; newcomers are let in."""
        here = frozenset(link for link in self._links if link.is_at(addresses))
        await self._farewell.see_out(short_grace(bound_s), here.__contains__)

    def welcome(self) -> None:
        """Let newcomers in again."""
        self._farewell.let_come()
        self._farewell.stay()

    async def drain(self, bound_s: float, stages: Callable[[float], Grace] = grace) -> int:
        """Take everybody in whom the kernel has queued, stop listening, see all sessions out; sessions cut off."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + bound_s
        self._farewell.hold_back()
        await self._farewell.emptied()
        self._stop_listening()
        return await self._farewell.see_out(stages(max(0.0, until_s - loop.time())))

    def hurry(self) -> None:
        """Wait for nobody any more who may be told to come back."""
        self._farewell.hurry()

    def _stop_listening(self) -> None:
        self._farewell.close()
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Stop at once; nothing answered is lost, everything else is the client's to repeat."""
        self._stop_listening()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        for link in tuple(self._links):
            link.stop()
        while self._links:  # noqa: ASYNC110
            await asyncio.sleep(0)  # - the loop's next turn delivers connection_lost
        self._pool.shutdown(wait=True)


class _Factory:
    """Makes a protocol per connection (a named class, so that profiles show it)."""

    __slots__ = ("_loop", "_name", "_server")

    def __init__(self, server: IntakeServer, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._name, self._loop = server, name, loop

    def __call__(self) -> Connection:
        return self._server.connection(self._name, self._loop)


def _share(limit: int, processes: int) -> int:
    """A process's part of a bound on sessions. The kernel spreads connections by chance, hence a quarter more."""
    return limit if processes == 1 else min(limit, -(-limit * 5 // (4 * processes)))
