"""What shared limits are kept in: versioned records that only members may change (coordination-review §1, §4).

In memory now (memory.py); a cluster's key-value service answers the same calls later. Deciding happens in pure
code on records read before; a record that changed meanwhile refuses the write, and the caller decides anew. The
path of a single message never comes here: a holder works on the share it took. Beside the rooms of pure arithmetic
because its calls wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a record of a scope holds."""

    PERMITS = "permits"  # ``pool`` and ``share/<holder>``: permits not given out, and given to each holder
    DAY = "day"  # start of a quarter hour in ms -> units counted in it
    SLOTS = "slots"  # index -> time until which it is taken or lingers, in ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as read; ``revision`` 0 says there is none yet."""

    value: Mapping[str, int]
    revision: int


class BudgetStore(Protocol):
    """Versioned records. Every call is safe to cancel: a write either happened whole or not at all."""

    async def join(self, holder: str) -> None:
        """Begin the holder's session; joining twice is one session."""
        ...

    async def leave(self, holder: str) -> None:
        """End it: from here on the holder changes nothing. Unknown holders are fine."""
        ...

    async def read(self, kind: Kind, scope: str) -> Record:
        """The newest record; empty with revision 0 if there is none."""
        ...

    async def replace(self, kind: Kind, scope: str, value: Mapping[str, int], *, revision: int, holder: str) -> Record:
        """Write if the record still has ``revision``. Raises StaleRevision or NotAMember and changes nothing."""
        ...

    async def scopes(self, kind: Kind) -> tuple[str, ...]:
        """Every scope with a record of this kind, sorted."""
        ...
