"""The two clocks of this room: the wall, for what is written down, and a steady one, for budgets.

A budget must never see time jump forward, or it would let a window's worth of mail out at once; what lies in the
spool is dated by the wall, as intake and operators see it. Only this file reads clocks.
"""

import time

_ANCHOR_NS = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ns() -> int:
    """Nanoseconds since the epoch, for spans."""
    return time.time_ns()


def wall_ms() -> int:
    """Milliseconds since the epoch, for the spool."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds since the epoch as of this process's start, counted on by the boot clock, for budgets."""
    return (_ANCHOR_NS + time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000
