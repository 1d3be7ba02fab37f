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
from coordinator.peers.contract import Peers
from coordinator.runner import SessionRunner, boottime_ms
from coordinator.settings.cluster import Cluster, VirtualAddress
from coordinator.store.contract import Health, Item, Store, StoreError
from coordinator.wishes import Kind, Wish
from node.admin.cluster import (
    ClockView,
    ClusterUnreachableError,
    ClusterView,
    EtcdView,
    NodeView,
    WishKind,
    WishOrder,
    WishView,
)
from node.admin.control import Readiness
from node.admin.queries import BadRequestError
from node.cluster.clocks import Clocks, wall_ms
from node.cluster.health_records import shareable
from node.cluster.wishes import Wishes
from node.errors import PermanentError

ROUTE: Final = "glance"
GLANCE_S: Final = 1.0
HEALTH_S: Final = 1.0
PERMITS: Final = "/permits"


class RefusedWishError(PermanentError):
    """The wish cannot be made as asked; the text says why."""


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself to another."""

    margin_ms: int
    ready: bool
    reasons: tuple[str, ...]
    clock: str
    offset_ms: int
    configuration: str


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
            etcd=etcd,
        )

    async def wish(self, order: WishOrder, actor: str) -> WishView:
        """See ClusterControl."""
        self._check(order)
        try:
            wish = await self._of.wishes.make(
                Kind(order.kind.value),
                order.what,
                to=order.to,
                on=order.on,
                actor=actor,
                reason=order.reason,
                for_ms=order.for_s * 1000,
            )
        except StoreError as error:
            raise ClusterUnreachableError(f"the cluster's store: {error}") from None
        except (CoordinatorError, ValueError) as error:
            raise RefusedWishError(str(error)) from None
        return wish_view(wish)

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

    def _check(self, order: WishOrder) -> None:
        """Refuse what names nothing of this cluster."""
        of = self._of
        if order.kind is WishKind.MOVE and order.what not in of.addresses:
            raise BadRequestError(f"what: there is no virtual address {order.what!r}")
        if order.kind is WishKind.DRAIN and order.what not in of.nodes():
            raise BadRequestError(f"what: there is no node {order.what!r}")
        if order.kind is WishKind.MOVE and order.on:
            _check_move(of, order)
        if order.kind in (WishKind.PARK, WishKind.HOLD) and not (shareable(order.what) or order.what == "all"):
            raise BadRequestError(
                "what: no scope the cluster shares; a pair of account and From rests on one node only (--here)"
            )

    def _glance(self) -> Glance:
        of, ready = self._of, self._of.readiness()
        clock = of.clocks.verdict
        return Glance(
            margin_ms=of.session.session.left_ms(boottime_ms()),
            ready=ready.ready,
            reasons=ready.reasons,
            clock=clock.standing.value,
            offset_ms=clock.offset_ms,
            configuration=of.configuration(),
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
            except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError) as failure:
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
            **said,
        )

    async def _etcd(self) -> tuple[EtcdView, ...]:
        found: dict[str, Health] = {}
        with suppress(CoordinatorError):
            found = {each.endpoint: each for each in await self._of.store.health(timeout_s=HEALTH_S)}
        return tuple(_etcd_view(each.target, found.get(each.target)) for each in self._of.cluster.endpoints)


def wish_view(wish: Wish) -> WishView:
    """Show a wish."""
    return WishView(
        kind=wish.kind.value,
        what=wish.what,
        to=wish.to,
        on=wish.on,
        actor=wish.actor,
        reason=wish.reason,
        node=wish.node,
        made_ms=wish.made_ms,
        until_ms=wish.until_ms,
    )


def _check_move(of: Membership, order: WishOrder) -> None:
    address, node = of.addresses[order.what], of.cluster.nodes.get(order.to)
    if node is None:
        raise BadRequestError(f"to: there is no node {order.to!r}")
    if (address.nodes and order.to not in address.nodes) or address.site not in (None, node.site):
        raise BadRequestError(f"to: {order.to} may not hold {order.what}: another site, or not among its nodes")


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
