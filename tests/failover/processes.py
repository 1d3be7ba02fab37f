"""Processes in a host's namespace: started, stopped, frozen, killed; none outlives the measuring process."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

PR_SET_PDEATHSIG: Final = 1
NICE: Final = -10
_libc = ctypes.CDLL(None, use_errno=True)


def _prepare() -> None:
    """Die with the measuring process, and go before whatever else this machine does: hosts have machines of their own.

    Each child has a session of its own, and the kernel weighs sessions (autogroups) before it weighs their processes.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.nice(NICE)
        Path("/proc/self/autogroup").write_text(str(NICE))


def wait_for(what: str, condition: Callable[[], Any], bound_s: float) -> Any:
    """Wait until a condition holds and give its value; AssertionError naming it after the bound."""
    end = time.monotonic() + bound_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {bound_s} s: {what}"
        time.sleep(0.02)
    return value


def tree(pid: int) -> list[int]:
    """Give a process and all its descendants, parents first."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path("/proc", str(each), "task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


class Child:
    """One program in a namespace, with the processes it starts; its output goes to a log file."""

    def __init__(self, namespace: str, command: list[str], log: Path, **environment: str):
        self.namespace, self.command, self.log = namespace, command, log
        self._environment = environment
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it; a second start after its end is allowed."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *self.command],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment},
                start_new_session=True, preexec_fn=_prepare,  # noqa: PLW1509 - one thread
            )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL it with everything it started, at one moment as far as its parts can tell: first all are stopped."""
        if self.running:
            everybody = tree(self.pid)
            self._send(signal.SIGSTOP, everybody)
            self._send(signal.SIGKILL, everybody)
            self.process.wait(10)

    def stop(self, bound_s: float = 30.0) -> None:
        """SIGTERM, and wait for its end."""
        if self.running:
            self.process.terminate()
            self.process.wait(bound_s)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP, tree(self.pid))

    def thaw(self) -> None:
        self._send(signal.SIGCONT, tree(self.pid))

    def said(self, size: int = 3000) -> str:
        """Give the end of its log, for complaints."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    @staticmethod
    def _send(number: int, whom: list[int]) -> None:
        for pid in whom:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
