from node.telemetry import numbers
from node.telemetry.names import BY_NAME, CATALOGUE
from node.telemetry.numbers import Numbers


def test_counts_add_up_over_processes():
    core, worker = Numbers(), Numbers()
    core.count("relay_messages_accepted", 1, {"client": "a", "priority": "normal"})
    worker.count("relay_messages_accepted", 2, {"priority": "normal", "client": "a"})
    worker.observe("relay_commit_seconds", 0.5, {})
    core.merge(worker.take())
    assert list(core.counts.values()) == [3]
    assert [value for _, value in core.take_values()] == [0.5]
    assert worker.take().counts == []


def test_series_are_bounded(monkeypatch):
    monkeypatch.setattr(numbers, "SERIES_MAX", 5)
    kept = Numbers()
    for number in range(20):
        kept.count("relay_messages_accepted", 1, {"client": f"c{number}", "priority": "normal"})
    assert len(kept.counts) == 6
    assert sum(kept.counts.values()) == 20


def test_histogram_values_are_bounded():
    kept = Numbers()
    for _ in range(numbers.VALUES_MAX + 10):
        kept.observe("relay_commit_seconds", 1.0, {})
    assert len(kept.take_values()) == numbers.VALUES_MAX


def test_the_catalogue_names_each_metric_once_and_histograms_have_buckets():
    assert len(BY_NAME) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
