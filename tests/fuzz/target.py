"""What can be fuzzed: a reader of foreign octets, inputs to begin with, and words worth trying. Values only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
Read = Callable[[bytes], None]
"""Reads one input. Raises nothing for what is refused in order; whatever it raises is a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader with the laws it must keep."""

    name: str
    open: Callable[[Path], AbstractContextManager[Read]]
    """``with target.open(directory) as read``: a directory of its own for what it keeps."""
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    watched: Sequence[str] = field(default=("node", "coordinator"))
    """Paths below the root whose lines count as reached."""
    input_max: int = 4_096


def pure(read: Read) -> Callable[[Path], AbstractContextManager[Read]]:
    """A target that needs nothing but its function."""

    @contextmanager
    def opened(_: Path) -> Iterator[Read]:
        yield read

    return opened
