"""How many processes take mail in."""

import pytest

from node.intake import front
from tests.support.intake_house import settings_of


@pytest.mark.parametrize(
    ("configured", "cores", "workers"),
    [
        (0, 1, 0),
        (0, 2, 2),
        (0, 4, 4),
        (0, 64, front.PROCESSES_MAX),
        (1, 64, 0),  # 1 is the core's own process
        (2, 1, 2),
        (8, 4, 8),
    ],
)
def test_as_many_as_cores_unless_told_otherwise(tmp_path, monkeypatch, configured, cores, workers):
    monkeypatch.setattr(front.os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert front.workers_of(settings_of(tmp_path, intake={"processes": configured})) == workers
