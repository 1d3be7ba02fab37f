"""Judges a sender's ledger, a receiver's history and what was done in between. Pure.

Nothing the relay counts itself is asked: only what stood outside it, and saw, speaks.
"""

from collections.abc import Iterable

from node.rehearsal.checking import limits, promises
from node.rehearsal.checking.records import Any
from node.rehearsal.checking.verdict import Verdict
from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.ledger import Entry


def check(ledger: Iterable[Entry], receiver: Iterable[Any], others: Iterable[Any] = ()) -> Verdict:
    """Decide I1, I2 and I5; raises RehearsalInputError when the histories cannot decide anything."""
    seen = limits.read(receiver)
    told = promises.gather(ledger, seen.operations)
    found = promises.judge(told, others)
    if not found.accepted_messages:
        raise RehearsalInputError("the ledgers promise no message at all: there is nothing to judge")
    if unlimited := limits.unlimited(seen):
        raise RehearsalInputError(f"the history tells no limit of {', '.join(unlimited[:5])}")
    worst, overshoot, violations = limits.judge(seen)
    return Verdict(
        accepted_messages=found.accepted_messages,
        accepted=found.accepted,
        delivered=found.delivered,
        kept=found.kept,
        lost=found.lost,
        duplicates=tuple(found.duplicates),
        worst=worst,
        overshoot=overshoot,
        violations=tuple(sorted([*violations, *found.violations], key=lambda one: one.at_ms)),
    )
