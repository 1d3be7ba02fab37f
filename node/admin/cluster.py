"""What the administration interface says of the cluster, and asks of it; the composition root answers."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from node.admin.queries import BadRequestError, flag_of, text_of
from node.errors import TemporaryError

WISH_KEYS: Final = frozenset({"kind", "what", "to", "on", "for_s", "reason"})
FOR_MAX_S: Final = 366 * 86_400


class ClusterUnreachableError(TemporaryError):
    """The cluster's store does not answer, or it is not known whether it did as asked (exit code 3)."""


class WishKind(StrEnum):
    """What an operator can wish of the whole cluster (``coordinator/wishes.py``)."""

    PARK = "park"
    HOLD = "hold"
    DRAIN = "drain"
    PAUSE = "pause"
    MOVE = "move"
    DEAD = "dead"


class WishOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to be made."""

    kind: WishKind
    what: str = ""
    to: str = ""
    on: bool = True
    reason: str
    for_s: int = 0
    """0: until ended."""


class WishView(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that was made."""

    kind: str
    what: str
    to: str
    on: bool
    actor: str
    reason: str
    node: str
    """Who signed it."""
    made_ms: int
    until_ms: int
    """0: until ended."""


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows of its clock."""

    standing: str
    """``fine``, ``outlier`` (reserves no budget of a day), ``no_majority``."""
    offset_ms: int
    """The median clock minus ours."""
    heard: dict[str, int]
    """Each clock heard lately, minus ours."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node's process relay-node, by what it answered itself."""

    node: str
    site: str
    member: bool
    """Its session is in the store."""
    answered: bool
    """It answered us just now over the peer channel."""
    error: str = ""
    margin_ms: int = 0
    """What is left of its session's deadline."""
    ready: bool = False
    reasons: tuple[str, ...] = ()
    clock: str = ""
    offset_ms: int = 0
    configuration: str = ""
    """Hash of the configuration in force there."""
    drift: bool = False
    """Another configuration than ours."""
    version: str = ""
    levels: tuple[int, int] = (0, 0)
    """Oldest and newest level it knows; zeros: it has no session."""
    shadow: str = ""
    """Node that gets copies of what comes in there; empty: none does."""
    alone: str = ""
    """Why none does."""
    unprotected: int = 0
    """Live messages there that are not known to be kept twice, though they should be; those being copied too."""
    lasting: int = 0
    """The least number of them in the last ten seconds."""
    quarantined: str = ""
    """Why its spool is not used; empty: it is."""


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """One process that has a session, by what it published of itself; zeros: that could not be read."""

    node: str
    role: str
    """``node`` or ``coordinator``."""
    site: str = ""
    version: str = ""
    levels: tuple[int, int] = (0, 0)
    """Oldest and newest level it knows."""
    protocols: tuple[int, int] = (0, 0)
    """Oldest and newest protocol it answers other processes in."""
    schemas: tuple[int, int] = (0, 0)
    """Of its spool at the oldest and at the newest of these levels; zeros: it has none."""


class EtcdView(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of the store."""

    endpoint: str
    healthy: bool
    leads: bool = False
    version: str = ""
    revision: int = 0
    db_bytes: int = 0
    alarms: tuple[str, ...] = ()


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster as this node sees it."""

    name: str
    node: str
    phase: str
    """Of this node's session: ``out``, ``joining``, ``live``."""
    margin_ms: int
    ttl_ms: int
    silent: bool
    """The store counts as out of reach."""
    refused: str
    """Why the store itself is not trusted."""
    blocked_by: str
    """The living process that bears this node's name."""
    leader: str
    """Empty: nobody."""
    holders: dict[str, str]
    """Virtual address by name to the node that holds it."""
    clock: ClockView
    wishes: tuple[WishView, ...]
    """Those in force."""
    ignored: dict[str, str]
    """Keys below ``control/`` that are nobody's wish, and why."""
    nodes: tuple[NodeView, ...]
    members: tuple[ProcessView, ...]
    etcd: tuple[EtcdView, ...]


class ClusterControl(Protocol):
    """The cluster, as the administration interface sees it."""

    async def view(self) -> ClusterView:
        """Ask the other nodes and the store, briefly, and say what is known."""
        ...

    async def wish(self, order: WishOrder, actor: str) -> WishView:
        """Make a wish known to all. Raises ClusterUnreachableError, or PermanentError when it cannot be wished."""
        ...

    def shares(self) -> dict[str, dict[str, int]]:
        """Give how each account's messages of a minute are shared out: scope to node (``pool``: nobody's) to number."""
        ...


def order_of(body: Mapping[str, object]) -> WishOrder:
    """Read a wish asked for; a reason is demanded, since everybody will see it."""
    kind = text_of(body, "kind", required=True)
    if kind not in [each.value for each in WishKind]:
        raise BadRequestError(f"kind: expected one of {', '.join(WishKind)}, not {kind[:40]!r}")
    for_s = body.get("for_s", 0)
    if not isinstance(for_s, int) or isinstance(for_s, bool) or not 0 <= for_s <= FOR_MAX_S:
        raise BadRequestError(f"for_s: expected whole seconds from 0 to {FOR_MAX_S}")
    return WishOrder(
        kind=WishKind(kind),
        what=text_of(body, "what"),
        to=text_of(body, "to"),
        on=flag_of(body, "on") if "on" in body else True,
        reason=text_of(body, "reason", required=True),
        for_s=for_s,
    )
