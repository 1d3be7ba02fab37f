"""The process: makes every part, starts them in order, stops them in order. Decides nothing.

Order matters twice. At the start: the lock on the lease's file (nobody else lives on this host), then addresses left
by a predecessor are removed, then their keys go, then the session begins and with it the predecessor's lease ends. At
the end: addresses are removed and read back as gone, their keys deleted, and only then is the lease given back.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from coordinator.daemon import page
from coordinator.daemon.alarms import Alarms
from coordinator.daemon.answering import Answering
from coordinator.daemon.chores import ConfigChore
from coordinator.daemon.everybody import Everybody
from coordinator.daemon.farewell import leave_s
from coordinator.daemon.former import release_former
from coordinator.daemon.health import StoreHealth
from coordinator.daemon.holdings import Holding, Surroundings, clean, durations, holding, serve_probes
from coordinator.daemon.lateness import Lateness
from coordinator.daemon.leading import Election
from coordinator.daemon.local import LocalServer
from coordinator.daemon.metrics import exposition
from coordinator.daemon.peering import Peering, routes
from coordinator.daemon.publishing import ReadyPublisher
from coordinator.daemon.readiness import NodeWatch
from coordinator.daemon.shape import Shape, nodes_now, reloaded
from coordinator.daemon.view import ReadyView, Status
from coordinator.daemon.wishing import CurrentVerifier
from coordinator.joining import join
from coordinator.keys import Role
from coordinator.members import Readiness
from coordinator.notify import Notifier
from coordinator.peers.channel import PeerClient, PeerServer, Target
from coordinator.pki import Pki
from coordinator.promise_memory import PromiseMemory
from coordinator.runner import boottime_ms
from coordinator.settings.cluster import timing_of
from coordinator.versions.release import RELEASE, Release

SOCKET: Final = "coordinator.sock"
MEMORY: Final = "coordinator.promises"
NODE_SOCKET: Final = "admin.sock"
CLEAN_AGAIN_S: Final = 1.0
RELEASE_S: Final = 1.0
CLOSE_S: Final = 2.0

_log = logging.getLogger("coordinator")


class Daemon:
    """One coordinator."""

    def __init__(
        self, shape: Shape, reread: Callable[[], Shape], notifier: Notifier, release: Release = RELEASE
    ) -> None:
        """Make the parts; nothing is asked of the store yet, but the lock on this host is taken.

        Raises what ``join`` raises: AlreadyRunning beside a living coordinator, among others.
        """
        self.shape, self._reread, self._notifier = shape, reread, notifier
        self.started_ms, self.alarms = boottime_ms(), Alarms()
        self.holdings: list[Holding] = []
        cluster, runtime = shape.cluster, shape.runtime
        self.joined = join(
            cluster,
            node=shape.node,
            role=Role.COORDINATOR,
            runtime=runtime,
            state=shape.own.state,
            config_hash=shape.hash,
            release=release,
            progress_ms=self.progress_ms,
            alarm=self.alarms.raise_,
        )
        self.memory = PromiseMemory(runtime / MEMORY, self.joined.record.boot_id)
        joined, pki = self.joined, Pki(cluster.pki)
        verifier = CurrentVerifier(cluster.name, pki, self.nodes)
        self.everybody = Everybody(joined.feed, joined.keys, verifier.verify, shape.own.state / "wishes.json")
        self.watch = NodeWatch(runtime / NODE_SOCKET, self._readiness_changed)
        ask_in, alarm = joined.versions.protocol, self.alarms.raise_
        client = PeerClient(pki, cluster.name, self.targets, protocol=ask_in, alarm=alarm)
        self.peering = Peering(shape.node, client, self.nodes)
        self._client = client
        answers = routes(Answering(self.holdings, self.fresh_status))
        self._server = PeerServer(pki, cluster.name, self.nodes, answers, speaks=release.speaks, alarm=alarm)
        self.around = Surroundings(
            shape=lambda: self.shape,
            joined=joined,
            everybody=self.everybody,
            watch=self.watch,
            alarms=self.alarms,
            ask=self.peering.ask_promise if cluster.fallback else None,
            talk=self.peering.talk,
            memory=self.memory,
        )
        self.publisher = ReadyPublisher(shape.node, self._readiness, joined.session, joined.keys)
        chores = [ConfigChore(self.everybody, joined.session, joined.keys).run]
        started_ms = 0 if self.memory.whole else None
        parts = (shape.node, joined.store, joined.session, joined.feed, joined.keys, chores)
        self.election = Election(*parts, started_ms=started_ms)
        self.health, self.lateness = StoreHealth(joined.store, self.alarms), Lateness(self.alarms.raise_)
        self._local = LocalServer(self.fresh_status, lambda: exposition(self.status(), alarms=self.alarms.total))

    # What the parts ask -----------------------------------------------------------------------------------------------

    def nodes(self) -> tuple[str, ...]:
        """Give everybody of the cluster: the longer list while files differ."""
        return nodes_now(self.shape, self.everybody.in_force())

    def targets(self) -> dict[str, Target]:
        """Say where the other coordinators listen: by the configuration, else by what they published."""
        port = self.shape.cluster.ports.coordinator
        targets = {node: Target(str(about.address), port) for node, about in self.shape.cluster.nodes.items()}
        for node in self.nodes():
            member = self.everybody.coordinators.get(node)
            if node not in targets and member is not None and member.record is not None and member.record.address:
                targets[node] = Target(member.record.address, port)
        return targets

    def progress_ms(self) -> int:
        """Say when the work last moved: the slowest keeper's; without addresses, now, since the loop is asked."""
        return min((each.keeper.progress_ms for each in self.holdings if each.running), default=boottime_ms())

    def _readiness(self) -> Readiness:
        answer = self.watch.answer
        return Readiness(ready=answer.ready, reasons=answer.reasons, ended=self.watch.ended)

    def _readiness_changed(self) -> None:
        for each in self.holdings:
            each.keeper.wake()
        self.publisher.wake()
        answer = self.watch.answer
        _log.info("readiness", extra={"ready": answer.ready, "reasons": "; ".join(answer.reasons)})

    def status(self) -> Status:
        """Give the status page."""
        shape, answer, wished = self.shape, self.watch.answer, self.everybody.draining(self.nodes())
        return Status(
            node=shape.node,
            site=shape.site,
            cluster=shape.cluster.name,
            version=self.joined.record.version,
            level=self.joined.versions.level,
            levels=self.joined.record.levels,
            uptime_ms=boottime_ms() - self.started_ms,
            leader=self.everybody.leader(),
            leading=self.election.leading,
            session=page.session_view(self.joined.session),
            node_ready=ReadyView(ready=answer.ready, reasons=answer.reasons, age_ms=self.watch.age_ms),
            pause=page.pause_view(self.everybody),
            draining=tuple(sorted(wished)),
            addresses=tuple(page.address_view(each, self.around) for each in self.holdings),
            members=page.member_views(self.everybody),
            peers=page.peer_views(self.peering, self.everybody),
            etcd=page.etcd_views(tuple(each.target for each in shape.cluster.endpoints), self.health.answers),
            config=page.config_view(shape, self.everybody),
            early=page.early_view(shape, self.holdings),
            held_up=page.held_up_view(self.lateness),
            revision=self.joined.feed.revision,
            alarms=self.alarms.newest,
        )

    async def fresh_status(self) -> Status:
        """Give the status page after a look at the store's endpoints."""
        await self.health.look()
        return self.status()

    # Life -------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until told to stop (SIGTERM, SIGINT); raises what ended a part that should not have ended."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        try:
            await self._start(stop)
            if not stop.is_set():
                await self._live(stop)
        finally:
            await self._end()

    async def _start(self, stop: asyncio.Event) -> None:
        self.shape.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.holdings.extend(holding(name, self.around) for name in self.shape.addresses)
        await self._local.start(self.shape.runtime / SOCKET)
        if self.shape.own.prometheus is not None:
            await self._local.start_port(str(self.shape.own.prometheus_address), self.shape.own.prometheus)
        while not await clean(self.holdings, self.around) and not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEAN_AGAIN_S):
                    await stop.wait()
        released = await release_former(self.joined, self.shape.addresses, timeout_s=RELEASE_S)
        if released:
            _log.info("released what the process before held", extra={"addresses": ", ".join(released)})
        await self.joined.versions.learn()
        self._probes = await serve_probes(self.around)
        cluster = self.shape.cluster
        await self._server.start(cluster.bound(self.shape.node), cluster.ports.coordinator)
        self._notifier.tell("READY=1")
        _log.info("started", extra={"node": self.shape.node, "addresses": ", ".join(self.shape.addresses)})

    async def _live(self, stop: asyncio.Event) -> None:
        parts: list[Callable[[], Awaitable[None]]] = [
            self.joined.run,
            self.watch.run,
            self.peering.run,
            self.election.run,
            self.publisher.run,
            self.health.run,
            self.lateness.run,
            self._grow_up,
            lambda: self._notifier.watch(lambda: boottime_ms() - self.progress_ms()),
        ]
        unsubscribe = self.everybody.subscribe()
        stopping = asyncio.ensure_future(stop.wait())
        tasks = [asyncio.ensure_future(part()) for part in parts]
        kept = [asyncio.ensure_future(each.run()) for each in self.holdings]
        try:
            await asyncio.wait([stopping, *tasks, *kept], return_when=asyncio.FIRST_COMPLETED)
            self._notifier.tell("STOPPING=1")
            await self._leave()
        finally:
            await _cancel(kept)
            await _cancel([stopping, *tasks])
            unsubscribe()
        for task in (*kept, *tasks):
            if not task.cancelled():
                task.result()

    async def _leave(self) -> None:
        """Give every address up cleanly; whatever does not go in time is removed without its key."""
        wait_s = leave_s(timing_of(self.shape.cluster))
        await asyncio.gather(*(each.keeper.leave(wait_s) for each in self.holdings if each.running))

    async def _end(self) -> None:
        _log.info("stopping")
        for probe in getattr(self, "_probes", []):
            await probe.close()
        for each in self.holdings:
            await each.driver.close()
        await self._server.close()
        await self._client.close()
        await self.joined.close(timeout_s=CLOSE_S)
        await self._local.close()

    async def _grow_up(self) -> None:
        """After a lease's time nothing promised by an earlier life still runs: from then on memory is whole."""
        await asyncio.sleep(timing_of(self.shape.cluster).ttl_ms / 1_000)
        if not self.memory.whole:
            try:
                self.memory.begin()
            except OSError as error:
                self.alarms.raise_(f"promises cannot be written down: {error.strerror}")
        await asyncio.Event().wait()

    def reload(self) -> None:
        """Read the configuration again and take over what may change while running; a bad one changes nothing."""
        try:
            fresh = self._reread()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file must not end the process
            self.alarms.raise_(f"reload: {error}")
            return
        self.shape, later = reloaded(self.shape, fresh)
        for each in self.holdings:
            each.keeper.place.timing = durations(self.shape, each.name)
            each.keeper.wake()
        self.joined.session.publish(config_hash=self.shape.hash)
        _log.info("reloaded", extra={"after_restart": ", ".join(later)})


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
