"""Times as operators type and read them."""

import pytest

from node.settings.when import BadTimeError, show_details, show_ms, show_span, since_ms

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("30s", NOW - 30_000),
        ("30m", NOW - 1_800_000),
        ("2h", NOW - 7_200_000),
        ("3d", NOW - 259_200_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-02T00:00", 86_400_000),
        ("1970-01-02T00:00:00+01:00", 82_800_000),
        ("1970-01-02T00:00:00Z", 86_400_000),
    ],
)
def test_since(text, expected):
    assert since_ms(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "3", "3w", "-3d", "2026-13-01", "٣d", " 3d", "1e3s", "0x10", "\x1b[31m"])
def test_what_is_no_time_is_refused_with_the_forms_that_are(text):
    with pytest.raises(BadTimeError, match="expected 30m, 2h, 3d, 2026-11-23"):
        since_ms(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01", "999999999999999d"])
def test_the_far_past_is_before_everything(text):
    assert since_ms(text, NOW) == 0


def test_instants_are_shown_in_utc():
    assert show_ms(0) == ""
    assert show_ms(NOW + 7) == "2027-01-15 08:00:00.007"


@pytest.mark.parametrize("at_ms", [10**18, -(10**18)])
def test_an_instant_no_calendar_has_is_shown_as_its_number(at_ms):
    assert show_ms(at_ms) == f"{at_ms} ms"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0s"),
        (0.44, "0.4s"),
        (9.96, "10.0s"),
        (10, "10s"),
        (60, "1m"),
        (125, "2m 5s"),
        (3600, "1h"),
        (3605, "1h 5s"),
        (86_400 * 3 + 3600 * 4 + 59, "3d 4h"),
        (-5, "-5.0s"),
    ],
)
def test_spans(seconds, expected):
    assert show_span(seconds) == expected


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("until_ms", 1_796_077_593_656, ("until", "2026-11-30 22:26:33.656 UTC")),
        ("offset_ms", 53, ("offset_ms", 53)),
        ("offset_ms", -398, ("offset_ms", -398)),
        ("reason_ms", "late", ("reason_ms", "late")),
        ("size_bytes", 10**13, ("size_bytes", 10**13)),
        ("until_ms", 10**18, ("until", f"{10**18} ms UTC")),
    ],
)
def test_details_of_a_step_are_read_by_people(name, value, shown):
    assert show_details({"empty": "", name: value}) == [shown]
