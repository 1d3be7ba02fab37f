"""When a deferred recipient is tried again: arithmetic on the plan's delays. Knows no clock and no random source."""

from collections.abc import Sequence
from typing import Final

MAX_DELAY_S: Final = 7 * 86_400.0
"""No plan keeps mail longer than days; a larger delay is cut so that the sum stays a sane integer."""
LAST_CHANCE_MS: Final = 60_000
"""A retry this close before the expiry is worth having."""


def delay_s(delays_s: Sequence[float], attempts: int) -> float:
    """Give the delay after the ``attempts``-th failure (from 1); the last one repeats. Empty delays are an error."""
    if not delays_s:
        raise ValueError("a retry schedule needs at least one delay")
    return min(max(delays_s[min(max(attempts, 1), len(delays_s)) - 1], 0.0), MAX_DELAY_S)


def next_attempt_ms(
    delays_s: Sequence[float],
    jitter: float,
    attempts: int,
    now_ms: int,
    expires_ms: int,
    unit_random: float,
    *,
    at_least_s: float = 0.0,
) -> int | None:
    """Say when to try again after the ``attempts``-th failure, or None when the message has expired.

    ``jitter`` 0.2 spreads the delay evenly over 80 to 120 %; ``unit_random`` is in [0, 1). ``at_least_s`` is the
    cool-down of the verdict: the later of the two counts, and the jitter only adds to a cool-down.

    A next attempt that would fall past the expiry is *not* a reason to bounce early. The sender was promised mail kept
    until ``expires_ms``, a short outage may end before it, and so the last attempt is moved forward to a minute before
    the expiry. Only with no such minute left is the answer None: the caller bounces when the expiry comes.
    """
    delay = delay_s(delays_s, attempts) * (1.0 - jitter + 2.0 * jitter * unit_random)
    rest = min(max(at_least_s, 0.0), MAX_DELAY_S) * (1.0 + jitter * unit_random)
    due_ms = now_ms + round(max(delay, rest) * 1000)
    if due_ms < expires_ms:
        return due_ms
    last_ms = expires_ms - LAST_CHANCE_MS
    return last_ms if last_ms > now_ms and now_ms + round(rest * 1000) <= last_ms else None


def postponed_ms(now_ms: int, until_ms: int, unit_random: float, *, spread_ms: int = 1000) -> int:
    """Say when a postponed recipient is due: at ``until_ms`` or a moment later, so that not all wake at once."""
    return max(now_ms, until_ms) + round(spread_ms * unit_random)
