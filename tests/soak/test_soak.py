"""The soak's judgement on rows made by hand; the real thing for a few minutes is marked long."""

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fuzz.target import ROOT
from tests.soak.measures import ALLOWED, MIB, disk_bytes, of_process
from tests.soak.report import NOT_OURS, Report, Sample, as_text, judge
from tests.soak.trend import LEAST, slope, steps, trend
from tests.support.netns import REASON, USABLE, Namespace


def row(per_hour=0.0, *, noise=0.0, leap=0.0, base=100.0, seconds=3600):
    chance = random.Random(5)
    return [
        (float(at), base + per_hour * at / 3600 + chance.uniform(-noise, noise) + (leap if at == 1_800 else 0.0))
        for at in range(0, seconds + 1, 20)
    ]


def test_the_slope_is_found_through_noise_and_a_leap_does_not_bend_it():
    assert slope(row(36)) * 3600 == pytest.approx(36)
    assert slope(row(36, noise=5)) * 3600 == pytest.approx(36, abs=3)
    assert slope(row(0, leap=1e6)) == pytest.approx(0)
    assert slope([]) == 0


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        (row(0), True),
        (row(0, noise=20), True),
        (row(9), True),
        (row(30), False),
        (row(60, noise=10), False),
        (row(-500), True),
        (row(0, leap=1e6), True),
    ],
)
def test_what_is_flat(samples, flat):
    assert trend(samples, per_hour=10, at_once=1).flat is flat


def test_too_few_samples_decide_nothing():
    assert trend(row()[: LEAST - 1], per_hour=1, at_once=1) is None
    assert [at for at, _ in steps(row(), 3_580)] == [3_580, 3_600]


def samples(who, **rows):
    return [
        Sample(at_s=at, who=who, values={what: values[number][1] for what, values in rows.items()})
        for number, (at, _) in enumerate(next(iter(rows.values())))
    ]


def report(*sampled, accepted=3_600, **more):
    made = Report(minutes=60, accepted=accepted, **more)
    judge(made, [one for each in sampled for one in each])
    return made


def test_a_leak_is_named_and_only_it():
    made = report(
        samples("node of relay-a", rss_bytes=row(40 * MIB, base=90 * MIB), descriptors=row(0), tasks=row(1)),
        samples("node of relay-b", rss_bytes=row(MIB, noise=MIB, base=90 * MIB), descriptors=row(60)),
    )
    assert made.grows == ["node of relay-a rss_bytes", "node of relay-b descriptors"]
    assert not made.holds
    assert "GROWS node of relay-b descriptors" in as_text(made)


def test_the_warm_up_is_left_out():
    warm = [(at, min(at, 600) * MIB) for at, _ in row()]
    assert report(samples("node of relay-a", rss_bytes=warm)).holds


def test_a_disk_may_grow_with_what_was_accepted_and_no_faster():
    grown = row(20 * MIB)
    quiet = samples("node of relay-a", tasks=row())
    assert report(quiet, samples("disk of relay-a", disk_bytes=grown), accepted=10_000).holds
    assert report(quiet, samples("disk of relay-a", disk_bytes=grown), accepted=10).grows == ["disk of relay-a disk"]


def test_what_is_not_ours_is_told_and_not_judged():
    made = report(samples("node of relay-a", tasks=row()), samples(f"{NOT_OURS} of relay-a", rss_bytes=row(900 * MIB)))
    assert made.holds
    assert "etcd of relay-a" in as_text(made)


def test_nothing_sampled_a_restart_or_a_broken_invariant_is_no_success():
    quiet = samples("node of relay-a", tasks=row())
    assert report(quiet).holds
    assert not report().holds
    assert not report(quiet, restarted=["node of relay-a"]).holds
    assert not report(quiet, problems=["I1 lost"]).holds
    assert json.loads(json.dumps(report(quiet).plain()))["holds"] is True


def test_what_a_process_uses_is_read_from_the_kernel(tmp_path):
    counted = tmp_path / "tasks"
    before = of_process(os.getpid(), counted)
    assert before.keys() == ALLOWED.keys() - {"tasks"}
    counted.write_text("7")
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with counted.open():
        now = of_process(os.getpid(), counted)
    stop.set()
    thread.join()
    assert (now["tasks"], now["descriptors"] - before["descriptors"], now["threads"] - before["threads"]) == (7, 1, 1)
    assert of_process(2**22 + 1, counted) == {}
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    assert disk_bytes(tmp_path) >= 100_000
    assert disk_bytes(tmp_path / "gone") == 0


def test_a_program_of_ours_tells_how_many_tasks_it_has(tmp_path):
    program = tmp_path / "busy.py"
    program.write_text(
        "import asyncio, sys\nasync def main():\n"
        "    waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(20)]\n"
        "    print('up', flush=True)\n    await asyncio.to_thread(sys.stdin.readline)\n"
        "asyncio.run(main())\n"
    )
    (tmp_path / "clock").write_bytes(bytes(8))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.counted", str(tmp_path / "tasks"), str(tmp_path / "clock"), "busy"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "up\n"
        file, seen = tmp_path / "tasks-busy", threading.Event()
        for _ in range(300):
            if file.exists() and file.read_text() == "21":
                break
            seen.wait(0.1)
        assert file.read_text() == "21"
    finally:
        process.communicate("\n", timeout=30)


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not USABLE, reason=REASON)
def test_a_short_soak_is_flat(tmp_path):
    words = ("--minutes", "8", "--home", "s", "--json", "soak.json")
    with Namespace() as net:
        done = subprocess.run(
            [*net.command, sys.executable, "-m", "tests.soak", *words], cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=1400,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = json.loads(Path(tmp_path / "soak.json").read_text())
    assert found["accepted"] > 300
    assert {"node of relay-a", "coordinator of relay-c"} <= found["trends"].keys()
