"""When a day limit will be used up at the present pace; pure arithmetic for people, decides nothing."""

from collections import deque
from collections.abc import Mapping

DAY_MS = 86_400_000
PACE_MS = 3_600_000
"""The present pace is that of the last hour: shorter jumps about, longer sees a runaway too late."""
STEP_MS = 900_000


def exhausted_ms(counts: Mapping[int, int], limit: int, now_ms: int) -> int:
    """Time at which ``limit`` units in 24 h are reached if the last hour repeats; 0 if not within a day.

    ``counts`` is units by start of their quarter hour. Units that leave the window meanwhile are taken off.
    """
    used = sum(counts.values())
    if used >= limit:
        return now_ms
    # Whole quarters only, so the time they cover is between one hour and one and a quarter.
    first_ms = min((start for start in counts if start + STEP_MS > now_ms - PACE_MS), default=now_ms)
    recent = sum(units for start_ms, units in counts.items() if start_ms >= first_ms)
    covered_ms = max(PACE_MS, now_ms - first_ms)
    leaving = deque(sorted((start_ms + STEP_MS + DAY_MS, units) for start_ms, units in counts.items()))
    for at_ms in range(now_ms + STEP_MS, now_ms + DAY_MS + 1, STEP_MS):
        while leaving and leaving[0][0] <= at_ms:
            used -= leaving.popleft()[1]
        if used * covered_ms + recent * (at_ms - now_ms) >= limit * covered_ms:
            return min(at_ms, now_ms + max(0, -(-(limit - used) * covered_ms // max(1, recent))))
    return 0
