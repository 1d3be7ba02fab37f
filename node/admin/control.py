"""What the administration interface asks of the running node; the composition root answers."""

from typing import Protocol

import msgspec

from node.admin.cluster import ClusterControl
from node.admin.erasing import ErasureControl
from node.admin.everywhere import Everywhere
from node.admin.history import HistoryControl
from node.admin.truth import TruthControl
from node.cluster.contract import BudgetUse
from node.policy.explain import Question, RouteAnswer
from node.spool.contract import Filter, MessageView, Spool


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this node may be sent mail (operations A16): it can commit; never whether Microsoft answers."""

    ready: bool
    reasons: tuple[str, ...] = ()


class ReplyView(msgspec.Struct, frozen=True, kw_only=True):
    """An answer from upstream."""

    at_ms: int
    stage: str
    """What it answered: ``connect``, ``auth``, ``mail``, ``rcpt``, ``dot``, ``http`` ..."""
    code: int
    """0: there was no answer, and ``text`` says what happened instead."""
    enhanced: str
    """Enhanced status code (RFC 3463); empty: it had none."""
    text: str


class WayView(msgspec.Struct, frozen=True, kw_only=True):
    """One account or path as operators see it."""

    path: str
    account: str
    tenant: str
    state: str
    """``healthy``, ``resting``, ``parked``, ``probing``."""
    reason: str = ""
    until_ms: int = 0
    connections: int = 0
    last: ReplyView | None = None
    """The last answer this node had on it; None: none since it started."""


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one client since the start (the weak-client report)."""

    client: str
    last_seen_ms: int = 0
    messages: int = 0
    weaknesses: dict[str, int] = msgspec.field(default_factory=dict)
    """``tls1.0``, ``tls1.1``, ``clear_password``, ``no_tls``, ``bare_lf`` ... to the number of sessions."""
    addresses: tuple[str, ...] = ()
    """Up to ten peer addresses seen with a weakness."""
    owner: str = ""
    """Who answers for it, by the configuration; empty: nobody, or the client is not in it any more."""
    plan: str = ""


class CopiesView(msgspec.Struct, frozen=True, kw_only=True):
    """Second copies of this node's mail, and whether what lies here may be sent."""

    spool: str
    """UUID of this disk."""
    shadow: str
    """Node that gets copies of what comes in now; empty: none does."""
    why: str
    """Why none does."""
    unprotected: int
    """Live messages not known to be kept twice."""
    sending: bool
    """Whether delivery is open: a session, or everybody's word, and mail that is this node's own."""
    quarantined: str = ""
    """Why the spool is not used: it is an older copy; empty: it is none."""
    pairings: dict[str, str]
    """``spool/shadow`` to the state of each pairing with this node at an end."""


class LevelView(msgspec.Struct, frozen=True, kw_only=True):
    """The level in force (``coordinator/versions``), and what this version knows beside it."""

    level: int
    oldest: int
    """This version knows levels from here on."""
    newest: int
    protocol: int
    """Other processes are asked in it."""
    schema: int
    """Of this node's spool."""
    schema_due: int
    """What it has after the next start."""
    actor: str = ""
    """Who finalised the level; empty: the cluster, or the spool, began with it."""
    reason: str = ""
    node: str = ""
    """The node that was asked."""
    at_ms: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The node in one page."""

    node: str
    version: str
    started_ms: int
    readiness: Readiness
    listeners: dict[str, str]
    """Listener name to ``address:port`` as bound."""
    by_state: dict[str, int]
    oldest_received_ms: dict[str, int]
    body_bytes: int
    attempts: int
    connections: int
    ways: tuple[WayView, ...]
    configuration: str
    """Hash of the configuration in force."""
    copies: CopiesView | None = None
    """None: a node without peers."""
    credentials: tuple[str, ...] = ()
    """What ends soon of what the relay signs in with, and what Entra refuses."""
    level: LevelView | None = None


class Control(Protocol):
    """The running node, as the administration interface sees it."""

    spool: Spool

    @property
    def cluster(self) -> ClusterControl | None:
        """The cluster this node belongs to; None for a single node."""
        ...

    @property
    def everywhere(self) -> Everywhere:
        """The queues of all nodes."""
        ...

    @property
    def history(self) -> HistoryControl:
        """The history of all nodes."""
        ...

    @property
    def erasures(self) -> ErasureControl:
        """Addresses that are erased on all nodes."""
        ...

    @property
    def truth(self) -> TruthControl:
        """What became of mail after its 250."""
        ...

    def readiness(self) -> Readiness:
        """Say whether mail may be sent here, and why not."""
        ...

    async def status(self) -> Status:
        """Give the node in one page."""
        ...

    def ways(self) -> list[WayView]:
        """Give every account and path with its standing."""
        ...

    async def find(self, which: Filter) -> list[MessageView]:
        """Give messages of this node, newest first, as they may be shown."""
        ...

    async def message(self, message_id: str) -> MessageView | None:
        """Give one message of this node with its journey, as it may be shown."""
        ...

    async def park(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        """Take an account or a scope (``client/NAME``, ``path/TENANT/KIND`` ...) out of use; False: no such thing.

        In a cluster on every node, unless ``here``; then it raises ClusterUnreachableError.
        """
        ...

    async def resume(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        """Put it back into use, whatever parked it; as ``park``."""
        ...

    async def erase(self, address: str, actor: str) -> int:
        """Take an address out of this node's history, that of copies it kept for others too; messages changed."""
        ...

    async def part(self, address: str) -> None:
        """See sessions out of an address of this node that moves to another; returns when it may go."""
        ...

    def release_spool(self) -> None:
        """Use a quarantined spool after all. Raises PermanentError when it is not quarantined."""
        ...

    async def finalise(self, why: str, actor: str) -> LevelView:
        """Put the newest level this version knows in force: in the whole cluster, if this node belongs to one.

        Raises PermanentError saying which processes stand in the way, ClusterUnreachableError.
        """
        ...

    def route(self, question: Question) -> RouteAnswer:
        """Say what would become of a message now. Raises QuestionError."""
        ...

    def budgets(self) -> list[BudgetUse]:
        """Give every limit with its use."""
        ...

    def clients(self) -> list[ClientView]:
        """Give what was seen of each client."""
        ...

    def wake(self) -> None:
        """Look for due mail now (after a release)."""
        ...

    def metrics(self) -> bytes:
        """Give the Prometheus exposition."""
        ...
