"""What an address's keeper is told from outside: who we are, whether the node is ready, what our part is."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from coordinator.address_facts import Address
from coordinator.asking import Ask
from coordinator.candidates import Standing
from coordinator.timing import KERNEL_ALLOWANCE_MS, Timing


@dataclass(slots=True, kw_only=True)
class Place:
    """What the keeper is told from outside; the functions are asked at every decision."""

    name: str
    node: str
    ready: Callable[[], bool]
    standing: Callable[[Address, str], Standing]
    """This node's part, given the address and who has just resigned from it (``candidates.standing``)."""
    fresh: Callable[[], bool] = lambda: True
    """Whether the node said so within the last second; ``ready`` bears with a longer silence."""
    paused: Callable[[], bool] = lambda: False
    ask: Ask | None = None
    """Ask a node over the authenticated channel to promise an address; None: no promises, no keeping in silence."""
    promised: tuple[str, int] = ("", 0)
    """A promise an earlier life gave: to whom, until when."""
    remember: Callable[[str, int], bool] = field(default=lambda _to, _until_ms: True)
    """Writes a promise down before it is said; one that cannot be written is not said."""
    started_ms: int | None = None
    """When this process may have forgotten promises given before; None: at its start."""
    timing: Timing | None = None
    """The session's durations with this address's own hold time; None: the session's."""
    part: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Has the node see sessions out of the address before it moves; bounded, never raises. None: there are none."""
    allowance_ms: int = KERNEL_ALLOWANCE_MS
    alarm: Callable[[str], None] = field(default=lambda _: None)
    event: Callable[[str], None] = field(default=lambda _: None)
    """Told what has just been done, in words: ``taken``, ``bound`` …"""
