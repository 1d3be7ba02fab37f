"""The inequalities that keep a holder and its successor apart."""

import pytest

from coordinator.timing import FAST, PRESETS, STEADY, Timing, UnsafeTiming

GOOD = {"ttl_ms": 10_000, "renew_ms": 1_000, "timeout_ms": 2_000, "margin_ms": 500}


def test_presets_leave_what_is_published():
    assert set(PRESETS) == {"steady", "fast"}
    for timing, left in ((FAST, 3_500), (STEADY, 8_500)):
        assert timing.ttl_ms - timing.margin_ms - timing.renew_ms == left
    assert (FAST.ttl_s, STEADY.ttl_s) == (5, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"ttl_ms": 2_000},
        {"ttl_ms": 10_500},
        {"margin_ms": 499},
        {"renew_ms": 4_000},
        {"timeout_ms": 7_501},
        {"renew_ms": 0},
        {"timeout_ms": -1},
        {"takeover_wait_ms": -1},
    ],
)
def test_unsafe_durations_are_refused(change):
    Timing(**GOOD)
    with pytest.raises(UnsafeTiming):
        Timing(**(GOOD | change))


def test_exactly_fitting_is_fine():
    Timing(ttl_ms=5_000, renew_ms=1_000, timeout_ms=2_500, margin_ms=500)
