"""What the mover asks of each shared limit: take news, say what to write, hear what became of it.

A *part* is this node's part of one limit of one scope. Parts never wait and do no I/O; one mover carries the
transactions of all of them (mover.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from coordinator.session import Session, delay_over
from coordinator.store.contract import Compare, Item, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the mover looks, and what holds then."""

    now_ms: int
    """The steady clock that budgets run on: the wall's at the process's start, counted on."""
    boot_ms: int
    """The clock of sessions."""
    session: Session
    boot: str
    gone_ms: Callable[[str], int | None]
    """When a node's session was learnt to have ended (boot clock); None while it lives."""
    closed: Callable[[str], bool]
    """Whether the connections of a slot's owner are known to be closed, though its session ended unclean."""
    nodes: frozenset[str]
    """Everybody who may hold something: the longer list while two are in force."""
    clock_fits: bool = True
    """Whether this host's wall clock agrees with the others': if not, no day is reserved from (§6)."""

    def over(self, node: str, delay_ms: int) -> bool:
        """Whether a delay after a node's end is over: from the later of its end and our session's begin (§1)."""
        gone_ms = self.gone_ms(node)
        return gone_ms is not None and delay_over(gone_ms, self.session.began_ms, delay_ms, self.boot_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A guarded transaction a part wants made, and whom to tell."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]
    sending: Callable[[], None]
    """Just before it is sent."""
    done: Callable[[int], None]
    """It happened at this revision."""
    undone: Callable[[dict[str, Item]], None]
    """It did not; the present items of the keys compared."""
    refused: Callable[[], None]
    """It was not carried out and nothing is known about the keys."""
    unanswered: Callable[[], None]
    """It may have happened, or may still."""


class Part(Protocol):
    """A node's part of one limit."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys it follows, exactly."""
        ...

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Prefixes whose keys it follows up to one more name."""
        ...

    @property
    def fault(self) -> str:
        """Why nothing is moved here; empty when all is well."""
        ...

    def begin(self, at: Moment) -> None:
        """Start under a session that began; all news up to its begin have been taken."""
        ...

    def news(self, key: str, item: Item | None, revision: int, at: Moment) -> None:
        """Take news of a key."""
        ...

    def proposals(self, at: Moment) -> list[Proposal]:
        """Say what to write now; called only with a live session that this part has begun."""
        ...
