"""Units are read in one form, written back in it, and everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.settings.units import (
    BYTES,
    SECONDS,
    Rate,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@given(st.integers(0, 10**12), st.sampled_from(sorted(BYTES)))
def test_sizes_survive_writing_and_reading(amount, unit):
    size = parse_size(f"{amount}{unit}")
    assert size == amount * BYTES[unit]
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**6), st.sampled_from(sorted(SECONDS)))
def test_times_survive_writing_and_reading(amount, unit):
    seconds = parse_duration(f"{amount}{unit}")
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(1, 10**9), st.integers(1, 10**5), st.sampled_from(sorted(SECONDS)))
def test_rates_survive_writing_and_reading(amount, window, unit):
    rate = parse_rate(f"{amount}/{window}{unit}")
    assert rate == Rate(amount, pytest.approx(window * SECONDS[unit]))
    again = parse_rate(format_rate(rate))
    assert again == Rate(amount, pytest.approx(rate.window_s))


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"])) | st.booleans() | st.none() | st.lists(st.integers()))
def test_anything_else_is_refused_with_the_form_expected(value):
    for parse in (parse_duration, parse_rate, parse_size):
        with pytest.raises(ValueError, match="expected"):
            parse(value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("10m", 600), ("10min", 600), ("2h", 7200), ("7d", 604_800)]
)
def test_times(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Rate(30, 60.0), "30/min"),
        (Rate(10_000, 86_400.0), "10000/24h"),
        (Rate(5, 10.0), "5/10s"),
        (Rate(6, 1.0), "6/s"),
    ],
)
def test_rates_are_written_as_people_say_them(rate, text):
    assert str(rate) == text
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0/min", "5/0s", "-1/min", "30", "/min", "30/", "30/week", "30 /min", "٣/min"])
def test_refused_rates(text):
    with pytest.raises(ValueError, match="expected an amount and a time"):
        parse_rate(text)
