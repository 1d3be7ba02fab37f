"""What a drill does, what it says before, and what must hold. Data and nothing else."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """A fault, as it is named on the command line."""

    KILL_NODE = "kill-node"
    KILL_COORDINATOR = "kill-coordinator"
    KILL_HOST = "kill-host"
    FREEZE_NODE = "freeze-node"
    FREEZE_HOST = "freeze-host"
    CUT_ETCD = "cut-etcd"
    CUT_PEERS = "cut-peers"
    CUT_HOST = "cut-host"
    CUT_UPSTREAM = "cut-upstream"
    ETCD_ONE = "etcd-one"
    ETCD_LEADER = "etcd-leader"
    ETCD_ALL = "etcd-all"
    FILL_DISK = "fill-disk"
    SKEW_CLOCK = "skew-clock"
    REVOKE = "revoke-credential"
    BREAK_ACCOUNT = "break-account"


class Timing(StrEnum):
    """How long the leases of a demonstration are."""

    STEADY = "steady"
    FAST = "fast"


class Target(StrEnum):
    """Whom a fault befalls."""

    HOLDER = "holder"
    """The node that holds the virtual address: where it hurts most."""
    FOLLOWER = "follower"
    """The host of a member of etcd that does not lead."""
    LEADER = "leader"
    """The host of etcd's leader."""
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the table."""

    target: Target
    does: str
    """``{node}`` is filled in."""
    holds: str
    lasts_s: float
    """From its beginning to its end; a process that was killed starts again by itself."""
    silences: bool = False
    """See ``checking.records.Fault``."""


ALWAYS: Final = "nothing accepted is lost, no limit is exceeded, nobody gets mail twice but after an unknown outcome"
FAULTS: Final[dict[Kind, Fault]] = {
    Kind.KILL_NODE: Fault(
        target=Target.HOLDER,
        does="kill -9 of relay-node on {node}, which holds the address; it starts again after 15 s",
        holds="another node takes the address, and over what {node} had accepted",
        lasts_s=15.0,
        silences=True,
    ),
    Kind.KILL_COORDINATOR: Fault(
        target=Target.HOLDER,
        does="kill -9 of relay-coordinator on {node}, which holds the address; it starts again after 15 s",
        holds="another node takes the address; {node} goes on delivering",
        lasts_s=15.0,
    ),
    Kind.KILL_HOST: Fault(
        target=Target.HOLDER,
        does="kill -9 of everything on {node}: node, coordinator and its member of etcd; back after 15 s",
        holds="another node takes the address, and over what {node} had accepted",
        lasts_s=15.0,
        silences=True,
    ),
    Kind.FREEZE_NODE: Fault(
        target=Target.HOLDER,
        does="SIGSTOP of relay-node on {node} for 20 s",
        holds="another node takes the address; {node} attempts nothing that is not its own when it wakes",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.FREEZE_HOST: Fault(
        target=Target.HOLDER,
        does="SIGSTOP of everything on {node} for 20 s",
        holds="another node takes the address; {node} attempts nothing that is not its own when it wakes",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.CUT_ETCD: Fault(
        target=Target.HOLDER,
        does="the network between {node} and all members of etcd drops everything for 20 s",
        holds="{node} stops attempting before its session ends; others take over",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.CUT_PEERS: Fault(
        target=Target.HOLDER,
        does="the network between {node} and the other nodes drops everything for 20 s, etcd is reached",
        holds="mail is accepted as `copies` allows; what has no copy is copied once they meet again",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.CUT_HOST: Fault(
        target=Target.HOLDER,
        does="{node} is cut off from every other host for 20 s, with all that runs on it",
        holds="another node takes the address, and over what {node} had accepted",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.CUT_UPSTREAM: Fault(
        target=Target.HOLDER,
        does="the network between {node} and Microsoft 365 drops everything for 20 s",
        holds="mail is accepted all the same, and delivered later or by another node",
        lasts_s=20.0,
        silences=True,
    ),
    Kind.ETCD_ONE: Fault(
        target=Target.FOLLOWER,
        does="kill -9 of the member of etcd on {node}, a follower; it starts again after 15 s",
        holds="nothing moves and nothing waits",
        lasts_s=15.0,
    ),
    Kind.ETCD_LEADER: Fault(
        target=Target.LEADER,
        does="kill -9 of etcd's leader, on {node}; it starts again after 15 s",
        holds="the others elect a leader before any session ends",
        lasts_s=15.0,
    ),
    Kind.ETCD_ALL: Fault(
        target=Target.ALL,
        does="kill -9 of all three members of etcd; they start again after 15 s",
        holds="mail is accepted and delivered within what each node holds; nothing is sent beyond a limit afterwards",
        lasts_s=15.0,
    ),
    Kind.FILL_DISK: Fault(
        target=Target.HOLDER,
        does="the disk of {node}'s spool is filled to the last block for 10 s",
        holds="{node} accepts nothing it cannot keep; what it accepted is delivered",
        lasts_s=10.0,
        silences=True,
    ),
    Kind.SKEW_CLOCK: Fault(
        target=Target.HOLDER,
        does="the clock of {node} is 5 s ahead for 20 s",
        holds="{node} takes no grants of its own; limits hold",
        lasts_s=20.0,
    ),
    Kind.REVOKE: Fault(
        target=Target.ALL,
        does="every token given so far is refused from now on",
        holds="new tokens are fetched and mail goes on",
        lasts_s=1.0,
    ),
    Kind.BREAK_ACCOUNT: Fault(
        target=Target.ALL,
        does="one service account is refused at login for 20 s, as with a lost permission",
        holds="the other accounts deliver; the account is asked again by one node, and used again",
        lasts_s=20.0,
    ),
}
