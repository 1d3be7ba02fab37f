"""From a reply to a judgement: the most specific row of the table wins, then the defaults (facts m365 §4).

Pure; knows nothing of connections. Three laws stand above every row, built in or configured: an answer lost after the
final dot is *unknown*; a refusal before MAIL, and 530 anywhere, never bounces; only a 2xx after the dot delivers.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.policy.reply import NOT_SENT, Reply, Stage
from node.policy.table import TABLE
from node.policy.table.defaults import DEFAULTS, DELIVERED, GARBLED, LOST_ANSWER
from node.policy.table.row import BEFORE_MAIL, Row, words_of
from node.policy.verdict import Hint, Outcome, Verdict

FINAL_ANSWER: Final = frozenset({Stage.DOT, Stage.HTTP})
"""Stages at which the message has been handed over and only the answer counts."""
LOGIN_DEMANDED: Final = 530
MANY_ATTEMPTS: Final = 5
"""After this many attempts a row's last word counts even if the ways refuse in different words each time."""


class Classifier:
    """The reply table, ordered for matching. Immutable after construction; safe to share."""

    def __init__(self, rows: Iterable[Row] = TABLE, *, first: Iterable[Row] = ()) -> None:
        """Order the built-in ``rows`` by how specific they are; rows ``first`` (configured) go before all, in order."""
        self.rows: Final = (*first, *sorted(rows, key=lambda row: row.weight, reverse=True))
        known = (*self.rows, *DEFAULTS)
        self.avoided: Final = {row.reason: row.avoid for row in known if row.avoid}
        """By reason: path kinds that would refuse the mail in the same way."""
        self.alone: Final = frozenset(row.reason for row in known if row.hint is Hint.ALONE)
        """Reasons after which each recipient is tried in a transaction of its own."""
        self._ending = frozenset(row.reason for row in (*self.rows, *DEFAULTS) if row.then is Outcome.BOUNCE)
        self._verdicts = {id(row): row.verdict() for row in (*self.rows, *DEFAULTS, DELIVERED, GARBLED, LOST_ANSWER)}

    def match(self, path: str, stage: Stage, reply: Reply) -> Row | None:
        """Give the row that means this reply, or None if no row of the table does."""
        words = words_of(reply)
        return next(
            (row for row in self.rows if _allowed(row, stage, reply) and row.matches(path, stage, reply, words)), None
        )

    def row(self, path: str, stage: Stage, reply: Reply) -> Row:
        """Give the row that decides, the laws and defaults included; reasons of defaults start ``unclassified``."""
        final = stage in FINAL_ANSWER
        if reply.code // 100 in (0, 1, 3) and final and not reply.text.startswith(NOT_SENT):
            return LOST_ANSWER
        if reply.code // 100 not in (0, 4, 5):
            return DELIVERED if final and reply.code // 100 == DELIVERED.codes[0] else GARBLED
        return self.match(path, stage, reply) or _default(path, stage, reply)

    def classify(
        self, path: str, stage: Stage, reply: Reply, *, last_reason: str = "", last_reply: str = "", attempts: int = 0
    ) -> Verdict:
        """Judge one reply for one recipient.

        ``last_reason``, ``last_reply`` and ``attempts`` are the recipient's history as the spool keeps it: a row that
        says "one other account, then bounce" needs them. Without history every reply is judged as the first.
        """
        row = self.row(path, stage, reply)
        verdict = self._verdicts[id(row)]
        if row.then is None:
            return verdict
        repeated = last_reason == row.reason and attempts >= row.tries and _same(reply, last_reply)
        worn_out = last_reason in self._ending and attempts >= max(MANY_ATTEMPTS, row.tries)
        return msgspec.structs.replace(verdict, outcome=row.then) if repeated or worn_out else verdict


def _same(reply: Reply, last_reply: str) -> bool:
    """Tell whether the last reply carried the same enhanced code; unknown counts as the same."""
    return not last_reply or not reply.enhanced or reply.enhanced in last_reply.split()


def _allowed(row: Row, stage: Stage, reply: Reply) -> bool:
    says_nothing = stage in BEFORE_MAIL or reply.code == LOGIN_DEMANDED
    return not (says_nothing and Outcome.BOUNCE in (row.outcome, row.then))


def _default(path: str, stage: Stage, reply: Reply) -> Row:
    return next(
        (row for row in DEFAULTS if _allowed(row, stage, reply) and row.matches(path, stage, reply, "")), GARBLED
    )
