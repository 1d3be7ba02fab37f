"""What one node used of the limits of a day, out of its own spool: for a store that has forgotten it (``disaster``).

Recipients are counted at the latest time their attempt can have ended, so they stay counted at least as long as
upstream. Clients' own limits are not in it: nobody upstream counts them.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from coordinator.budget.lots import quarter_of
from coordinator.budget.raising import together
from coordinator.budget.shares import Overdrawn
from node.cluster.rebuild import PastAttempt, ended
from node.errors import PermanentError

AGE_MAX_MS = 3_600_000
"""An older ledger may lack what its node used since."""


class BadLedgersError(PermanentError):
    """The ledgers are not those of this cluster's nodes, each once and of now."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Of one node, as JSON between ``disaster ledger`` and ``disaster rebuild``."""

    cluster: str
    node: str
    made_ms: int
    revision: int
    """The newest of the store this node knew."""
    units: dict[str, dict[str, int]]
    """By ``<account>/day`` and ``<tenant>/external``, the key below ``budget/``: units by start of their quarter."""


def ledger_of(cluster: str, node: str, attempts: Sequence[PastAttempt], now_ms: int, *, revision: int) -> Ledger:
    """Count the attempts of the last 25 h; those without an outcome are taken to end now."""
    units: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for end in ended(attempts, now_ms):
        start, quarter = end.attempt.start, str(quarter_of(end.at_ms))
        if start.account and end.attempt.recipients:
            units[f"{start.account}/day"][quarter] += end.attempt.recipients
        if start.tenant and start.external:
            units[f"{start.tenant}/external"][quarter] += start.external
    whole = {place: dict(counts) for place, counts in units.items()}
    return Ledger(cluster=cluster, node=node, made_ms=now_ms, revision=revision, units=whole)


def checked(ledgers: Sequence[Ledger], cluster: str, nodes: Sequence[str], lost: Sequence[str], now_ms: int) -> None:
    """See that every node's ledger is there, or the node said to be lost. Raises BadLedgersError with every fault."""
    given = [ledger.node for ledger in ledgers]
    faults = [f"{each.node}: a ledger of cluster {each.cluster!r}" for each in ledgers if each.cluster != cluster]
    faults += [f"{each.node}: made more than an hour ago" for each in ledgers if now_ms - each.made_ms > AGE_MAX_MS]
    faults += [f"{node}: is no node of this cluster" for node in sorted({*given, *lost} - set(nodes))]
    faults += [f"{node}: two ledgers" for node in sorted({node for node in given if given.count(node) > 1})]
    faults += [f"{node}: both a ledger and said to be lost" for node in sorted({*given} & {*lost})]
    missing = sorted(set(nodes) - {*given} - {*lost})
    faults += [f"{node}: no ledger, and not said to be lost (--without {node})" for node in missing]
    if faults:
        raise BadLedgersError("; ".join(faults))


def floors(ledgers: Sequence[Ledger]) -> dict[str, dict[str, int]]:
    """Give what all used together, by place and quarter. Raises BadLedgersError."""
    places = sorted({place for ledger in ledgers for place in ledger.units})
    try:
        return {place: together(ledger.units.get(place, {}) for ledger in ledgers) for place in places}
    except Overdrawn as error:
        raise BadLedgersError(str(error)) from None
