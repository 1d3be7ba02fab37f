"""The few durations everything else follows from, and the inequalities that make them safe (coordination-review §1).

Pure values in milliseconds. T is the lease's time to live; it counts at the store from when a renewal arrives, with
us from just before the renewal was sent, so ours always ends first.
"""

from dataclasses import dataclass
from typing import Final

TTL_MIN_MS: Final = 3_000
"""etcd lengthens leases below 1.5 × its election timeout."""
MARGIN_MIN_MS: Final = 500
"""Drift of clocks (500 ppm × T), the kernel's lateness with address lifetimes (≤ 350 ms), and the time to stop."""
KERNEL_ALLOWANCE_MS: Final = 1_000
"""Taken off an IPv4 address's lifetime for the kernel's lateness (measured ≤ 350 ms)."""
KERNEL_ALLOWANCE_V6_MS: Final = 2_000
"""The kernel looks at IPv6 lifetimes at most once a second (addrconf_verify; measured up to 720 ms late)."""


class UnsafeTiming(ValueError):  # noqa: N818 - names a property
    """The durations given would let a holder and its successor overlap, or lose sessions at every hiccup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Durations of one session; refuses unsafe ones when made."""

    ttl_ms: int
    renew_ms: int
    timeout_ms: int
    margin_ms: int
    takeover_wait_ms: int = 3_000
    """After an unclean end, for who is not on the address's list, as promises between others may still run; 0 when
    fallback is off."""
    settled_ms: int = 0
    """After an unclean end, for everybody, where addresses may be taken early: a taker's end must not cut its wait."""
    hold_ms: int = 60_000
    """No address goes home by itself before it has stayed this long."""

    def __post_init__(self) -> None:
        """Check; raises UnsafeTiming saying which inequality fails."""
        if self.ttl_ms < TTL_MIN_MS or self.ttl_ms % 1_000:
            raise UnsafeTiming(f"ttl {self.ttl_ms} ms: at least {TTL_MIN_MS} ms and whole seconds")
        if self.margin_ms < MARGIN_MIN_MS:
            raise UnsafeTiming(f"margin {self.margin_ms} ms: at least {MARGIN_MIN_MS} ms")
        if self.renew_ms <= 0 or self.timeout_ms <= 0 or min(self.takeover_wait_ms, self.settled_ms) < 0:
            raise UnsafeTiming("renew and timeout must be positive, waits not negative")
        needed = 2 * self.renew_ms + self.timeout_ms + self.margin_ms
        if needed > self.ttl_ms:
            raise UnsafeTiming(f"2 x renew + timeout + margin = {needed} ms must fit into the ttl of {self.ttl_ms} ms")

    @property
    def ttl_s(self) -> int:
        """T in whole seconds, as the store wants it."""
        return self.ttl_ms // 1_000

    @property
    def silent_ms(self) -> int:
        """Without an answer for this long, the store counts as out of reach."""
        return self.renew_ms + self.timeout_ms


STEADY: Final = Timing(ttl_ms=10_000, renew_ms=1_000, timeout_ms=2_000, margin_ms=500)
FAST: Final = Timing(ttl_ms=5_000, renew_ms=1_000, timeout_ms=1_000, margin_ms=500)
PRESETS: Final = {"steady": STEADY, "fast": FAST}
