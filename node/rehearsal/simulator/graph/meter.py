"""Graph's own limits for one application and mailbox: requests at once, requests and uploaded bytes in a window. Pure.

Source: facts m365 §1.2 F, §2.1: 4 at once, 10,000 requests in 10 minutes, 150 MB in 5 minutes.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from node.rehearsal.simulator.limits import GraphLimits

WINDOW_S: Final = 600.0
UPLOAD_S: Final = 300.0


@dataclass(slots=True)
class GraphMeter:
    """What one application does to one mailbox."""

    limits: GraphLimits
    open: int = 0
    peak: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    _times: deque[float] = field(default_factory=deque)
    _uploads: deque[tuple[float, int]] = field(default_factory=deque)

    def enter(self, now_s: float) -> str:
        """A request begins; gives what is exceeded by it: ``concurrency``, ``requests`` or nothing."""
        self.open += 1
        self.peak = max(self.peak, self.open)
        self.counts["requests"] += 1
        self._times.append(now_s)
        while self._times and self._times[0] <= now_s - WINDOW_S:
            self._times.popleft()
        if self.open > self.limits.concurrency:
            self.violations["graph_concurrency"] += 1
            return "concurrency"
        if len(self._times) > self.limits.requests:
            self.violations["graph_requests"] += 1
            return "requests"
        return ""

    def leave(self) -> None:
        """It ended."""
        self.open -= 1

    def upload_fits(self, now_s: float, size_bytes: int) -> bool:
        """Count bytes uploaded; False: too many in the window."""
        while self._uploads and self._uploads[0][0] <= now_s - UPLOAD_S:
            self._uploads.popleft()
        if sum(size for _, size in self._uploads) + size_bytes > self.limits.upload:
            self.violations["graph_upload"] += 1
            return False
        self._uploads.append((now_s, size_bytes))
        return True

    def report(self) -> dict[str, Any]:
        """Give the figures for the statistics."""
        return {**self.counts, "concurrency_peak": self.peak, "violations": dict(self.violations)}
