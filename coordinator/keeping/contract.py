"""What a keeper of ownership stands on: the rows of the local disk, and what the process around it says and hears."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from coordinator.ownership.moves import Here
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import PairKey
from coordinator.ownership.views import View


class Rows(Protocol):
    """The local disk as ownership sees it. Whatever is raised means: try again."""

    async def told(self) -> int:
        """Give the sequence that this spool remembers telling; 0: none yet."""
        ...

    async def sequence(self) -> int:
        """Give how far the spool has come."""
        ...

    async def tell(self, sequence: int) -> None:
        """Remember that this sequence is about to be told; durable before it returns."""
        ...

    async def here(self, key: PairKey, epoch: int) -> Here:
        """Count the rows of one pairing's epoch; ``wanted`` is the keeper's own."""
        ...

    async def align(self, view: View) -> None:
        """Bring rows in line with a view; may take long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What is asked of the process and told to it, always in its loop; none of them may wait."""

    candidates: Callable[[], Iterable[Candidate]]
    """Who could keep copies."""
    paused: Callable[[], bool]
    dead: Callable[[], frozenset[str]]
    """Nodes an operator has declared dead."""
    listed: Callable[[], frozenset[str]]
    """Nodes of the list in force."""
    changed: Callable[[], None]
    """``ready``, ``target``, ``verdict`` or a view has changed."""
    quarantined: Callable[[str], None]
    """This spool is an older copy: the session must end, so that another node may take its rows over (§3)."""
    refuse: Callable[[str], None]
    """This spool must not be used here (a twin, a strange record): the process must stop."""
