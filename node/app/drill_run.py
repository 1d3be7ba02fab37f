"""``relayctl drill --demo``: a demonstration cluster of its own, mail through it, faults, verdict and report.

As ``relayctl demo`` it needs no root and ends with this process, however it ends.
"""

import asyncio
import os
import platform
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from node.app import demo
from node.app.demo_cluster import ADDRESS, NODES, PORT, DemoError, configuration, etcd_binary
from node.app.demo_processes import die_with_parent
from node.app.demo_run import alone, clean, running, stopped_by_signals, until_ready, write_configurations
from node.app.drill_demo import DemoWorld, disk_of, name_of, small_disks
from node.app.drill_network import Network, layout, network
from node.rehearsal.drill.faults import Kind
from node.rehearsal.drill.figures import holders, per_second
from node.rehearsal.drill.outcome import Outcome, Span
from node.rehearsal.drill.report import html
from node.rehearsal.drill.runner import WHOLE_S, HistorySoFar, Runner, now_ms
from node.tls.cluster_ca import write_private

HOME: Final = Path("var/drill")
MAILBOXES: Final = tuple(f"relay{number}" for number in range(1, 13))
"""Twelve at 30 a minute: what a fault held back is gone soon."""
RATE: Final = 3.0
SESSIONS: Final = 6
ENDLESS: Final = 10_000_000
LOAD_END_S: Final = 90.0
RETRY: Final = {"delays": ["1s", "2s", "5s"], "jitter": 0.2}
UPSTREAM: Final = ("--latency", "300ms", "--latency-longest", "1s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to do and where the report goes."""

    kinds: Sequence[Kind]
    output: Path
    rate: float = RATE
    patience_s: float = WHOLE_S
    """Longest the cluster may take to start, and to be whole again."""
    timing: str = "steady"
    """Preset of the cluster: ``steady`` (leases of 10 s) or ``fast`` (5 s)."""


def drill_demo(options: Options, say: Callable[[str], None]) -> Outcome:
    """Run a drill on a demonstration of its own; raises RelayError when that cannot run here."""
    etcd = etcd_binary()
    home = HOME.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with alone(home):
        clean(home)
        for what in ("ledger", "history", "done"):
            (home / f"{what}.jsonl").unlink(missing_ok=True)
        secret = secrets.token_urlsafe(24)
        write_private(home / "simulator-secret", secret.encode())
        more = (*UPSTREAM, "--history", str(home / "history.jsonl"))
        with (
            small_disks([disk_of(home, node) for node in NODES]),
            demo.simulator(home, secret, MAILBOXES, more) as ready,
            network(home, ready) as (gates, seen),
        ):
            write_configurations(home, lambda node: _configuration(home, node, seen, options.timing))
            control = str(ready["control"])
            outcome = asyncio.run(_run(home, etcd, control, gates, options, say))
    write_report(outcome, options.output)
    return outcome


def _configuration(home: Path, node: str, ready: dict[str, Any], timing: str) -> dict[str, Any]:
    plain = configuration(home, node, ready, MAILBOXES, layout(home))
    plain["cluster"]["timing"] = timing
    plain["clients"]["demo"]["plan"] = "drill"
    return {
        **plain,
        "hostname": name_of(node),
        "spool": str(disk_of(home, node) / "spool"),
        "plans": {"drill": {"retry": RETRY}},
        "limits": {"disk_free_low": "8MiB", "disk_free_high": "16MiB"},
    }


async def _run(
    home: Path, etcd: str, control: str, gates: Network, options: Options, say: Callable[[str], None]
) -> Outcome:
    stop = stopped_by_signals()
    began_ms = now_ms()
    async with running(home, etcd, say, layout(home)) as (every, balancer):
        say("starting three nodes, three members of etcd and the simulator")
        if not await until_ready(home, balancer, stop, options.patience_s):
            raise DemoError("stopped before it began")
        world = DemoWorld(home, every, balancer, control, f"{MAILBOXES[0]}@{demo.DOMAIN}", gates)
        world.start()
        load = await _load(home, options.rate)
        runner = Runner(world, say, options.patience_s)
        work = asyncio.create_task(runner.run(options.kinds, lambda: _end(load)))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                runner.stopped = "interrupted"
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        finally:
            stopping.cancel()
            await world.close()
            await _end(load)
    return _outcome(world, runner, began_ms)


async def _load(home: Path, rate: float) -> asyncio.subprocess.Process:
    (home / "ledger.jsonl").touch(mode=0o600)
    with (home / "load.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.rehearsal", "load", "--server", f"{ADDRESS}:{PORT}"),
            *("--ledger", str(home / "ledger.jsonl"), "--rate", str(rate), "--sessions", str(SESSIONS)),
            *(
                "--count",
                str(ENDLESS),
                "--per-connection",
                "1",
                "--back-off",
                "1",
                "--run",
                "drill",
                "--size",
                "2KiB:80,30KiB:20",
            ),
            *("--sender", f"app{{n}}@{demo.DOMAIN}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


async def _end(load: asyncio.subprocess.Process) -> None:
    """Let clients finish what they are at."""
    if load.returncode is None:
        with suppress(ProcessLookupError):
            load.terminate()
        try:
            async with asyncio.timeout(LOAD_END_S):
                await load.wait()
        except TimeoutError:
            load.kill()
            await load.wait()


def _outcome(world: DemoWorld, runner: Runner, began_ms: float) -> Outcome:
    so_far, ended_ms = HistorySoFar(world), now_ms()
    first_ms = runner.looks[0].at_ms if runner.looks else began_ms
    return Outcome(
        cluster="a demonstration cluster",
        machine=f"{platform.system()} {platform.release()}, {os.cpu_count()} cores; Python {platform.python_version()}",
        began_ms=first_ms,
        ended_ms=ended_ms,
        steps=runner.steps,
        skipped=runner.skipped,
        stopped=runner.stopped,
        verdict=runner.verdict,
        accepted_per_s=per_second((one.at_ms for one in so_far.accepted()), first_ms, ended_ms),
        delivered_per_s=per_second((one.at_ms for one in so_far.delivered()), first_ms, ended_ms),
        holders=[Span(holder=name, from_ms=a, to_ms=b) for name, a, b in holders(runner.looks, ended_ms)],
    )


def write_report(outcome: Outcome, place: Path) -> None:
    """Write ``report.html`` and ``report.json``. Raises OSError."""
    (place / "report.html").write_text(html(outcome), encoding="utf-8")
    plain = {"holds": outcome.holds, **msgspec.to_builtins(outcome)}
    (place / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1))
