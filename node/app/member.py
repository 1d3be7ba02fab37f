"""A node's place in its cluster: makes the parts it shares with others, runs them, fences delivery. Decides nothing.

Order matters: peers are answered and the session begins before anything may be sent; at the end delivery has stopped
before shares and slots are given back and the session ends (coordination-review §1, §5, §7).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from coordinator.clocks import Standing
from coordinator.daemon.wishing import CurrentVerifier
from coordinator.errors import CoordinatorError
from coordinator.joining import join
from coordinator.keys import Role, decode
from coordinator.peers.channel import PeerClient, PeerServer, Target
from coordinator.pki import Pki
from coordinator.runner import boottime_ms
from coordinator.signing import Signer
from node.app.answers import ANSWER_MAX
from node.app.around import Around, Hooks
from node.app.clustered import ClusterSide, Membership
from node.app.product import Product
from node.app.protection import BODY_MAX, Protection
from node.cluster import clocks
from node.cluster.clocks import ClockHooks, Clocks
from node.cluster.limits import BudgetLimits
from node.cluster.place import Place
from node.cluster.probe_rights import Surroundings
from node.cluster.revived import Revived
from node.cluster.shared_health import SharedHealth
from node.cluster.together import ClusterBudgets
from node.cluster.wished_parks import ParkHooks, WishedParks
from node.cluster.wishes import Wishes
from node.delivery.clock import steady_ms, wall_ms
from node.policy.health import HealthBook
from node.settings.reader import Loaded
from node.spool.sqlite import SqliteSpool

DRAIN_LOOK_S: Final = 0.2
CLOSE_S: Final = 2.0
RELEASE_S: Final = 2.0
RELEASE_LOOK_S: Final = 0.02
_log = logging.getLogger(__name__)


class Member:
    """The parts of a node that others share; ``start`` and ``close`` frame what it sends."""

    def __init__(self, loaded: Loaded, limits: BudgetLimits, hooks: Hooks, product: Product) -> None:
        """Make the parts; nothing is asked of anybody yet. Raises what ``join`` raises, all CoordinatorErrors."""
        settings, cluster = loaded.settings, loaded.settings.cluster
        assert cluster is not None  # noqa: S101 - only made for a node that has one
        self.node, self._cluster, self._hooks, self._product = loaded.node, cluster, hooks, product
        kept = settings.spool / "kept"
        self.joined = joined = join(
            cluster,
            node=loaded.node,
            role=Role.NODE,
            runtime=settings.runtime,
            state=kept,
            config_hash=loaded.cluster_hash,
            release=product.release,
            schemas=product.schemas,
            alarm=self._alarm,
        )
        place = Place(
            node=loaded.node,
            nodes=tuple(cluster.nodes),
            session=joined.session,
            keys=joined.keys,
            feed=joined.feed,
            boot=joined.record.boot_id,
            config_hash=loaded.cluster_hash,
            clock=steady_ms,
            clock_fits=lambda: self.clocks.verdict.standing is not Standing.OUTLIER,
            on_free=hooks.on_free,
            on_slot_wanted=hooks.on_slot_wanted,
        )
        self.together = ClusterBudgets(
            limits, place, kept / "cluster", started_ms=steady_ms(), fallback=cluster.fallback
        )
        self.budgets = self.together.budgets
        pki = Pki(cluster.pki)
        ask_in = joined.versions.protocol
        self.peers = PeerClient(
            pki, cluster.name, self.targets, answer_max=ANSWER_MAX, protocol=ask_in, alarm=self._alarm
        )
        self.clocks = Clocks(self.peers, ClockHooks(others=self.others, date=hooks.date))
        verifier = CurrentVerifier(cluster.name, pki, self.nodes)
        self.wishes = Wishes(
            joined.store,
            joined.keys,
            lambda: _signer(cluster.name, pki),
            verifier.verify,
            node=loaded.node,
            floors=kept / "wishes.json",
            wall_ms=wall_ms,
        )
        self.side = ClusterSide(self._membership())
        self._pki = pki
        self._server: PeerServer | None = None
        self._protection: Protection | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # What the parts ask -----------------------------------------------------------------------------------------------

    def nodes(self) -> Collection[str]:
        """Give everybody of the cluster: the longer list while files differ (operations M17)."""
        return self.budgets.scopes.nodes()

    def others(self) -> tuple[str, ...]:
        """Give the other nodes."""
        return tuple(name for name in self.nodes() if name != self.node)

    def targets(self) -> Mapping[str, Target]:
        """Say where the other nodes listen, by the configuration."""
        port, nodes = self._cluster.ports.node, self._cluster.nodes
        return {name: Target(str(about.address), port) for name, about in nodes.items()}

    def _membership(self) -> Membership:
        joined, hooks = self.joined, self._hooks
        return Membership(
            node=self.node,
            cluster=self._cluster,
            addresses=hooks.loaded().settings.virtual_addresses,
            store=joined.store,
            keys=joined.keys,
            session=joined.session,
            feed=joined.feed,
            versions=joined.versions,
            peers=self.peers,
            wishes=self.wishes,
            clocks=self.clocks,
            readiness=hooks.readiness,
            configuration=lambda: hooks.loaded().cluster_hash,
            nodes=lambda: tuple(sorted(self.nodes())),
        )

    # Life -------------------------------------------------------------------------------------------------------------

    def protect(self, spool: SqliteSpool) -> Protection:
        """Build what keeps second copies, on an open spool; before ``start``."""
        around = Around(
            node=self.node,
            cluster=self._cluster,
            joined=self.joined,
            peers=self.peers,
            wishes=self.wishes,
            nodes=self.nodes,
            freely=self.together.silence.active,
            hooks=self._hooks,
            copies=self._product.copies_at(self.joined.versions.level),
        )
        self._protection = Protection(around, spool)
        keeper = self._protection.keeper
        # An older copy of the spool knows too little of what was sent: nothing is given away on its word.
        self.budgets.mover.may_begin = lambda: keeper.judged
        self.side.keeps(spool, self._protection, self._hooks)
        return self._protection

    async def start(self, book: HealthBook, tenants: Callable[[], Collection[str]]) -> None:
        """Answer peers, begin the session, share the health book. Delivery stays fenced until its mail is its own."""
        hooks, joined, protection = self._hooks, self.joined, self._protection
        assert protection is not None  # noqa: S101 - the order of calls
        await protection.open()
        self.together.holds.load()
        fence = self.together.fence
        fence.on_lost, fence.on_part, fence.on_live = self._lost, hooks.part, self._live
        around = Surroundings(
            node=self.node,
            wall_ms=wall_ms,
            report=hooks.report,
            wake=hooks.wake,
            freely=self.together.silence.active,
        )
        health = SharedHealth(book, joined.session, joined.keys, around)
        self.health = health
        parks = ParkHooks(
            wall_ms=wall_ms, tenants=tenants, report=hooks.report, settle=health.settle, resumed=hooks.resumed
        )
        parked = WishedParks(book, self.wishes, parks)
        self.wishes.follow(joined.feed)
        health.follow(joined.feed)
        await self._listen(protection)
        runs = [joined.run, self._budgets, health.run, parked.run, self.clocks.run, protection.run, self._drains]
        settled = protection.keeper.settled
        revived = Revived(self.wishes, self.node, lambda: sorted(self.nodes()), wall_ms, settled)
        runs += [self.side.lasting.run, revived.run]
        self._tasks = [asyncio.create_task(run(), name=f"cluster {run.__qualname__}") for run in runs]

    async def _listen(self, protection: Protection) -> None:
        address, port = self._cluster.bound(self.node), self._cluster.ports.node
        own = {clocks.ROUTE: self.clocks.answer, **self.side.routes(), **self._hooks.routes()}
        routes = own | self.together.routes() | protection.routes()
        speaks = self._product.release.speaks
        self._server = PeerServer(
            self._pki, self._cluster.name, self.nodes, routes, body_max=BODY_MAX, speaks=speaks, alarm=self._alarm
        )
        try:
            await self._server.start(address, port)
        except OSError as error:
            text = f"cluster.nodes.{self.node}: cannot listen for peers on {address} port {port}: {error.strerror}"
            raise CoordinatorError(text) from None

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The standing work; if one ends, the node must stop."""
        return tuple(self._tasks)

    async def released(self) -> None:
        """Not ready any more: wait until this host's coordinator has given its addresses up, so nobody is refused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                while self.joined.session.session.live(boottime_ms()) and self.addresses():  # noqa: ASYNC110 - the watch
                    await asyncio.sleep(RELEASE_LOOK_S)

    def addresses(self, *drivers: str) -> frozenset[str]:
        """Give the virtual addresses this host holds by the store's last word; only those of ``drivers``, if any."""
        found = set()
        for name, about in self._hooks.loaded().settings.virtual_addresses.items():
            item = self.joined.feed.items.get(self.joined.keys.address(name))
            held = item is not None and decode(item.value, str) == self.node
            if held and (not drivers or about.driver in drivers):
                found.add(str(about.address))
        return frozenset(found)

    async def close(self) -> None:
        """Leave: delivery has stopped before. Shares go back through their holders' rules, then the session ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._protection is not None:
            await self._protection.close()
        if self._server is not None:
            await self._server.close()
        await self.peers.close()
        await self.joined.close(timeout_s=CLOSE_S)

    def reload(self, loaded: Loaded, limits: BudgetLimits) -> None:
        """Want what a new configuration says; what the others want too comes in force."""
        self.joined.session.publish(config_hash=loaded.cluster_hash)
        cluster = loaded.settings.cluster
        nodes = tuple(cluster.nodes) if cluster is not None else ()
        self.budgets.reload(limits, steady_ms(), config_hash=loaded.cluster_hash, nodes=nodes)

    # Standing work ----------------------------------------------------------------------------------------------------

    async def _budgets(self) -> None:
        await self.together.run(self.peers)

    async def _drains(self) -> None:
        """Tell the door when an operator wishes this node drained; a wish may also end by its time alone."""
        while True:
            self._hooks.drained(self.wishes.book.drain(self.node, wall_ms()) is not None)
            await asyncio.sleep(DRAIN_LOOK_S)

    def _live(self) -> None:
        _log.info("may send: a session, or everybody's word that the store is silent")
        self._session_lives(True)

    def _lost(self) -> None:
        _log.warning("may not send: no session, and not everybody's word that the store is silent")
        self._session_lives(False)

    def _session_lives(self, lives: bool) -> None:
        if self._protection is not None:
            self._protection.gate.session(lives)

    def _alarm(self, text: str) -> None:
        _log.error("%s", text, extra={"alarm": True})


def _signer(cluster: str, pki: Pki) -> Signer:
    pem = pki.read()
    return Signer(cluster, pem.certificate, pem.key)
