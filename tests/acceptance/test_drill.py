"""``relayctl drill --demo``: a real cluster, a real fault, mail all the time; the verdict and the report.

Runs in a network of its own, since the demonstration's addresses are fixed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.netns import REASON, USABLE, Namespace

pytestmark = [pytest.mark.skipif(not USABLE, reason=REASON)]
ROOT = Path(__file__).parents[2]


def drill(home, *words, timeout_s):
    with Namespace() as net:
        done = subprocess.run(
            [*net.command, sys.executable, "-m", "node", "drill", "--demo", *words], cwd=home, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = home / "var" / "drill" / "report"
    assert "<svg" in (report / "report.html").read_text()
    return json.loads((report / "report.json").read_text()), done.stderr


@pytest.mark.long  # a minute on a machine with nothing else to do
@pytest.mark.timeout(600)
def test_drill_one(tmp_path):
    words = ("--fault", "kill-coordinator", "--fault", "cut-host", "--patience", "240", "--timing", "fast")
    found, _ = drill(tmp_path, *words, timeout_s=580)
    assert found["holds"] is True
    assert [step["kind"] for step in found["steps"]] == ["kill-coordinator", "cut-host"]
    assert all(step["takeover_s"] is not None for step in found["steps"])
    assert not found["skipped"]
    verdict = found["verdict"]
    assert (verdict["lost"], verdict["overshoot"]) == (0, 0)
    assert verdict["accepted"] == verdict["delivered"] > 10


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_drill_all(tmp_path):
    found, _ = drill(tmp_path, "--patience", "400", timeout_s=3500)
    assert found["holds"] is True
    assert len(found["steps"]) + len(found["skipped"]) == 16
    assert {one["kind"] for one in found["skipped"]} <= {"fill-disk"}, "only what needs a right that is not there"


def test_it_does_nothing_to_anything_else(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "node", "drill"], cwd=tmp_path, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--demo" in done.stderr
    assert not (tmp_path / "var").exists()
