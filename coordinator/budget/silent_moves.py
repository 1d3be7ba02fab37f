"""Permits that move between holders while the store is silent, by their own books (coordination-review §5).

Each pair of holders keeps a running total of what one ever gave the other; totals only grow, so either may write them
into the record later, once (``shares.settle_moved``). Pure.
"""

from dataclasses import replace

from coordinator.budget import shares
from coordinator.budget.holding import Holding
from coordinator.budget.shares import Record


def moved_to(holding: Holding, giver: str, taker: str, total: int) -> Holding:
    """By our books so many permits were ever moved between two holders without the store; totals only grow."""
    pair = f"{giver}/{taker}"
    return replace(holding, moved={**holding.moved, pair: max(total, moved_total(holding, giver, taker))})


def moved_total(holding: Holding, giver: str, taker: str) -> int:
    """The running total, by our books or the record."""
    written = (holding.record or {}).get(f"{shares.MOVED}{giver}/{taker}", 0)
    return max(written, holding.moved.get(f"{giver}/{taker}", 0))


def givable(holding: Holding) -> int:
    """Permits that may be given without the store: of our part in the record, never such as came without it.

    So what was given is never more than the record has for us, and all read the same whoever writes it down first.
    """
    if holding.record is None:
        return 0
    parts = [holding.record] if holding.sent is None else [holding.record, holding.sent]
    return min(shares.share_of(record, holding.holder) - _given_away(holding, record) for record in parts)


def _given_away(holding: Holding, record: Record) -> int:
    own = f"{holding.holder}/"
    given = [(pair, total) for pair, total in holding.moved.items() if pair.startswith(own)]
    return sum(max(0, total - record.get(shares.MOVED + pair, 0)) for pair, total in given)


def remembered(holding: Holding, share: int) -> Holding:
    """After a restart while the store is silent: what we held by our own notes, all of it just used."""
    record = {
        **shares.fresh(holding.limit),
        shares.POOL: max(0, holding.limit - share),
        shares.SHARE + holding.holder: share,
    }
    return replace(holding, record=record, inc=0, revision=0, sent=None, unsure=False)
