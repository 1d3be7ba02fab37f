"""A From an account has not sent for yet is tried by one attempt at a time, until one succeeds.

Whether an account may send as a From is known only from the answer to the whole message (facts m365 §4.4,
SendAsDenied), and until it comes as many attempts as the account has sessions would start, all to be refused alike. At
30 messages a minute an account loses little by it: most replies take less than the two seconds between messages. In
memory only and of this node only.
"""

from collections import Counter
from typing import Final

from node.policy.route import Way
from node.policy.verdict import Outcome, Scope, Verdict

AT_ONCE: Final = 1
"""The one that finds out. A refusal may be false, so a second attempt comes after a minute (there)."""
MAX_WORKED: Final = 10_000


class Trials:
    """Pairs of account and From: what is under way on each, and which have worked. Paths without accounts have none."""

    def __init__(self) -> None:
        """Know of nothing that works."""
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._worked: dict[tuple[str, str], None] = {}

    def enough(self, way: Way, sender: str) -> bool:
        """Tell whether as many attempts as may find out are under way."""
        pair = way.account, sender.lower()
        return self._under_way.get(pair, 0) >= AT_ONCE and bool(way.account) and pair not in self._worked

    def began(self, way: Way, sender: str) -> None:
        """An attempt starts."""
        if way.account:
            self._under_way[way.account, sender.lower()] += 1

    def ended(self, way: Way, sender: str) -> None:
        """It ended, whatever it showed."""
        pair = way.account, sender.lower()
        self._under_way[pair] -= 1
        if self._under_way[pair] <= 0:
            del self._under_way[pair]

    def showed(self, way: Way, sender: str, verdict: Verdict) -> None:
        """Remember who may send as whom; the pair that worked first is forgotten first."""
        pair = way.account, sender.lower()
        if verdict.scope is Scope.ACCOUNT_FROM:
            self._worked.pop(pair, None)
        elif verdict.outcome is Outcome.DELIVERED and way.account and pair not in self._worked:
            if len(self._worked) >= MAX_WORKED:
                del self._worked[next(iter(self._worked))]
            self._worked[pair] = None
