"""A credential's end is told 30, 7 and 1 days before, once each, and again when it has come."""

import pytest

from node.policy.endings import DAY_MS, Ending, Told, said, threshold

NOW = 1_795_900_000_000


def ending(days: float, name: str = "tenants.contoso.app.secret") -> Ending:
    return Ending(credential=name, ends_ms=NOW + round(days * DAY_MS), what="the client secret")


@pytest.mark.parametrize(
    ("days", "wanted"),
    [(31, None), (30.01, None), (30, 30), (8, 30), (7, 7), (1.5, 7), (1, 1), (0.1, 1), (0, 0), (-400, 0)],
)
def test_thresholds(days, wanted):
    assert threshold(ending(days).ends_ms, NOW) == wanted


def test_each_threshold_is_told_once():
    told, one = Told(), ending(40)
    heard = [hour // 24 for hour in range(45 * 24) if told.due([one], NOW + hour * DAY_MS // 24)]
    assert heard == [10, 33, 39, 40]


def test_a_late_start_tells_only_what_holds_now():
    told = Told()
    assert told.due([ending(0.5)], NOW) == [ending(0.5)]
    assert told.due([ending(0.5)], NOW) == []


def test_a_new_credential_begins_anew():
    told = Told()
    assert told.due([ending(5)], NOW)
    assert told.due([ending(365)], NOW) == []
    assert told.due([ending(6)], NOW) == [ending(6)]


@pytest.mark.parametrize(
    ("days", "words"),
    [(29.5, "ends in 29 days"), (1.2, "ends in 1 day"), (0.5, "ends within a day"), (-1, "has ended")],
)
def test_the_words(days, words):
    assert said(ending(days), NOW) == f"the client secret of tenants.contoso.app.secret {words}"
