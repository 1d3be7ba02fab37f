"""Operators' orders of wishes: refused when they name nothing of this cluster, else made and shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from coordinator.errors import CoordinatorError
from coordinator.settings.cluster import Cluster, VirtualAddress
from coordinator.store.contract import StoreError
from coordinator.wishes import Kind, Wish
from node.admin.cluster import ClusterUnreachableError, WishKind, WishOrder, WishView
from node.admin.queries import BadRequestError
from node.cluster.health_records import shareable
from node.cluster.wishes import Wishes
from node.errors import PermanentError

OF_NODES = frozenset({WishKind.DRAIN, WishKind.DEAD})


class RefusedWishError(PermanentError):
    """The wish cannot be made as asked; the text says why."""


class Named(Protocol):
    """What there is in the cluster to be named."""

    @property
    def cluster(self) -> Cluster:
        """The configuration's."""
        ...

    @property
    def addresses(self) -> Mapping[str, VirtualAddress]:
        """Virtual addresses by name."""
        ...

    @property
    def nodes(self) -> Callable[[], Sequence[str]]:
        """The list in force."""
        ...


def check(order: WishOrder, of: Named) -> None:
    """Refuse what names nothing of this cluster; raises BadRequestError."""
    if order.kind is WishKind.MOVE and order.what not in of.addresses:
        raise BadRequestError(f"what: there is no virtual address {order.what!r}")
    if order.kind in OF_NODES and order.what not in of.nodes():
        raise BadRequestError(f"what: there is no node {order.what!r}")
    if order.kind is WishKind.MOVE and order.on:
        _check_move(of, order)
    if order.kind in (WishKind.PARK, WishKind.HOLD) and not (shareable(order.what) or order.what == "all"):
        raise BadRequestError(
            "what: no scope the cluster shares; a pair of account and From rests on one node only (--here)"
        )


def _check_move(of: Named, order: WishOrder) -> None:
    address, node = of.addresses[order.what], of.cluster.nodes.get(order.to)
    if node is None:
        raise BadRequestError(f"to: there is no node {order.to!r}")
    if (address.nodes and order.to not in address.nodes) or address.site not in (None, node.site):
        raise BadRequestError(f"to: {order.to} may not hold {order.what}: another site, or not among its nodes")


async def made(wishes: Wishes, order: WishOrder, actor: str) -> WishView:
    """Make a wish. Raises ClusterUnreachableError, RefusedWishError."""
    try:
        wish = await wishes.make(
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
