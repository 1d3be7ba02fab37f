"""The cluster under soak: the drill's demonstration, with mail, mild faults all the time, and a look every few seconds.

Only faults that end no process: one that is started anew has nothing left that could have leaked.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from node.app import demo, drill_run
from node.app.demo_cluster import NODES, Layout, etcd_binary
from node.app.demo_processes import Service
from node.app.demo_run import alone, clean, running, stopped_by_signals, until_ready, write_configurations
from node.app.drill_demo import DemoWorld, disk_of, small_disks
from node.app.drill_network import INNER, Network, clock_of, network
from node.rehearsal.drill.faults import Kind
from node.rehearsal.drill.runner import HistorySoFar, Runner
from node.tls.cluster_ca import write_private
from tests.fuzz.target import ROOT
from tests.soak.measures import disk_bytes, of_process
from tests.soak.report import Report, Sample, judge

MILD = (Kind.BREAK_ACCOUNT, Kind.CUT_UPSTREAM, Kind.REVOKE, Kind.CUT_PEERS, Kind.SKEW_CLOCK, Kind.CUT_ETCD)
EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    minutes: float
    home: Path
    rate: float = 3.0
    timing: str = "fast"
    faults: bool = True
    patience_s: float = 300.0


def tasks_of(home: Path, node: str) -> Path:
    return home / node / "tasks"


def layout(home: Path) -> Layout:
    """As the drill's, and each program counts its tasks."""
    return Layout(
        bound=INNER,
        python=lambda node: (
            sys.executable, "-m", "tests.soak.counted", str(tasks_of(home, node)), str(clock_of(home, node)),
        ),
    )  # fmt: skip


def soak(options: Options, say) -> Report:
    """Run; raises RelayError when the demonstration cannot run here."""
    os.environ["PYTHONPATH"] = str(ROOT)
    etcd, home = etcd_binary(), options.home.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(home):
        clean(home)
        for what in ("ledger", "history", "done"):
            (home / f"{what}.jsonl").unlink(missing_ok=True)
        secret = secrets.token_urlsafe(24)
        write_private(home / "simulator-secret", secret.encode())
        more = (*drill_run.UPSTREAM, "--history", str(home / "history.jsonl"))
        with (
            small_disks([disk_of(home, node) for node in NODES]),
            demo.simulator(home, secret, drill_run.MAILBOXES, more) as ready,
            network(home, ready) as (gates, seen),
        ):
            write_configurations(home, lambda node: drill_run._configuration(home, node, seen, options.timing))
            return asyncio.run(_run(options, home, etcd, str(ready["control"]), gates, say))


async def _run(options: Options, home: Path, etcd: str, control: str, gates: Network, say) -> Report:
    stop = stopped_by_signals()
    async with running(home, etcd, say, layout(home)) as (every, balancer):
        await until_ready(home, balancer, stop, options.patience_s)
        world = DemoWorld(home, every, balancer, control, f"{drill_run.MAILBOXES[0]}@{demo.DOMAIN}", gates)
        world.start()
        load, runner = await drill_run._load(home, options.rate), Runner(world, say, options.patience_s)
        samples: list[Sample] = []
        began = {one.name: pid(one) for one in every}
        looking = asyncio.create_task(_look(every, home, samples, time.monotonic()))
        kinds = _until(time.monotonic() + options.minutes * 60, faults=options.faults, stop=stop)
        try:
            if options.faults:
                await runner.run(kinds, lambda: drill_run._end(load))
            else:
                await runner.run((), lambda: _calm(options.minutes, stop, load))
        finally:
            looking.cancel()
            await world.close()
            await drill_run._end(load)
        return _report(options, world, runner, samples, [one for one in every if pid(one) != began[one.name]])


async def _calm(minutes: float, stop: asyncio.Event, load: asyncio.subprocess.Process) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(minutes * 60):
            await stop.wait()
    await drill_run._end(load)


def _until(until_s: float, *, faults: bool, stop: asyncio.Event) -> Iterator[Kind]:
    for kind in cycle(MILD) if faults else ():
        if time.monotonic() > until_s or stop.is_set():
            return
        yield kind


def pid(service: Service) -> int:
    return service.process.pid if service.process is not None else 0


async def _look(every: Sequence[Service], home: Path, samples: list[Sample], began_s: float) -> None:
    while True:
        at_s = time.monotonic() - began_s
        for one in every:
            what, _, node = one.name.partition(" of ")
            counted = tasks_of(home, node).with_name(f"tasks-{what}")
            if values := of_process(pid(one), counted):
                samples.append(Sample(at_s=at_s, who=one.name, values=values))
        for node in NODES:
            for what in ("disk", "etcd"):
                found = await asyncio.to_thread(disk_bytes, home / node / what)
                samples.append(Sample(at_s=at_s, who=f"{what} of {node}", values={"disk_bytes": found}))
        await asyncio.sleep(EVERY_S)


def _report(
    options: Options, world: DemoWorld, runner: Runner, samples: Sequence[Sample], restarted: Sequence[Service]
) -> Report:
    minutes = samples[-1].at_s / 60 if samples else 0.0
    report = Report(minutes=minutes, accepted=len(HistorySoFar(world).accepted()))
    report.faults = [step.kind.value for step in runner.steps]
    report.problems = [runner.stopped] if runner.stopped else []
    if runner.verdict is None or not runner.verdict.holds:
        report.problems.append("the histories do not show that every invariant held")
    report.restarted = [one.name for one in restarted]
    judge(report, samples)
    return report
