"""The cluster as the administration interface sees it: gathers what the parts know, asks the other nodes briefly.

Each node answers route ``glance`` of the peer channel with what only it knows of itself: its session's margin, whether
it is ready, its clock, its configuration.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from coordinator.budget.shares import POOL, SHARE
from coordinator.errors import CoordinatorError
from coordinator.feed import Feed
from coordinator.keys import Keys, Role, decode
from coordinator.members import MemberRecord
from coordinator.peers.contract import Handler, Peers
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.settings.cluster import Cluster, VirtualAddress
from coordinator.store.contract import Health, Item, Store
from coordinator.versions.finalise import Finaliser
from coordinator.versions.keeper import VersionKeeper
from node.admin.cluster import (
    ClockView,
    ClusterView,
    EtcdView,
    NodeView,
    WishKind,
    WishOrder,
    WishView,
)
from node.admin.control import CopiesView, Readiness
from node.admin.queries import BadRequestError
from node.app.around import Hooks
from node.app.cluster_level import ClusterLevel
from node.app.erasing import Erasures
from node.app.everywhere import Queues
from node.app.history import History
from node.app.lasting import Lasting
from node.app.ordering import check, made, wish_view
from node.app.owning import owner_in
from node.app.processes import processes
from node.app.protection import Protection
from node.cluster.clocks import Clocks, wall_ms
from node.cluster.wishes import Wishes
from node.spool.paired import PairedSpool

ROUTE: Final = "glance"
GLANCE_S: Final = 1.0
HEALTH_S: Final = 1.0
PERMITS: Final = "/permits"


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself to another."""

    margin_ms: int
    ready: bool
    reasons: tuple[str, ...]
    clock: str
    offset_ms: int
    configuration: str
    shadow: str = ""
    alone: str = ""
    unprotected: int = 0
    lasting: int = 0
    quarantined: str = ""


@dataclass(slots=True, kw_only=True)
class Membership:
    """The parts a node in a cluster has; the root hands them in."""

    node: str
    cluster: Cluster
    addresses: Mapping[str, VirtualAddress]
    store: Store
    keys: Keys
    session: SessionRunner
    feed: Feed
    versions: VersionKeeper
    peers: Peers
    wishes: Wishes
    clocks: Clocks
    readiness: Callable[[], Readiness]
    configuration: Callable[[], str]
    """Hash of the configuration in force here, as other nodes compare it."""
    nodes: Callable[[], Sequence[str]]
    """The list in force."""


class ClusterSide:
    """Implements ``node.admin.cluster.ClusterControl``; ``glance`` serves the route of that name."""

    def __init__(self, membership: Membership) -> None:
        """Keep the parts; asked only while they run."""
        self._of = membership
        self.kept: Callable[[], CopiesView | None] = lambda: None
        """What this node knows of second copies."""
        self.lasting = Lasting(self._unprotected)
        self.queues: Queues | None = None
        self.history: History | None = None
        of = membership
        finaliser = Finaliser(store=of.store, keys=of.keys, session=of.session, versions=of.versions, nodes=of.nodes)
        self.level = ClusterLevel(of.node, finaliser, of.peers)

    def keeps(self, spool: PairedSpool, protection: Protection, hooks: Hooks) -> None:
        """Take the parts that know of this node's mail."""
        of = self._of
        self.kept = protection.shown
        self.queues = Queues(
            of.node,
            spool,
            copies=protection.copies,
            owner_of=owner_in(protection.keeper),
            noted=protection.copying.noted,
            usable=lambda: not protection.obstacle,
            woken=hooks.arrived,
            peers=of.peers,
            others=self._others,
            hiding=hooks.hiding,
            trust=hooks.trust,
            tell=hooks.tell,
        )
        self.history = History(
            of.node,
            spool,
            copies=protection.copies,
            usable=lambda: not protection.obstacle,
            peers=of.peers,
            others=self._others,
            hiding=hooks.hiding,
        )

    def erases(self, erasures: Erasures) -> None:
        """Let addresses be erased on the other nodes too."""
        erasures.among(self._of.peers, self._others)

    def _others(self) -> list[str]:
        return [node for node in self._of.nodes() if node != self._of.node]

    def _unprotected(self) -> int:
        kept = self.kept()
        return kept.unprotected if kept else 0

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        queues = self.queues.routes() if self.queues is not None else {}
        history = self.history.routes() if self.history is not None else {}
        return {ROUTE: self.glance, **self.level.routes(), **queues, **history}

    async def glance(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - a ``Handler``; the question is empty
        """Answer another node."""
        return msgspec.json.encode(self._glance())

    async def view(self) -> ClusterView:
        """See ClusterControl."""
        of, now_ms = self._of, boottime_ms()
        session, blocker = of.session.session, of.session.blocked_by
        etcd, nodes = await asyncio.gather(self._etcd(), self._nodes())
        clock = of.clocks.verdict
        wishes = of.wishes.book
        leader = of.feed.items.get(of.keys.leader)
        return ClusterView(
            name=of.cluster.name,
            node=of.node,
            phase=session.phase.value,
            margin_ms=session.left_ms(now_ms),
            ttl_ms=session.timing.ttl_ms,
            silent=session.silent(now_ms),
            refused=of.session.refused,
            blocked_by=_blocker(blocker) if blocker is not None else "",
            leader=_text(leader),
            holders={name: _text(of.feed.items.get(of.keys.address(name))) for name in of.addresses},
            clock=ClockView(
                standing=clock.standing.value,
                offset_ms=clock.offset_ms,
                heard={each.source: each.offset_ms for each in of.clocks.readings},
            ),
            wishes=tuple(wish_view(wish) for wish in wishes.in_force(wall_ms())),
            ignored=dict(wishes.faults),
            nodes=nodes,
            members=processes(of.feed, of.keys),
            etcd=etcd,
        )

    async def wish(self, order: WishOrder, actor: str) -> WishView:
        """See ClusterControl."""
        check(order, self._of)
        if order.kind is WishKind.DEAD and order.on:
            await self._check_dead(order.what)
        return await made(self._of.wishes, order, actor)

    async def _check_dead(self, node: str) -> None:
        """Refuse to call a node dead that answers: its mail may be taken from it only when it is not there."""
        if (await self._node(node)).answered:
            raise BadRequestError(f"what: {node} answers, so it is not dead: drain it, or stop it first")

    def shares(self) -> dict[str, dict[str, int]]:
        """See ClusterControl."""
        of = self._of
        prefix = of.keys.budget("", "").rstrip("/") + "/"
        found: dict[str, dict[str, int]] = {}
        for item in of.feed.under(prefix):
            record = decode(item.value, dict[str, int]) if item.key.endswith(PERMITS) else None
            if record is not None:
                scope = item.key.removeprefix(prefix).removesuffix(PERMITS)
                parts = {name.removeprefix(SHARE): count for name, count in record.items() if name.startswith(SHARE)}
                found[scope] = {**parts, POOL: record.get(POOL, 0)}
        return found

    def _glance(self) -> Glance:
        of, ready, kept = self._of, self._of.readiness(), self.kept()
        clock = of.clocks.verdict
        return Glance(
            margin_ms=of.session.session.left_ms(boottime_ms()),
            ready=ready.ready,
            reasons=ready.reasons,
            clock=clock.standing.value,
            offset_ms=clock.offset_ms,
            configuration=of.configuration(),
            shadow=kept.shadow if kept else "",
            alone=kept.why if kept else "",
            unprotected=self._unprotected(),
            lasting=self.lasting.least,
            quarantined=kept.quarantined if kept else "",
        )

    async def _nodes(self) -> tuple[NodeView, ...]:
        return tuple(await asyncio.gather(*(self._node(node) for node in self._of.nodes())))

    async def _node(self, node: str) -> NodeView:
        of, error = self._of, ""
        glance: Glance | None = None
        if node == of.node:
            glance = self._glance()
        else:
            try:
                answer = await of.peers.ask(node, ROUTE, b"", timeout_s=GLANCE_S)
                glance = msgspec.json.decode(answer, type=Glance)
            except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
                error = str(failure)[:200]
        item = of.feed.items.get(of.keys.member(Role.NODE, node))
        record = decode(item.value, MemberRecord) if item is not None else None
        about = of.cluster.nodes.get(node)
        site = about.site if about is not None else (record.site if record is not None else "")
        said = {} if glance is None else msgspec.structs.asdict(glance)
        return NodeView(
            node=node,
            site=site,
            member=item is not None,
            answered=glance is not None,
            error=error,
            drift=glance is not None and glance.configuration != of.configuration(),
            version=record.version if record is not None else "",
            levels=record.levels if record is not None else (0, 0),
            **said,
        )

    async def _etcd(self) -> tuple[EtcdView, ...]:
        found: dict[str, Health] = {}
        with suppress(CoordinatorError):
            found = {each.endpoint: each for each in await self._of.store.health(timeout_s=HEALTH_S)}
        return tuple(_etcd_view(each.target, found.get(each.target)) for each in self._of.cluster.endpoints)


def _etcd_view(endpoint: str, answer: Health | None) -> EtcdView:
    if answer is None:
        return EtcdView(endpoint=endpoint, healthy=False)
    return EtcdView(
        endpoint=endpoint,
        healthy=True,
        leads=answer.leader_id == answer.member_id,
        version=answer.version,
        revision=answer.revision,
        db_bytes=answer.db_bytes,
        alarms=answer.alarms,
    )


def _text(item: Item | None) -> str:
    return "" if item is None else decode(item.value, str) or "?"


def _blocker(item: Item) -> str:
    record = decode(item.value, MemberRecord)
    return f"{record.node} (boot {record.boot_id}, process {record.process_id})" if record else f"{item.key} (unread)"
