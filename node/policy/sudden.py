"""Whether all of a domain's recipients are refused at once: then their directory is at fault, or the way to it. Pure.

Directory edge blocking answers 5.4.1 for each address the tenant does not know; where it answers so for everybody of an
accepted domain, nobody is bounced for it (facts m365 §4.6 row 2).
"""

from typing import Final

import msgspec

from node.policy.addresses import domain_of
from node.policy.verdict import Outcome, Verdict

REASON: Final = "directory_block"
EVERYBODY: Final = "directory_blocks_everybody"
LEAST: Final = 10
"""Different addresses of a domain refused, and none taken."""
WITHIN_MS: Final = 600_000
DOMAINS_MAX: Final = 1_000


class Sudden:
    """Remembers refusals by path and domain."""

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._refused: dict[tuple[str, str], dict[str, int]] = {}

    def judged(self, way: str, address: str, verdict: Verdict, now_ms: int) -> Verdict:
        """Take in what was said of a recipient inside; gives the verdict, or one that holds him back.

        ``way``: name of the path it was said on.
        """
        place = (way, domain_of(address).lower())
        if verdict.outcome is Outcome.DELIVERED:
            self._refused.pop(place, None)
        if verdict.reason != REASON or not self._everybody(place, address.lower(), now_ms):
            return verdict
        return msgspec.structs.replace(verdict, outcome=Outcome.HOLD, reason=EVERYBODY, alert=True)

    def _everybody(self, place: tuple[str, str], address: str, now_ms: int) -> bool:
        if place not in self._refused and len(self._refused) >= DOMAINS_MAX:
            self._refused.pop(next(iter(self._refused)))
        before = self._refused.get(place, {})
        recent = {one: at_ms for one, at_ms in before.items() if at_ms > now_ms - WITHIN_MS and one != address}
        while len(recent) >= LEAST:
            recent.pop(next(iter(recent)))
        recent[address] = now_ms
        self._refused[place] = recent
        return len(recent) >= LEAST
