"""Rows an administrator adds before the built-in reply table, and their translation into it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from node.policy.reply import Stage
from node.policy.table.row import BEFORE_MAIL, Row
from node.policy.verdict import Outcome, Scope
from node.settings.base import Part
from node.settings.units import Seconds

SOURCE = "configuration"


class ReplyRule(Part):
    """What one kind of reply means here; every condition given must hold, and one at least is needed."""

    reason: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    """Word for it in metrics and journeys."""
    codes: tuple[int, ...] = ()
    """Three digits, or one for a whole class."""
    enhanced: tuple[str, ...] = ()
    """Enhanced codes such as 5.7.64, or a range such as 5.7.606-649."""
    text: tuple[str, ...] = ()
    """Pieces that must all occur; letters' case does not matter."""
    any_text: tuple[str, ...] = ()
    """Pieces of which one must occur."""
    stages: tuple[Stage, ...] = ()
    """Only answers to these."""
    paths: tuple[str, ...] = ()
    """Only on these path kinds."""
    scope: Scope
    """Whom the reply concerns."""
    outcome: Literal[Outcome.RETRY, Outcome.SWITCH, Outcome.BOUNCE, Outcome.HOLD]
    """What becomes of the recipients."""
    rest: tuple[Seconds, ...] = (60.0,)
    """How long the scope rests after the first, second, ... time; the last repeats."""
    alert: bool = False
    """A person must act."""

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if not (self.codes or self.enhanced or self.text or self.any_text):
            raise ValueError("say which replies are meant: codes, enhanced, text or any_text")
        if self.outcome is Outcome.BOUNCE and self.stages and set(self.stages) <= BEFORE_MAIL:
            raise ValueError("outcome: a refusal before MAIL says nothing about a message and cannot bounce one")
        if row_of(self).spins:
            raise ValueError(f"outcome: switch with scope {self.scope} has no end, mail would go round for ever")
        return self


def row_of(rule: ReplyRule) -> Row:
    """Give the rule as a row of the reply table."""
    return Row(
        reason=rule.reason,
        scope=rule.scope,
        outcome=rule.outcome,
        source=SOURCE,
        codes=rule.codes,
        enhanced=rule.enhanced,
        text=tuple(piece.lower() for piece in rule.text),
        any_text=tuple(piece.lower() for piece in rule.any_text),
        stages=rule.stages,
        paths=rule.paths,
        schedule=rule.rest,
        alert=rule.alert,
    )


def reply_rows(rules: tuple[ReplyRule, ...]) -> tuple[Row, ...]:
    """Give all configured rows in their order, for the classifier's ``first``."""
    return tuple(row_of(rule) for rule in rules)
