"""What ``GET /v1/status`` of the local interface says (``<runtime>/coordinator.sock``, JSON). Ages and margins in ms.

Every age counts back from the moment of asking on the coordinator's boot-time clock, so two hosts' answers can be laid
side by side. ``None`` means: never, or nobody.
"""

import msgspec


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """The coordinator's own session."""

    phase: str
    """``out``, ``joining``, ``live``."""
    margin_ms: int
    """What is left until the deadline; 0 without a live session."""
    ttl_ms: int
    lease: str
    """Hexadecimal, as etcdctl writes it; empty without one."""
    inc: int
    """Create revision of the member key."""
    age_ms: int
    """Since it began; 0 without a live session."""
    heard_ms: int | None
    """Since the store last answered anything."""
    silent: bool
    """The store counts as out of reach."""
    blocked_by: str = ""
    """The living process that has our name, as ``node (boot …, process …)``."""
    refused: str = ""
    """Why the store itself is not trusted."""


class ReadyView(msgspec.Struct, frozen=True, kw_only=True):
    """What the local node said of itself."""

    ready: bool
    reasons: tuple[str, ...] = ()
    """Why not; of the coordinator's own making: ``no answer``, ``connection closed``."""
    age_ms: int | None = None
    """Since the last answer."""


class AddressView(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual address as this coordinator sees it."""

    name: str
    address: str
    site: str
    driver: str
    interface: str
    holder: str | None
    """Who bears the key; None while nobody does."""
    mine: bool
    """The key bears this session's lease and the session lives."""
    bound: bool
    """It is in this host's kernel (or answered for by the probe, or gained by the hook)."""
    lifetime_ms: int
    """How much longer the kernel keeps it here; 0 when not bound."""
    authority_ms: int
    """How much longer it may be bound here at all; 0 when it may not."""
    held_ms: int | None
    """For how long it has been held here."""
    kept_ms: int
    """How much longer others' promises keep it here; 0 without any."""
    promised_to: str
    """To whom we promised not to take it; empty when no promise of ours runs."""
    promised_ms: int
    conflict_ms: int
    """How much longer we wait because somebody else answered for it."""
    nodes: tuple[str, ...]
    """The list stored with the address: who may hold it, and whose promises count."""
    eligible: bool
    """This node may hold it now (site or nodes, not draining)."""
    candidates: tuple[str, ...]
    """Who would take it now, first choice first."""
    prefer: str = ""
    wish: str = ""
    """Where an operator's wish sends it; empty without one."""
    doing: str = ""
    """What was decided last: ``take``, ``bind``, … or ``nothing``."""
    moves: int = 0
    """How often it was taken here since the start."""
    alarm: str = ""
    """The newest thing that went wrong with it."""


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One process that has a session."""

    node: str
    role: str
    """``node`` or ``coordinator``."""
    seen_ms: int
    """Since we first saw this life of it."""
    inc: int
    lease: str
    boot_id: str = ""
    process_id: str = ""
    site: str = ""
    address: str = ""
    version: str = ""
    levels: tuple[int, int] = (0, 0)
    """Oldest and newest level it knows; zeros: it could not be read."""
    protocols: tuple[int, int] = (0, 0)
    schemas: tuple[int, int] = (0, 0)
    """Its disk's at the oldest and at the newest of these levels; zeros: it has no disk."""
    config_hash: str = ""
    readable: bool = True
    """Whether its record could be read (a newer version's may not)."""


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One other coordinator, by the connection between the two."""

    node: str
    heard_ms: int | None
    """Since it last answered anything."""
    ready: bool | None = None
    """Whether its node is ready, by what it published; None: nothing published."""
    reasons: tuple[str, ...] = ()
    error: str = ""
    """Why the last question got no answer."""


class EtcdView(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of the store."""

    endpoint: str
    healthy: bool
    leads: bool = False
    version: str = ""
    revision: int = 0
    db_bytes: int = 0
    alarms: tuple[str, ...] = ()


class ConfigView(msgspec.Struct, frozen=True, kw_only=True):
    """Whose configuration differs, and what is in force."""

    hash: str
    """This coordinator's."""
    revision: int
    """Of the values in force; 0 while there are none."""
    in_force: str
    """Hash of the values in force; empty while there are none."""
    nodes: tuple[str, ...]
    """The list in force, or the longer one while files differ."""
    wanted: dict[str, str]
    """What each node's process wants: node to hash."""
    drift: tuple[str, ...]
    """Processes whose hash is not ours, as ``coordinator relay-b`` or ``node relay-b``."""


class PauseView(msgspec.Struct, frozen=True, kw_only=True):
    """A pause somebody asked for."""

    paused: bool
    actor: str = ""
    reason: str = ""
    until: str = ""
    """ISO 8601, UTC; empty when open-ended."""


class EarlyView(msgspec.Struct, frozen=True, kw_only=True):
    """Early takeover by all members' word."""

    enabled: bool
    leashed: tuple[str, ...] = ()
    """Addresses whose holder lives by the others' answers, so that they can be taken early."""
    suspects: tuple[str, ...] = ()
    """Holders this coordinator does not hear."""
    takeovers: int = 0


class HeldUpView(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses of 200 ms and more since the start, in which this process did not run though it wanted to."""

    total_ms: int = 0
    worst_ms: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The coordinator in one page."""

    node: str
    site: str
    cluster: str
    version: str
    level: int
    """In force, as known here."""
    levels: tuple[int, int]
    """Oldest and newest this coordinator knows."""
    uptime_ms: int
    leader: str | None
    leading: bool
    session: SessionView
    node_ready: ReadyView
    pause: PauseView
    draining: tuple[str, ...]
    """Nodes that operators asked to drain."""
    addresses: tuple[AddressView, ...]
    members: tuple[MemberView, ...]
    peers: tuple[PeerView, ...]
    etcd: tuple[EtcdView, ...]
    config: ConfigView
    early: EarlyView
    revision: int
    """Newest revision of the store seen by the watch."""
    held_up: HeldUpView = HeldUpView()
    alarms: tuple[str, ...] = ()
    """The newest things that went wrong, newest last."""
