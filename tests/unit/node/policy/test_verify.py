"""Mail of unknown outcome that was looked for: only a find says delivered, absence only with a proof."""

from itertools import product

import pytest

from node.policy.envelope import RecipientState
from node.policy.verify import Evidence, next_look_ms, verified

S = RecipientState
SETTLE, PATIENCE = 300_000, 3_600_000


def step(**more):
    made = verified(Evidence(**more), SETTLE, PATIENCE)
    return made.state, made.reason


PROVEN = {"place": True, "absent": True, "keeps_copies": True, "proven": True, "waited_ms": SETTLE}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"found": "sent_items", "place": True}, (S.DELIVERED, "verified_sent_items")),
        ({"found": "trace", "place": True, "waited_ms": PATIENCE}, (S.DELIVERED, "verified_trace")),
        ({}, (S.HELD, "unknown_verify")),
        ({"place": True}, (None, "")),
        (PROVEN, (S.QUEUED, "verified_absent")),
        (PROVEN | {"waited_ms": SETTLE - 1}, (None, "")),
        (PROVEN | {"absent": False}, (None, "")),
        (PROVEN | {"keeps_copies": False}, (None, "")),
        (PROVEN | {"proven": False}, (None, "")),
        (PROVEN | {"proven": False, "waited_ms": PATIENCE}, (S.HELD, "unknown_unproven")),
        (PROVEN | {"waited_ms": PATIENCE}, (S.QUEUED, "verified_absent")),
    ],
)
def test_the_table(more, wanted):
    assert step(**more) == wanted


def test_it_is_sent_again_only_with_every_proof_and_never_when_found():
    for found, place, absent, keeps, proven, waited in product(
        ("", "trace"), (0, 1), (0, 1), (0, 1), (0, 1), (0, SETTLE, PATIENCE)
    ):
        state, _ = step(
            found=found,
            place=bool(place),
            absent=bool(absent),
            keeps_copies=bool(keeps),
            proven=bool(proven),
            waited_ms=waited,
        )
        assert (state is S.DELIVERED) == bool(found)
        if state is S.QUEUED:
            assert place
            assert absent
            assert keeps
            assert proven
            assert waited >= SETTLE


def test_looks_come_early_then_at_the_settling_time_then_seldom_and_at_the_end():
    looks, waited = [], 0
    while waited < PATIENCE:
        waited = next_look_ms(waited, SETTLE, PATIENCE)
        looks.append(waited)
    assert looks[:6] == [5_000, 15_000, 50_000, 150_000, 300_000, 450_000]
    assert looks[-1] == PATIENCE
    assert len(looks) < 40


@pytest.mark.parametrize(("settle", "patience"), [(1, 1), (0, 0), (5_000, 1_000), (1_000, 10**9)])
def test_time_goes_on_whatever_the_settings(settle, patience):
    waited = 0
    for _ in range(50):
        later = next_look_ms(waited, settle, patience)
        assert later > waited
        waited = later
