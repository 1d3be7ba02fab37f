"""One limit that keeps two: whatever the schedule, a window of either length holds no more than it may."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.settings.rates import narrowed
from node.settings.units import Rate


def most(rate: Rate, window_s: float) -> int:
    """The most that fits a window while *rate* is kept, whoever chooses the moments."""
    return rate.amount * max(1, math.ceil(window_s / rate.window_s - 1e-9))


@pytest.mark.parametrize(
    ("short", "long", "both"),
    [
        (Rate(30, 60.0), Rate(100, 3600.0), Rate(25, 900.0)),
        (Rate(5, 60.0), Rate(10, 3600.0), Rate(5, 1800.0)),
        (Rate(30, 60.0), Rate(100_000, 3600.0), Rate(30, 60.0)),
        (Rate(100, 60.0), Rate(100, 3600.0), Rate(100, 3600.0)),
    ],
)
def test_the_rate_that_keeps_both(short, long, both):
    assert narrowed(short, long) == both


@given(
    st.integers(1, 10_000), st.integers(1, 1_000_000), st.sampled_from([1.0, 60.0]), st.sampled_from([3600.0, 86400.0])
)
def test_no_window_of_either_holds_more_than_it_may(few, many, short_s, long_s):
    short, long = Rate(few, short_s), Rate(many, long_s)
    both = narrowed(short, long)
    assert 1 <= most(both, short_s) <= few
    assert most(both, long_s) <= max(many, math.ceil(long_s / both.window_s - 1e-9))
