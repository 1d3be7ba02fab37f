"""How much mail moves through this node: totals read from its metrics when somebody looks, kept for a while. Pure."""

from collections import deque
from typing import Final

import msgspec

from node.policy.exposition import sums

TOTALS: Final = {
    "accepted": "relay_messages_accepted",
    "delivered": "relay_recipients_delivered",
    "deferred": "relay_recipients_deferred",
    "bounced": "relay_recipients_bounced",
    "refused": "relay_intake_refused",
}
EVERY_MS: Final = 1_000
"""The metrics are read no more often, however many look."""
SAMPLES_MAX: Final = 600


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the node's start, at one moment."""

    at_ms: int
    totals: dict[str, float]


class Flow:
    """The samples of one node."""

    def __init__(self) -> None:
        """None yet."""
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    def due(self, now_ms: int) -> bool:
        """Tell whether the metrics should be read again."""
        return not self._samples or not -EVERY_MS < now_ms - self._samples[-1].at_ms < EVERY_MS

    def take(self, exposition: str, now_ms: int) -> None:
        """Read Prometheus' text; nothing when somebody else has just done so."""
        if not self.due(now_ms):
            return
        found = sums(exposition)
        totals = {label: found.get(name, 0.0) for label, name in TOTALS.items()}
        if self._samples and self._samples[-1].at_ms >= now_ms:  # a clock that was put back
            self._samples.clear()
        self._samples.append(Sample(at_ms=now_ms, totals=totals))

    @property
    def totals(self) -> dict[str, float]:
        """The newest totals."""
        return self._samples[-1].totals if self._samples else dict.fromkeys(TOTALS, 0.0)

    def rates(self) -> dict[str, float]:
        """Give what moves in a second, between the last two looks."""
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate takes two
            return dict.fromkeys(TOTALS, 0.0)
        return _between(self._samples[-2], self._samples[-1])

    def series(self) -> dict[str, list[float]]:
        """Give each rate at each look: ``at_s`` and a list for each of TOTALS."""
        pairs = list(zip(self._samples, list(self._samples)[1:], strict=False))
        found: dict[str, list[float]] = {"at_s": [after.at_ms / 1000 for _, after in pairs]}
        rates = [_between(before, after) for before, after in pairs]
        return found | {label: [each[label] for each in rates] for label in TOTALS}


def _between(before: Sample, after: Sample) -> dict[str, float]:
    seconds = max(after.at_ms - before.at_ms, 1) / 1000
    # Reported numbers start from nought again when a worker did.
    return {label: max(0.0, after.totals[label] - before.totals[label]) / seconds for label in TOTALS}
