"""What a coordinator knows for the early takeover of one address, and the two keys' transactions. Values only.

The rules are in ``early.py``; times are milliseconds on the host's own boot-time clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from coordinator.address_facts import IDLE, Address, Key, Next
from coordinator.keys import Keys, Role, decode, encode
from coordinator.store.contract import Compare, Field, Item, Put, absent, created_at

HEARTBEAT_MS: Final = 200
MISSED_MS: Final = 3 * HEARTBEAT_MS
"""A candidate that heard nothing for so long asks the others."""
DEAF_MS: Final = 2 * HEARTBEAT_MS + HEARTBEAT_MS // 2
"""Who heard nothing for so long gives its word; less than MISSED_MS, since hosts hear a last heartbeat apart."""
RETRY_MS: Final = 100
"""Between two rounds of questions, and between candidates of neighbouring rank."""
LIFE_S: Final = 1
"""The shortest lifetime a kernel knows."""
FRESH_MS: Final = 200
"""The kernel has been told within so long of the sending of a heartbeat that was answered; else it is taken back."""
BEGIN_MS: Final = 120
"""Telling it is begun only so long after: the call takes its time, and taking back costs clients a gap."""
REFRESH_MS: Final = 250
SLACK_MS: Final = 450
"""Off the leash: leaves time for the transaction before the kernel lets go."""
LATE_V4_MS: Final = 350
LATE_V6_MS: Final = 720
GUARD_MS: Final = 50
"""Clocks 500 ppm apart, times cut to milliseconds."""
STEADY_MS: Final = 3_000
"""Answers without a gap for so long before a leash is put on."""
REST_MS: Final = 60_000
NEVER_MS: Final = -(1 << 40)
"""Longer ago than any clock shows."""

Transaction = tuple[tuple[Compare, ...], tuple[Put, ...]]


class Act(StrEnum):
    """What to do next about an address."""

    ADDRESS = "address"
    """Do ``todo``, as ``address.py`` would have it done."""
    LEASH = "leash"
    """Transaction ``to_leash(…, on=True)``: from now on live by the others' answers."""
    LOOSEN = "loosen"
    """Transaction ``to_leash(…, on=False)``: live by the lease again."""
    ASK = "ask"
    """Ask every node of ``asks`` for its word."""
    SEIZE = "seize"
    """Transaction ``to_seize``: take the key over from its holder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A thing to do."""

    act: Act = Act.ADDRESS
    todo: Next = IDLE


class LeashRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the leash's key."""

    holder: str
    on: bool
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leash:
    """The leash's key as last known. ``nodes``: whose answers count for the holder, and so whose word is needed."""

    holder: str
    on: bool
    nodes: tuple[str, ...]
    lease: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A candidate's attempt at one leash. ``asked``: node → incarnation; ``words``: node → when it last answered."""

    leash: Leash
    sent_ms: int
    asked: Mapping[str, int]
    words: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """All that one host knows for one address, as holder, as member and as candidate."""

    answered_ms: int
    """When this host last answered a holder; at the start of its process: then (it may have forgotten)."""
    heard_ms: int
    """When it last heard the holder, or learnt who it is."""
    leash: Leash | None = None
    leash_revision: int = 0
    """Newest revision at which the leash is known."""
    learnt_ms: int = NEVER_MS
    """When the leash as it is was learnt."""
    given: int = 0
    """Newest leash for which this host gave its word: no heartbeat of that leash or an older one is answered again."""
    acknowledged_ms: int = NEVER_MS
    """As holder: when the newest heartbeat that was answered had been sent."""
    steady_ms: int = NEVER_MS
    """As holder: since when answers have come without a gap."""
    counted: tuple[str, ...] = ()
    """As holder: the nodes named in the leash, from before it is written."""
    leashing: bool = False
    """As holder: a leash was sent and may be written any moment; only a successful answer settles it."""
    bid: Bid | None = None
    seized: bool = False
    """As candidate: the takeover was sent; ``not_before_ms`` holds until the address has been bound."""
    not_before_ms: int = NEVER_MS
    rest_until_ms: int = NEVER_MS
    """As holder: no leash before, so that no address is taken early twice within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known of the others, as the watch told."""

    members: Mapping[str, int]
    """Coordinators with a session: node → incarnation (create revision of its key)."""
    gone_ms: Mapping[str, int]
    """When we learnt that a node's session had ended; nodes never seen are missing."""
    seen: int
    """Everything up to this revision of the store is known."""
    late_ms: int
    """How late the kernel may let go (``early.LATE_V4_MS`` or ``LATE_V6_MS``)."""
    enabled: bool = True


def settled_ms(late_ms: int) -> int:
    """After the last answer to a holder no kernel keeps the address for longer than this."""
    return LIFE_S * 1_000 + FRESH_MS + late_ms + GUARD_MS


def begin(now_ms: int) -> Early:
    """What a process knows when it starts: an earlier life may have answered a moment ago."""
    return Early(answered_ms=now_ms, heard_ms=now_ms)


def leashed(early: Early, address: Address) -> bool:
    """Whether the store says that the key's holder lives by answers."""
    leash, key = early.leash, address.key
    if leash is None or key is None:
        return False
    return leash.on and leash.holder == key.holder and leash.lease == key.lease and leash.revision > key.revision


def leash_key(keys: Keys, name: str) -> str:
    """Give the leased key that says by whose answers the holder lives."""
    return f"{keys.root}vip-leash/{name}"


def leash_of(item: Item | None) -> Leash | None:
    """Read the leash's key; what cannot be read is none, so nobody takes anything early."""
    record = decode(item.value, LeashRecord) if item is not None else None
    if item is None or record is None:
        return None
    return Leash(holder=record.holder, on=record.on, nodes=record.nodes, lease=item.lease, revision=item.mod_revision)


def to_leash(keys: Keys, name: str, early: Early, key: Key, *, nodes: tuple[str, ...], on: bool) -> Transaction:
    """Write my leash while the address's key is mine as known. Guarded by the session besides.

    Putting it on also compares the leash's revision, so that one that comes late cannot follow a loosening.
    """
    name_of_leash = leash_key(keys, name)
    guards: tuple[Compare, ...] = (_at(keys.address(name), key.revision),)
    if on:
        known = absent(name_of_leash) if early.leash is None else _at(name_of_leash, early.leash.revision)
        guards = (*guards, known)
    value = encode(LeashRecord(holder=key.holder, on=on, nodes=nodes))
    return guards, (Put(key=name_of_leash, value=value, lease=key.lease),)


def to_seize(keys: Keys, name: str, early: Early, key: Key, *, me: str, lease: int) -> Transaction:
    """Take key and leash over as they were known, every other session being the one asked, or still absent."""
    if early.bid is None:
        raise ValueError(f"{name}: nobody was asked")
    leash, asked = early.bid.leash, early.bid.asked
    others = [
        created_at(keys.member(Role.COORDINATOR, node), asked[node])
        if node in asked
        else absent(keys.member(Role.COORDINATOR, node))
        for node in leash.nodes
        if node not in {me, key.holder}
    ]
    guards = (_at(keys.address(name), key.revision), _at(leash_key(keys, name), leash.revision), *others)
    value = encode(LeashRecord(holder=me, on=False, nodes=()))
    return guards, (
        Put(key=keys.address(name), value=encode(me), lease=lease),
        Put(key=leash_key(keys, name), value=value, lease=lease),
    )


def _at(key: str, revision: int) -> Compare:
    return Compare(key=key, field=Field.MOD, equals=revision)
