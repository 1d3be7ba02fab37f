"""The load generator as a process: sends until it is told to stop, and tells what its clients heard."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

HARMLESS = {
    "run",
    "accepted",
    "connections",
    "connect_failed",  # nobody listened there, and the client had gone on to the next server at once
    "ended_between",  # a kept session found ended before the next message: nothing was asked, nothing refused
    "elapsed_s",
    "per_second",
    "response_ms",
}


class Sending:
    """``with Sending(ledger, ["host:port", …], rate=30) as sending``; ``sending.end()`` gives the statistics."""

    def __init__(
        self, ledger: Path, servers: Sequence[str], *more: str, rate: float, sessions: int = 10,
        per_connection: int = 1, count: int = 1_000_000, command: Sequence[str] = (), **environment: str,
    ):  # fmt: skip
        places = [word for server in servers for word in ("--server", server)]
        self.ledger, self.count = ledger, count
        self._command = [
            *command, sys.executable, "-m", "node.rehearsal", "load", *places, "--ledger", str(ledger),
            "--count", str(count), "--rate", str(rate), "--sessions", str(sessions),
            "--per-connection", str(per_connection), "--run", ledger.name, *more,
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exc) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def accepted(self) -> int:
        return self.results().count("accepted")

    def results(self) -> list[str]:
        lines = self.ledger.read_text().splitlines(keepends=True) if self.ledger.exists() else []
        return [json.loads(line)["result"] for line in lines if line.endswith("\n")]

    def end(self, bound_s: float = 60) -> dict:
        """Start no message more, finish those under way; what was counted."""
        self.process.send_signal(signal.SIGINT)
        return self.ended(bound_s)

    def ended(self, bound_s: float = 60) -> dict:
        """Wait until everything was sent; what was counted."""
        said, complaint = self.process.communicate(timeout=bound_s)
        assert said, complaint
        return json.loads(said)


def refusals(counted: dict) -> dict[str, int]:
    """What a client with a message to send heard or met instead of a 250, by its name in the statistics."""
    return {name: times for name, times in counted.items() if name not in HARMLESS and times}
