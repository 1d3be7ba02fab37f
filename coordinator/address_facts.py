"""What a coordinator knows of one virtual address, what a decision looks at, and what it may say. Values only.

What follows from them is ``address.py`` and, for promises, ``promises.py``.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from coordinator.session import Session
from coordinator.timing import KERNEL_ALLOWANCE_MS, Timing


class Todo(StrEnum):
    """What to do next."""

    NOTHING = "nothing"
    TAKE = "take"
    """Transaction: key absent, list unchanged, my session → put the key with my lease."""
    PROBE = "probe"
    """Ask the network whether somebody answers for the address."""
    BIND = "bind"
    """Add or refresh it in the kernel with ``lifetime_s``."""
    REMOVE = "remove"
    """Remove it from the kernel and read back that it is gone."""
    DELETE = "delete"
    """Transaction: key still as I wrote it, my session → delete it (clean resign)."""
    LIST = "list"
    """Transaction: key still mine, list as I know it, my session → put the list wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A thing to do."""

    todo: Todo
    lifetime_s: int = 0


IDLE = Next(todo=Todo.NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The address's key as last known."""

    holder: str
    lease: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of asking everybody on the list for a promise."""

    sent_ms: int
    answered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What one coordinator knows of one address; times on its boot-time clock."""

    key: Key | None = None
    revision: int = 0
    """Newest revision at which the key's state is known."""
    gone_ms: int = 0
    """When we learnt that the key is absent."""
    clean: bool = False
    """Whether it was deleted by a holder that had removed the address before."""
    nodes: tuple[str, ...] = ()
    """The list stored with the address: who may ever hold it, and whose promises count."""
    listing: tuple[str, ...] = ()
    """A list sent whose fate is unknown: its nodes' promises count too, until the store told."""
    taking: bool = False
    """A transaction on the key is under way, or its answer was lost and nothing was read since."""
    given_up: int = 0
    """Revision of a key whose deletion was sent: it may go any moment, so it is no authority ever again."""
    bound: bool = False
    bound_until_ms: int = 0
    """When the kernel lets go by itself, at the earliest."""
    held_since_ms: int = 0
    probed: bool = False
    conflict_until_ms: int = 0
    promised_to: str = ""
    promised_until_ms: int = 0
    """Until then we neither transact on the key nor bind, for we said so to ``promised_to``."""
    rounds: tuple[Round, ...] = ()
    kept_until_ms: int = 0
    """Authority from the newest complete round of others' promises."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What else a decision looks at."""

    me: str
    session: Session
    now_ms: int
    started_ms: int
    """When this process began: it may have forgotten a promise made before."""
    ready: bool
    """The local node's last word was that it can commit, and it has not been silent for long."""
    fresh: bool = True
    """That word is of the last second. Else nothing is prolonged or begun; what is there stays until it ends."""
    eligible: bool = True
    """The address's site is ours and we are not draining."""
    paused: bool = False
    rank: int = 0
    """Place among the candidates; 0 is preferred."""
    yields: bool = False
    """A preferred candidate is there and waiting: it gets the address once we held it for the hold time."""
    moved: bool = False
    """An operator sends the address to another candidate, who is there and waiting: no hold time counts."""
    wanted: tuple[str, ...] = ()
    """The list as it should be; empty: as it is."""
    replaces: bool = False
    """Nobody on the stored list is of the cluster any more, so whoever takes the address writes a new one."""
    allowance_ms: int = KERNEL_ALLOWANCE_MS
    """How late the kernel may be: KERNEL_ALLOWANCE_V6_MS for an IPv6 address."""
    unanimity: bool = True
    """Whether the address may be kept by promises while the store is silent."""

    @property
    def timing(self) -> Timing:
        """The session's durations."""
        return self.session.timing
