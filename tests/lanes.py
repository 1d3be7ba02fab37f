"""All tests but the long ones, in two lanes at a time: ``make test``.

What runs real processes mostly waits: for leases to end, for etcd to find a leader, for a window to pass. What computes
in virtual time waits for nothing. So the second lane takes what the first one leaves of the processors: its processes
have the policy SCHED_IDLE (sched(7)), which anything else pushes aside at once. No test of it looks at a real clock to
decide anything; how long one may take is therefore bounded far above what a busy machine needs. Which test belongs to
which lane is decided by its folder (``LANES``), and asked for with ``--lane``.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).parents[1]
COMPUTING: Final = ("tests/architecture", "tests/simulation", "tests/unit")
"""Folders of the lane beside; the other lane has everything else."""
WAITING: Final = (
    "tests/unit/coordinator/daemon",
    "tests/unit/coordinator/keeping",
    "tests/unit/node/app",
    "tests/unit/node/cli",
    "tests/unit/node/intake",
    "tests/unit/node/m365",
    "tests/unit/node/shadow",
)
"""Of these, folders whose tests look at a real clock, or at processes: not beside."""
PROCESSES: Final = "processes"
BESIDE: Final = "computing"
SPREAD: Final = ("-n", "2", "--dist", "worksteal")
PATIENCE_S: Final = 1_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One run of pytest."""

    name: str
    arguments: tuple[str, ...]
    beside: bool = False
    """Takes only processor time that nobody else wants; what it says is shown when it has ended."""

    def start(self, said: IO[bytes] | None) -> subprocess.Popen[bytes]:
        """Start it; ``said`` gets its output, None shows it at once."""
        command = [sys.executable, "-m", "pytest", "--lane", self.name, *SPREAD, *self.arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, env=_environment())
        if self.beside:
            with suppress(PermissionError):  # a box that forbids it: then they share
                os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))  # what it starts inherits it
        return process


LANES: Final = (
    Lane(name=PROCESSES, arguments=("tests",)),
    Lane(
        name=BESIDE,
        arguments=(*COMPUTING, "-p", "no:cacheprovider", "--timeout", str(PATIENCE_S), "--no-header"),
        beside=True,
    ),
)


def _environment() -> dict[str, str]:
    """Every process may keep what it compiled: a relay that compiles all of itself takes a third longer to start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def lane_of(path: Path) -> str:
    """Give the name of the lane a test's file belongs to."""
    place = path.relative_to(ROOT)
    beside = any(place.is_relative_to(one) for one in COMPUTING)
    return BESIDE if beside and not any(place.is_relative_to(one) for one in WAITING) else PROCESSES


def main() -> int:
    """Run every lane to its end, whatever became of the others; 0 when all of them are green."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    with ExitStack() as stack:
        running = []
        for lane in LANES:
            said = stack.enter_context(tempfile.TemporaryFile()) if lane.beside else None
            process = lane.start(said)
            stack.callback(_ended, process)
            running.append((lane, process, said))
        codes = [_told(lane, process, said, began) for lane, process, said in running]
    return max(codes)


def _told(lane: Lane, process: subprocess.Popen[bytes], said: IO[bytes] | None, began: float) -> int:
    """Wait for a lane's end; show what it kept to itself, and say how it ended."""
    code = abs(process.wait())
    if said is not None:
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    print(f"{lane.name}: exit code {code} after {(time.monotonic() - began) / 60:.1f} min", flush=True)
    return code


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Whoever is told to stop takes its lanes along."""
    if process.poll() is None:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
