"""A From an account has not sent for yet is tried by one attempt at a time, until one succeeds.

Whether an account may send as a From is known only from the answer to the whole message (facts m365 §4.4,
SendAsDenied), and until it comes as many attempts as the account has sessions would start, all to be refused alike. At
30 messages a minute an account loses little by it: most replies take less than the two seconds between messages. In
memory only and of this node only.
"""

from typing import Final

from node.policy.route import Way
from node.policy.verdict import Outcome, Scope, Verdict

PATIENCE_MS: Final = 20_000
"""Who has heard nothing for so long may wait ten minutes (RFC 5321 §4.5.3.2.6): another one tries meanwhile."""
MAX_WORKED: Final = 10_000


class Trials:
    """Pairs of account and From: what is under way on each, and which have worked. Paths without accounts have none."""

    def __init__(self) -> None:
        """Know of nothing that works."""
        self._under_way: dict[tuple[str, str], tuple[int, int]] = {}
        """How many, and when the last of them began."""
        self._worked: dict[tuple[str, str], None] = {}

    def under_way(self, way: Way, sender: str, now_ms: int) -> bool:
        """Tell whether an attempt is finding out, and can be waited for."""
        pair = way.account, sender.lower()
        found = self._under_way.get(pair)
        return found is not None and now_ms - found[1] < PATIENCE_MS and pair not in self._worked

    def began(self, way: Way, sender: str, now_ms: int) -> None:
        """An attempt starts."""
        if way.account:
            pair = way.account, sender.lower()
            self._under_way[pair] = self._under_way.get(pair, (0, 0))[0] + 1, now_ms

    def ended(self, way: Way, sender: str) -> None:
        """It ended, whatever it showed."""
        pair = way.account, sender.lower()
        count, began_ms = self._under_way.pop(pair, (0, 0))
        if count > 1:
            self._under_way[pair] = count - 1, began_ms

    def showed(self, way: Way, sender: str, verdict: Verdict) -> None:
        """Remember who may send as whom; the pair that worked first is forgotten first."""
        pair = way.account, sender.lower()
        if verdict.scope is Scope.ACCOUNT_FROM:
            self._worked.pop(pair, None)
        elif verdict.outcome is Outcome.DELIVERED and way.account and pair not in self._worked:
            if len(self._worked) >= MAX_WORKED:
                del self._worked[next(iter(self._worked))]
            self._worked[pair] = None
