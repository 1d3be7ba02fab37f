"""One row of the reply table: which replies it means and what they mean. Data only; ``classify`` does the matching."""

from typing import Final

import msgspec

from node.policy.reply import Reply, Stage, stripped
from node.policy.verdict import Hint, Narrow, Outcome, Scope, Verdict

ANY_M365: Final = ("submission", "connector", "hve", "direct-send", "acs", "graph")
"""Every path that ends at Microsoft; a smart host words its replies differently."""
LOGIN: Final = ("submission", "hve", "acs")
MAILBOX: Final = ("submission", "graph", "hve")
MX: Final = ("connector", "direct-send")

BEFORE_MAIL: Final = frozenset({Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.TLS, Stage.TOKEN, Stage.AUTH})
"""A refusal here says nothing about the message (facts m365 §4.1, rule 4)."""

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
NOTHING_RESTS: Final = frozenset({Scope.MESSAGE, Scope.RECIPIENT, Scope.CONNECTION})
"""Verdicts on these keep no way from being tried again: switching at once must end in a bounce, or it would spin."""
CLASS_DIGITS: Final = 10
"""Entries of ``codes`` below this are classes: 4 means every 4xx."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of reply. Empty conditions match everything; all given ones must hold (facts m365 §4.1)."""

    reason: str
    scope: Scope
    outcome: Outcome
    source: str
    codes: tuple[int, ...] = ()
    """Three digits, or one digit for a class; 0: the connection failed. HTTP statuses too. Empty: any but 0."""
    enhanced: tuple[str, ...] = ()
    """Exact (``5.7.64``) or a range of the last part (``5.7.606-649``)."""
    text: tuple[str, ...] = ()
    """Pieces that must all occur, lower-case."""
    any_text: tuple[str, ...] = ()
    """Pieces of which one must occur, lower-case."""
    stages: tuple[Stage, ...] = ()
    paths: tuple[str, ...] = ()
    schedule: tuple[float, ...] = ()
    """Rest in seconds by strike; the last repeats."""
    avoid: tuple[str, ...] = ()
    """Path kinds that would answer alike: not the next to be tried with this mail while there are others."""
    then: Outcome | None = None
    """Outcome once the same reason has come ``tries`` times for a recipient."""
    tries: int = 1
    alert: bool = False
    park: bool = False
    narrow: Narrow = Narrow.ALL
    hint: Hint = Hint.NONE
    widens: bool = False
    stops_client: bool = False
    examples: tuple[str, ...] = ()
    """Reply lines this row is meant for, as an upstream words them; used by tests and the simulator."""

    def matches(self, path: str, stage: Stage, reply: Reply, words: str) -> bool:
        """Tell whether the reply is of this kind; ``words`` is its text stripped and lower-case."""
        return (
            self._code_fits(reply.code)
            and (not self.stages or stage in self.stages)
            and (not self.paths or path in self.paths)
            and (not self.enhanced or any(_covers(pattern, reply.enhanced) for pattern in self.enhanced))
            and all(piece in words for piece in self.text)
            and (not self.any_text or any(piece in words for piece in self.any_text))
        )

    def _code_fits(self, code: int) -> bool:
        return (code in self.codes or (code > 0 and code // 100 in self.codes)) if self.codes else code > 0

    @property
    def weight(self) -> tuple[int, int]:
        """How specific the row is: text counts most, then an exact enhanced code; ties by length of text."""
        ranged = any("-" in pattern for pattern in self.enhanced)
        points = 4 * len(self.text) + (4 if self.any_text else 0)
        points += 0 if not self.enhanced else 2 if ranged else 3
        points += any(code >= CLASS_DIGITS for code in self.codes) + bool(self.stages) + bool(self.paths)
        shortest = min((len(piece) for piece in self.any_text), default=0)
        return points, sum(map(len, self.text)) + shortest

    @property
    def spins(self) -> bool:
        """Tell whether the row could send mail back and forth between ways without a rest or an end."""
        last = self.then or self.outcome
        return self.scope in NOTHING_RESTS and (
            last is Outcome.SWITCH or (self.outcome is Outcome.SWITCH and last is not Outcome.BOUNCE)
        )

    def verdict(self) -> Verdict:
        """Give the judgement for a first occurrence."""
        return Verdict(
            scope=self.scope,
            outcome=self.outcome,
            reason=self.reason,
            cool_down_s=self.schedule[0] if self.schedule else 0.0,
            alert=self.alert,
            source=self.source,
            schedule=self.schedule,
            park=self.park,
            narrow=self.narrow,
            hint=self.hint,
            widens=self.widens,
            stops_client=self.stops_client,
        )


def words_of(reply: Reply) -> str:
    """Give the text rows are matched against: brackets off, lower-case, single spaces."""
    return " ".join(stripped(reply.text).lower().split())


def _covers(pattern: str, enhanced: str) -> bool:
    low, dash, high = pattern.partition("-")
    if not dash:
        return enhanced == low
    prefix, _, first = low.rpartition(".")
    head, _, last = enhanced.rpartition(".")
    return head == prefix and last.isdigit() and int(first) <= int(last) <= int(high)
