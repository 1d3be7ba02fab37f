"""Clocks: a measurement is never wrong by more than it says, the outlier stops, and never everybody."""

from math import floor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coordinator.clocks import (
    ALONE,
    BOUND_MS,
    ERROR_MAX_MS,
    FRESH_MS,
    MARGIN_MAX_MS,
    UNKNOWN,
    Reading,
    Standing,
    Verdict,
    judge,
    reading,
    reading_of_date,
)

NOW_MS = 1_000_000


def seen(source: str, offset_ms: int, error_ms: int = 5, *, taken_ms: int = NOW_MS) -> Reading:
    return Reading(source=source, offset_ms=offset_ms, error_ms=error_ms, taken_ms=taken_ms)


def standing(*offsets_ms: int, nodes: int = 3, before: Verdict = UNKNOWN) -> Standing:
    heard = [seen(f"n{number}", offset_ms) for number, offset_ms in enumerate(offsets_ms)]
    return judge(heard, nodes=nodes, now_ms=NOW_MS, before=before).standing


DELAYS = st.floats(0, 5_000)
OFFSETS = st.floats(-1e9, 1e9)


@given(offset=OFFSETS, out=DELAYS, busy=DELAYS, back=DELAYS, start=st.floats(0, 1e6))
def test_the_true_offset_is_within_the_error_of_an_exchange(offset, out, busy, back, start):
    found = reading(
        "b",
        sent_ms=floor(start),
        took_ms=floor(out + busy + back),
        got_ms=floor(start + out + offset),
        answered_ms=floor(start + out + busy + offset),
        taken_ms=0,
    )
    assume(found is not None)  # cutting to milliseconds may make an exchange of no length look impossible
    assert found.offset_ms - found.error_ms <= offset <= found.offset_ms + found.error_ms
    assert found.error_ms <= (out + back) / 2 + 5


@given(offset=OFFSETS, out=DELAYS, back=DELAYS, start=st.floats(0, 1e6))
def test_the_true_offset_is_within_the_error_of_a_date(offset, out, back, start):
    found = reading_of_date(
        "date",
        date_ms=floor((start + out + offset) / 1000) * 1000,
        sent_ms=floor(start),
        took_ms=floor(out + back),
        taken_ms=0,
    )
    assert found is not None
    assert found.offset_ms - found.error_ms <= offset <= found.offset_ms + found.error_ms


@pytest.mark.parametrize(
    "figures",
    [
        {"sent_ms": 0, "took_ms": -1, "got_ms": 0, "answered_ms": 0},
        {"sent_ms": 0, "took_ms": 10, "got_ms": 5, "answered_ms": 4},
        {"sent_ms": 0, "took_ms": 10, "got_ms": 0, "answered_ms": 11},
    ],
)
def test_figures_that_cannot_be_say_nothing(figures):
    assert reading("b", **figures, taken_ms=0) is None


@pytest.mark.parametrize(
    ("offsets", "nodes", "expected"),
    [
        ((0, 0), 3, Standing.FINE),
        ((900, -900), 3, Standing.FINE),
        ((5000, 0), 3, Standing.FINE),
        ((5000, 5000), 3, Standing.OUTLIER),
        ((-5000, -5000), 3, Standing.OUTLIER),
        ((5000, 500_000), 3, Standing.OUTLIER),  # the median is 5 s away
        ((-5000, 500_000), 3, Standing.NO_MAJORITY),  # we are the median, and nobody agrees
        ((0,), 3, Standing.FINE),
        ((5000,), 3, Standing.NO_MAJORITY),
        ((), 3, Standing.NO_MAJORITY),
        ((5000,), 2, Standing.NO_MAJORITY),  # two clocks that differ: who is right?
        ((5000, 0), 2, Standing.FINE),  # the upstream's date decides
        ((5000, 5000), 2, Standing.OUTLIER),
        ((), 1, Standing.FINE),
        ((5000, 5000, 0), 4, Standing.NO_MAJORITY),  # two against two
        ((5000, 5000, 5000), 4, Standing.OUTLIER),
    ],
)
def test_verdicts(offsets, nodes, expected):
    assert standing(*offsets, nodes=nodes) is expected


def test_an_outlier_comes_back_only_when_clearly_near():
    before = judge([seen("b", 5000), seen("c", 5000)], nodes=3, now_ms=NOW_MS)
    assert not before.reserves
    assert before.offset_ms == 5000
    assert standing(950, 950, before=before) is Standing.OUTLIER
    assert standing(950, 950) is Standing.FINE
    assert standing(700, 700, before=before) is Standing.FINE


def test_an_inexact_reading_accuses_nobody_and_a_useless_one_has_no_vote():
    near = [seen("b", 1_500, 600), seen("c", 1_500, 600)]
    assert judge(near, nodes=3, now_ms=NOW_MS).standing is Standing.FINE
    useless = [seen("b", 0, ERROR_MAX_MS + 1), seen("c", 0, ERROR_MAX_MS + 1)]
    assert judge(useless, nodes=3, now_ms=NOW_MS).standing is Standing.NO_MAJORITY


def test_old_readings_say_nothing_and_a_source_has_one_vote():
    old = [seen("b", 0, taken_ms=NOW_MS - FRESH_MS - 1)]
    assert judge(old, nodes=3, now_ms=NOW_MS).heard == 0
    twice = [seen("b", 5000), seen("b", 5000), seen("b", 0)]
    assert judge(twice, nodes=3, now_ms=NOW_MS) == Verdict(standing=Standing.FINE, offset_ms=0, heard=1)


def test_margins_widen_without_a_majority_and_are_bounded():
    assert ALONE.margin_ms == 0
    assert UNKNOWN.margin_ms == BOUND_MS
    assert UNKNOWN.reserves
    apart = judge([seen("b", 5_000_000_000)], nodes=2, now_ms=NOW_MS)
    assert apart.margin_ms in (BOUND_MS, MARGIN_MAX_MS)
    behind = judge([seen("b", -5_000_000_000)], nodes=2, now_ms=NOW_MS)
    assert behind.margin_ms == MARGIN_MAX_MS


def everybody(clocks: list[int], errors: list[int], before: list[Verdict]) -> list[Verdict]:
    """Every node measures every other; ``errors`` shift each reading within what it admits."""
    verdicts = []
    for me, mine in enumerate(clocks):
        heard = [
            seen(f"n{other}", theirs - mine + shift, abs(shift) + 1)
            for other, (theirs, shift) in enumerate(zip(clocks, errors, strict=True))
            if other != me
        ]
        verdicts.append(judge(heard, nodes=len(clocks), now_ms=NOW_MS, before=before[me]))
    return verdicts


CLOCKS = st.lists(st.integers(-10_000_000, 10_000_000), min_size=1, max_size=7)


@given(clocks=CLOCKS, again=CLOCKS, data=st.data())
def test_never_do_all_nodes_stop(clocks, again, data):
    size = min(len(clocks), len(again))
    before = [UNKNOWN] * size
    for now in (clocks[:size], again[:size]):
        errors = data.draw(st.lists(st.integers(-400, 400), min_size=size, max_size=size))
        before = everybody(now, errors, before)
        assert any(verdict.reserves for verdict in before)


@given(
    near=st.lists(st.integers(-400, 400), min_size=2, max_size=5),
    far=st.lists(st.integers(2_500, 10_000_000) | st.integers(-10_000_000, -2_500), min_size=0, max_size=4),
    data=st.data(),
)
def test_a_majority_that_agrees_works_on_and_whoever_is_far_from_it_stops(near, far, data):
    assume(len(near) > len(far))
    clocks = near + far
    errors = data.draw(st.lists(st.integers(-100, 100), min_size=len(clocks), max_size=len(clocks)))
    verdicts = everybody(clocks, errors, [UNKNOWN] * len(clocks))
    assert all(verdict.standing is Standing.FINE for verdict in verdicts[: len(near)])
    assert all(verdict.standing is Standing.OUTLIER for verdict in verdicts[len(near) :])
