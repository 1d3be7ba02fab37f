"""The network of a drill's demonstration: every wire between its hosts passes a gate that the drill can shut.

Each node listens at a loopback address of its own that nobody else is told; at the one everybody is told there are
gates, kept by a process of their own (``node/rehearsal/drill/gatekeeper.py``).
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from coordinator.settings.cluster import Ports
from node.app.demo_cluster import ETCD_PORT, NODES, PORT, PROBE_PORT, DemoError, Layout
from node.app.demo_processes import die_with_parent
from node.rehearsal.drill.gatekeeper import Answer, Order, Plan
from node.rehearsal.drill.network import UPSTREAM, Cut, Service, Wire
from node.rehearsal.drill.skewed import set_ahead

INNER: Final = {node: f"127.0.1.{11 + number}" for number, node in enumerate(NODES)}
PROCESSES: Final = ("etcd", "coordinator", "node")
END_S: Final = 10.0
_PEER_PORTS: Final = Ports()
_SERVED: Final = (
    (Service.ETCD, ETCD_PORT),
    (Service.ETCD_PEERS, ETCD_PORT + 1),
    (Service.PEERS, _PEER_PORTS.node),
    (Service.PEERS, _PEER_PORTS.coordinator),
    (Service.CLIENTS, PORT),
    (Service.CLIENTS, PROBE_PORT),
)


def clock_of(home: Path, node: str) -> Path:
    """Give the file a node's processes take their wall clock's offset from."""
    return home / node / "clock"


def layout(home: Path) -> Layout:
    """Give where everybody listens, and let their clocks be set."""
    return Layout(
        bound=INNER,
        python=lambda node: (sys.executable, "-m", "node.rehearsal.drill.skewed", str(clock_of(home, node))),
    )


def wires(ready: Mapping[str, Any]) -> list[Wire]:
    """Give every wire: six to each node, then submission and sign-in of the upstream. ``ready``: the simulator's."""
    found = [
        Wire(host=node, service=service, listen=(NODES[node], port), target=(INNER[node], port))
        for node in NODES
        for service, port in _SERVED
    ]
    host = str(ready["host"])
    ports = (int(ready["smtp"]), int(urlsplit(str(ready["entra"])).port or 0))
    found += [Wire(host=UPSTREAM, service=Service.UPSTREAM, listen=(host, 0), target=(host, port)) for port in ports]
    return found


def by_gates(ready: Mapping[str, Any], smtp: int, entra: int) -> dict[str, Any]:
    """Give what the simulator said of itself, with the gates' ports in place of its own."""
    url = urlsplit(str(ready["entra"]))
    moved = urlunsplit(url._replace(netloc=f"{url.hostname}:{entra}"))
    return {**ready, "smtp": smtp, "entra": moved}


class Network:
    """The gates' process, told what to do. Its methods wait for the answer: call them from a thread."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """``process``: the gatekeeper, told its plan already."""
        self._process = process

    def cut(self, cut: Cut) -> int:
        """Sever; gives how many connections stand still. Raises DemoError."""
        return self._told(Order(cut=cut)).still

    def heal(self) -> None:
        """Let everything pass. Raises DemoError."""
        self._told(Order())

    def _told(self, what: Plan | Order) -> Answer:
        assert self._process.stdin is not None  # noqa: S101 - asked for
        assert self._process.stdout is not None  # noqa: S101 - asked for
        try:
            self._process.stdin.write(msgspec.json.encode(what) + b"\n")
            self._process.stdin.flush()
            answer = msgspec.json.decode(self._process.stdout.readline(), type=Answer)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise DemoError("the demonstration's network has ended") from None
        if answer.error:
            raise DemoError(f"the demonstration's network cannot be made: {answer.error}")
        return answer

    def open(self, plan: Plan) -> tuple[int, ...]:
        """Open the gates; gives their ports. Raises DemoError."""
        return self._told(plan).ports


@contextmanager
def network(home: Path, ready: dict[str, Any]) -> Iterator[tuple[Network, dict[str, Any]]]:
    """Run the gates; gives them, and what the nodes shall know of the simulator. Raises DemoError."""
    for node in NODES:
        (home / node).mkdir(mode=0o700, parents=True, exist_ok=True)
        set_ahead(clock_of(home, node), 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "node.rehearsal.drill.gatekeeper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread runs yet
    )
    try:
        gates = Network(process)
        pid_files = {str(home / node / f"{what}.pid"): node for node in NODES for what in PROCESSES}
        *_, smtp, entra = gates.open(Plan(wires=tuple(wires(ready)), pid_files=pid_files))
        yield gates, by_gates(ready, smtp, entra)
    finally:
        _ended(process)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    for pipe in filter(None, (process.stdin, process.stdout)):
        pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
