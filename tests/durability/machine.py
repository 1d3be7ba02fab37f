"""One machine of the cluster: its disk, relay-node and relay-coordinator on it, asked over their sockets."""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.durability.disks import Disk
from tests.durability.hosts import Program
from tests.failover.local import ask
from tests.failover.processes import wait_for

STOP_S = 40.0
WAITING = ("queued", "deferred", "in_flight", "unknown")
"""States of recipients that are still to be delivered."""


@dataclass
class Machine:
    """``config``: what its file says; ``home`` keeps file and logs and outlives the disk."""

    name: str
    space: str
    home: Path
    runtime: Path
    disk: Disk
    config: dict
    up: bool = False
    """Whether its node is running and may answer: neither dead nor frozen."""
    _parts: dict[str, Program] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        file = self.home / "relay.yaml"
        file.write_text(yaml.safe_dump(self.config))
        for part, words in (("node", ["-m", "node", "run"]), ("coordinator", ["-m", "coordinator"])):
            command = [sys.executable, *words, str(file), "--node", self.name]
            self._parts[part] = Program(self.space, command, self.home / f"{part}.log")

    @property
    def node(self) -> Program:
        return self._parts["node"]

    @property
    def coordinator(self) -> Program:
        return self._parts["coordinator"]

    def boot(self) -> None:
        """Start what is not running; the disk is mounted."""
        if not self.coordinator.running:
            self.coordinator.start()
        self.node.start()
        self.up = True

    def kill(self) -> None:
        """kill -9 of the node alone."""
        self.up = False
        self.node.kill()

    def crash(self) -> None:
        """kill -9 of everything on the machine."""
        self.kill()
        self.coordinator.kill()

    def destroy(self) -> None:
        """Lose the machine and its disk; a new disk is in its place."""
        self.crash()
        self._forget_sockets()
        self.disk.wipe()

    def lose_power(self) -> None:
        """Lose power: the processes stop, and what was not on the disk is gone."""
        self.up = False
        self.node.freeze()
        self.coordinator.freeze()
        self.disk.lose_power()
        self.crash()
        self._forget_sockets()
        self.disk.come_back()

    def put_back(self, copy: Path) -> None:
        """Put an older copy of the disk in place."""
        self.crash()
        self._forget_sockets()
        self.disk.put_back(copy)

    def freeze(self) -> None:
        self.up = False
        self.node.freeze()

    def thaw(self) -> None:
        self.node.thaw()
        self.up = True

    def ask_to_stop(self) -> None:
        """SIGTERM to the node."""
        self.up = False
        self.node.process.terminate()

    def stopped(self) -> None:
        """Wait until it has stopped; AssertionError when it takes too long or ends badly."""
        wait_for(f"{self.name} to stop", lambda: not self.node.running, STOP_S)
        code = self.node.process.returncode
        assert code == 0, f"{self.name} ended with {code} when told to stop: {self.node.said(1500)}"

    def _forget_sockets(self) -> None:
        shutil.rmtree(self.runtime, ignore_errors=True)

    def ended(self) -> str:
        """Say with what the node has ended though nobody ended it; empty while it runs."""
        if not self.up or self.node.running:
            return ""
        return f"{self.name} ended by itself with {self.node.process.returncode}: {self.node.said(1500)}"

    def ask(self, route: str):
        """GET a route of the node; None without an answer."""
        return ask(self.runtime / "admin.sock", route)

    def status(self) -> dict | None:
        return self.ask("/v1/status") if self.up else None

    def queued(self) -> list[str]:
        """Name the messages that wait here."""
        found = self.ask(f"/v1/messages?states={','.join(WAITING)}&limit=10000")
        return [one["message"]["id"] for one in found or []]

    def end(self) -> None:
        self.up = False
        for part in self._parts.values():
            part.kill()
