import pytest

from node.telemetry import numbers
from node.telemetry.names import BY_NAME, CATALOGUE
from node.telemetry.numbers import Numbers
from node.telemetry.spread import spread_of


def test_labels_in_any_order_are_one_series():
    kept = Numbers()
    kept.count("relay_messages_accepted", 1, {"client": "a", "priority": "normal"})
    kept.count("relay_messages_accepted", 2, {"priority": "normal", "client": "a"})
    assert list(kept.counts.values()) == [3]


def test_histograms_add_up_value_by_value_and_over_processes():
    core, worker, seconds = Numbers(), Numbers(), (0.0005, 0.001, 0.0011, 3.0, 9_999.0)
    for value in seconds:
        core.observe("relay_commit_seconds", value, {})
        worker.observe("relay_commit_seconds", 2 * value, {})
    ((_, told),) = worker.spreads()
    core.merge("relay_commit_seconds", told, {})
    ((series, spread),) = core.spreads()
    assert series == ("relay_commit_seconds", ())
    bounds = BY_NAME["relay_commit_seconds"].buckets
    every = [*seconds, *(2 * value for value in seconds)]
    below = [sum(value <= bound for value in every) for bound in (*bounds, float("inf"))]
    assert [sum(spread.counts[: at + 1]) for at in range(len(bounds) + 1)] == below
    assert spread.total == pytest.approx(sum(every))
    assert (spread.least, spread.most) == (min(every), max(every))
    at_once = spread_of(every, bounds)
    assert (at_once.counts, at_once.least, at_once.most) == (spread.counts, spread.least, spread.most)
    assert at_once.total == pytest.approx(spread.total)


def test_what_was_given_away_of_a_histogram_stays_as_it_was():
    kept = Numbers()
    kept.observe("relay_commit_seconds", 1.0, {})
    before = kept.spreads()
    kept.observe("relay_commit_seconds", 1.0, {})
    assert sum(before[0][1].counts) == 1


def test_series_are_bounded(monkeypatch):
    monkeypatch.setattr(numbers, "SERIES_MAX", 5)
    kept = Numbers()
    for number in range(20):
        kept.count("relay_messages_accepted", 1, {"client": f"c{number}", "priority": "normal"})
    assert len(kept.counts) == 6
    assert sum(kept.counts.values()) == 20


def test_histograms_are_bounded(monkeypatch):
    monkeypatch.setattr(numbers, "SERIES_MAX", 5)
    kept = Numbers()
    for number in range(20):
        kept.observe("relay_permit_wait_seconds", 1.0, {"account": f"a{number}"})
    assert len(kept.spreads()) == 6
    assert sum(sum(spread.counts) for _, spread in kept.spreads()) == 20


def test_the_catalogue_names_each_metric_once_and_histograms_have_buckets():
    assert len(BY_NAME) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
