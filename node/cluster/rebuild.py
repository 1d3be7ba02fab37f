"""What the attempts found in the spool after a restart say about permits, day counters and sessions.

A finished attempt keeps its permit until W after its final reply. An unfinished one ended no later than this
start, and no later than the start of the next life of the node that any attempt tells of: grant ids carry the
start of their life. From then it counts as vanished, so a crash frees nothing sooner than is safe.
Takes any value shaped like the spool's OpenAttempt; does not know the spool.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec


class PastStart(Protocol):
    """The part of an attempt's start that the budgets need."""

    @property
    def account(self) -> str:
        """Budget scope, empty on paths without one."""
        ...

    @property
    def tenant(self) -> str:
        """Tenant of the external limit."""
        ...

    @property
    def external(self) -> int:
        """Recipients that count against it."""
        ...

    @property
    def grant_id(self) -> str:
        """The id of the grant it used."""
        ...

    @property
    def started_ms(self) -> int:
        """Before MAIL."""
        ...


class PastAttempt(Protocol):
    """An attempt of the last 25 h, e.g. node.spool.contract.OpenAttempt."""

    @property
    def start(self) -> PastStart:
        """Whose budget it used."""
        ...

    @property
    def finished_ms(self) -> int:
        """When the final reply was read; without one, H after the end. 0 if no outcome was recorded."""
        ...

    @property
    def recipients(self) -> int:
        """How many it tried."""
        ...


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Day counters as they stood at ``saved_ms``; encodes as JSON, to be kept by whoever has a disk."""

    saved_ms: int
    counts: dict[str, dict[int, int]]
    """By ``day/<account>``, ``external/<tenant>`` and ``client/<client>``: units by start of their quarter hour."""
    lingering: dict[str, tuple[int, ...]] = {}
    """By account: until when the upstream may still count sessions that vanished."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """When a past attempt ended at the latest, and whether without a recorded outcome."""

    attempt: PastAttempt
    at_ms: int
    """From then on its permit is on the way back: the final reply; without a record of one, see ``vanished``."""
    left_ms: int
    """When this node was done with it: no later than ``at_ms``, nor than the next life of the node."""
    vanished: bool


def life_start_ms(grant_id: str) -> int:
    """When the life that gave this grant began; 0 for ids of another form."""
    head = grant_id.partition("-")[0]
    try:
        return int(head, 16)
    except ValueError:
        return 0


def ended(attempts: Sequence[PastAttempt], now_ms: int) -> Iterable[Ended]:
    """Every attempt with the latest time it can have ended."""
    lives = sorted({life_start_ms(attempt.start.grant_id) for attempt in attempts} | {now_ms})
    for attempt in attempts:
        start = attempt.start
        later = bisect_right(lives, max(life_start_ms(start.grant_id), start.started_ms))
        latest_ms = min(now_ms, lives[later]) if later < len(lives) else now_ms
        at_ms = attempt.finished_ms or latest_ms
        yield Ended(attempt=attempt, at_ms=at_ms, left_ms=min(at_ms, latest_ms), vanished=not attempt.finished_ms)


def vanished_sessions(
    attempts: Sequence[PastAttempt], now_ms: int, host_since_ms: int, idle_ms: int
) -> dict[str, list[int]]:
    """When sessions of hosts that went down vanished at the latest, by account, newest first: one time for each life.

    A session stays unused for at most ``idle_ms``, so it was gone that long after its last attempt, and at the
    latest when the host was up again. Sessions of attempts since then died with a process only, and were closed.
    """
    newest: dict[tuple[str, int], int] = {}
    for end in ended(attempts, now_ms):
        start = end.attempt.start
        if start.started_ms < host_since_ms:
            life = (start.account, life_start_ms(start.grant_id))
            newest[life] = max(newest.get(life, 0), min(host_since_ms, end.left_ms + idle_ms))
    found: dict[str, list[int]] = {}
    for (account, _), gone_ms in sorted(newest.items(), key=lambda item: -item[1]):
        found.setdefault(account, []).append(gone_ms)
    return found
