"""Connection slots held by leased keys, and what a vanished holder's connection still costs (coordination-review §4).

Beside the leased key of each slot stands one lasting record per scope: ``held/<index>`` → who has it, ``linger/<id>``
→ a connection the other side may still count. A slot whose key is gone while the record names a holder ended unclean.
Pure; times are local, counted from learning, never compared between hosts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FALLBACK_MS = 3_000
"""A holder may go on by unanimity for so long after its session ended; then every connection of it is closed."""


class Ended(StrEnum):
    """How the last holder of a slot ended."""

    CLEAN = "clean"
    """It closed the connection and gave the slot back."""
    PROCESS = "process"
    """Its host says that the process has ended: the kernel has closed the connection."""
    HOST = "host"
    """Its host says nothing, or that the process is there and still: the other side may still count the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """One scope as a candidate sees it."""

    held: Mapping[int, str]
    """Index → holder, for slots whose leased key is there."""
    unclean: Mapping[int, Ended]
    """Index → how it ended, for slots named in the record whose key is gone."""
    gone_ms: Mapping[int, int]
    """Index → when we learnt of it."""
    lingering_since_ms: Mapping[str, int]
    """Lingering connection → when we first saw it in the record."""


def may_take(slots: Slots, index: int, *, began_ms: int, now_ms: int, linger_ms: int, sessions: int) -> bool:
    """Whether slot ``index`` may be taken: free, its unclean end long enough ago, and never more than ``sessions``."""
    if index in slots.held:
        return False
    if index in slots.unclean and now_ms < max(slots.gone_ms[index], began_ms) + FALLBACK_MS:
        return False
    return len(slots.held) + lingering(slots, began_ms=began_ms, now_ms=now_ms, linger_ms=linger_ms) + 1 <= sessions


def lingering(slots: Slots, *, began_ms: int, now_ms: int, linger_ms: int) -> int:
    """Connections the other side may still count though nobody holds a slot for them."""
    fresh = sum(
        1
        for index, ended in slots.unclean.items()
        if ended is Ended.HOST and still(slots.gone_ms[index], began_ms, now_ms, linger_ms)
    )
    noted = sum(1 for since in slots.lingering_since_ms.values() if still(since, began_ms, now_ms, linger_ms))
    return fresh + noted


def still(since_ms: int, began_ms: int, now_ms: int, linger_ms: int) -> bool:
    """Whether it lingers: from the later of our learning and our session's begin."""
    return now_ms < max(since_ms, began_ms) + linger_ms


def should_give_back(*, used: int, held_ms: int, others_wait: bool, used_max: int, held_max_ms: int) -> bool:
    """Rotation: after so many units or so long, when somebody waits."""
    return others_wait and (used >= used_max or held_ms >= held_max_ms)
