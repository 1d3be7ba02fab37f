"""A dead holder's share comes back H + W after the later of its end and our session's begin, not a moment sooner."""

import pytest

from coordinator.budget import holding as holdings
from coordinator.budget import shares
from coordinator.budget.reserve import ElasticPermits
from coordinator.session import Phase, Session
from coordinator.store.contract import Item
from coordinator.timing import STEADY
from node.cluster.parts import Moment
from node.cluster.permit_part import PermitPart

H_MS, W_MS, LIMIT = 60_000, 60_060, 30
BEGAN_MS = 1_000_000
KEY = "/m365-relay/test/budget/a/permits"


def moment(boot_ms: int, gone_ms: int) -> Moment:
    session = Session(
        timing=STEADY, phase=Phase.LIVE, lease=7, inc=5, began_ms=BEGAN_MS, renewed_ms=boot_ms, heard_ms=boot_ms
    )
    return Moment(
        now_ms=boot_ms, boot_ms=boot_ms, session=session, boot="boot", gone_ms=lambda _: gone_ms,
        closed=lambda _: False, nodes=frozenset({"me", "dead"}),
    )  # fmt: skip


def reclaims(boot_ms: int, gone_ms: int) -> bool:
    part = PermitPart(
        KEY, "me", ElasticPermits(limit=0, window_ms=W_MS, settle_ms=H_MS), settle_ms=H_MS, on_more=lambda: None
    )
    part.resize(LIMIT, W_MS, 0, BEGAN_MS)
    record = shares.take(shares.take(shares.fresh(LIMIT), "dead", LIMIT).record, "me", LIMIT).record
    item = Item(key=KEY, value=holdings.encode(record), create_revision=2, mod_revision=3)
    at = moment(boot_ms, gone_ms)
    part.news(KEY, item, 3, at)
    part.begin(at)
    moved = [write.value for proposal in part.proposals(at) for write in proposal.writes]
    return bool(moved) and b"share/dead" not in moved[0]


@pytest.mark.parametrize("gone_ms", [BEGAN_MS - 500_000, BEGAN_MS + 40_000])
def test_not_before_the_settle_horizon_and_a_window(gone_ms):
    due_ms = max(gone_ms, BEGAN_MS) + H_MS + W_MS
    assert not reclaims(due_ms - 1, gone_ms)
    assert reclaims(due_ms, gone_ms)
