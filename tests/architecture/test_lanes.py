"""Each test runs in one lane of ``make test``; none that looks at a real clock runs on what processor time is left."""

import re

import pytest

from tests.lanes import BESIDE, PROCESSES, ROOT, WAITING, lane_of

FILES = sorted((ROOT / "tests").rglob("test_*.py"))
REAL = re.compile(r"time\.monotonic\(\)|start_unix_server|create_subprocess|signal\.SIG", re.MULTILINE)


def test_folders_that_wait_are_there_and_so_are_both_lanes():
    assert all((ROOT / folder).is_dir() for folder in WAITING)
    assert {lane_of(path) for path in FILES} == {BESIDE, PROCESSES}


@pytest.mark.parametrize("path", [path for path in FILES if lane_of(path) == BESIDE], ids=lambda path: path.stem)
def test_what_runs_beside_looks_at_no_real_clock(path):
    found = REAL.search(path.read_text())
    assert found is None or path.name == "test_lanes.py", f"{path}: {found[0]} belongs to a folder that waits"
