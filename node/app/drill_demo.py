"""The demonstration cluster as a drill's world: its processes killed and frozen, its disks filled, its upstream told.

Everything belongs to this process and lies on this machine; nothing else is touched.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from node.app.demo_balancer import Balancer
from node.app.demo_cluster import NODES
from node.app.demo_processes import Service
from node.app.drill_network import Network, clock_of
from node.cli.cluster import troubles_of, whole
from node.cli.remote import SOCKET_NAME, Remote
from node.errors import RelayError
from node.rehearsal.drill.faults import Kind
from node.rehearsal.drill.figures import Look
from node.rehearsal.drill.network import CUTS, Cut
from node.rehearsal.drill.runner import now_ms
from node.rehearsal.drill.skewed import set_ahead

ANSWER_S: Final = 2.0
ASK_S: Final = 0.4
CONTROL_S: Final = 10.0
DISK: Final = "256m"
LEAST_BLOCK_BYTES: Final = 4096
WAITING: Final = ("queued", "deferred", "in_flight", "unknown")
BROKEN: Final = "535 5.7.3 Authentication unsuccessful"
PARTS: Final = {
    Kind.KILL_NODE: ("node",),
    Kind.KILL_COORDINATOR: ("coordinator",),
    Kind.KILL_HOST: ("node", "coordinator", "etcd"),
    Kind.FREEZE_NODE: ("node",),
    Kind.FREEZE_HOST: ("node", "coordinator", "etcd"),
    Kind.ETCD_ONE: ("etcd",),
    Kind.ETCD_LEADER: ("etcd",),
}
FREEZES: Final = frozenset({Kind.FREEZE_NODE, Kind.FREEZE_HOST})
AHEAD_S: Final = 5.0
"""So much a clock is set ahead: coordination allows for one second."""


def name_of(node: str) -> str:
    """Give what a node of the demonstration says in EHLO."""
    return f"{node}.demo.test"


def disk_of(home: Path, node: str) -> Path:
    """Give where a node's spool lies: a disk of its own where one could be made."""
    return home / node / "disk"


class DemoWorld:
    """The cluster of ``relayctl drill --demo``."""

    def __init__(
        self,
        home: Path,
        services: Sequence[Service],
        balancer: Balancer,
        control: str,
        account: str,
        gates: Network,
    ) -> None:
        """``control``: of the simulator, as a URL; ``account``: the one that may be broken; ``gates``: the network."""
        self.ledger, self.history, self.done = (home / f"{what}.jsonl" for what in ("ledger", "history", "done"))
        self._home, self._balancer, self._account = home, balancer, account
        self._control, self._gates = control, gates
        self._services = {tuple(service.name.split(" of ")): service for service in services}
        self._seen = Look(at_ms=0.0, troubles=("nobody was asked yet",))
        self._asking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask the nodes."""
        self._asking = asyncio.create_task(self._ask_for_ever(), name="drill asks")

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    # -- doing

    def lacks(self, kind: Kind) -> str:
        """See World."""
        if kind is Kind.FILL_DISK and not os.path.ismount(disk_of(self._home, next(iter(NODES)))):
            return "only root can give a node a small disk of its own here"
        return ""

    def source(self, node: str) -> str:
        """See World."""
        return name_of(node) if node else ""

    async def begin(self, kind: Kind, node: str) -> None:
        """See World."""
        if kind in PARTS:
            self._signal(node, PARTS[kind], signal.SIGSTOP if kind in FREEZES else signal.SIGKILL)
        elif kind is Kind.ETCD_ALL:
            for each in NODES:
                self._signal(each, ("etcd",), signal.SIGKILL)
        elif kind is Kind.FILL_DISK:
            await asyncio.to_thread(fill, disk_of(self._home, node) / "filler")
        elif kind in CUTS:
            await asyncio.to_thread(self._gates.cut, Cut(kind=kind, node=node))
        elif kind is Kind.SKEW_CLOCK:
            set_ahead(clock_of(self._home, node), AHEAD_S)
        elif kind is Kind.REVOKE:
            await asyncio.to_thread(self._tell, "POST", "/revoke", None)
        elif kind is Kind.BREAK_ACCOUNT:
            step = {"at": "auth", "when": {"account": self._account}, "reply": BROKEN}
            await asyncio.to_thread(self._tell, "PUT", "/script", [step])

    async def end(self, kind: Kind, node: str) -> None:
        """See World."""
        if kind in FREEZES:
            self._signal(node, PARTS[kind], signal.SIGCONT)
        elif kind is Kind.FILL_DISK:
            (disk_of(self._home, node) / "filler").unlink(missing_ok=True)
        elif kind in CUTS:
            await asyncio.to_thread(self._gates.heal)
        elif kind is Kind.SKEW_CLOCK:
            set_ahead(clock_of(self._home, node), 0)
        elif kind is Kind.BREAK_ACCOUNT:
            await asyncio.to_thread(self._tell, "DELETE", "/script", None)

    def _signal(self, node: str, parts: Sequence[str], number: signal.Signals) -> None:
        for part in parts:
            process = self._services[part, node].process
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

    def _tell(self, method: str, path: str, body: object) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._control + path, data=data, method=method)  # noqa: S310 - our own URL
        with urllib.request.urlopen(request, timeout=CONTROL_S):  # noqa: S310 - as above
            pass

    # -- looking

    async def look(self) -> Look:
        """See World."""
        seen = self._seen
        holder = self._balancer.holder
        troubles = seen.troubles if holder else (*seen.troubles, "nobody holds the address")
        return Look(
            at_ms=now_ms(),
            asked_ms=seen.asked_ms,
            holder=holder,
            leader=seen.leader,
            ready=seen.ready,
            unprotected=seen.unprotected,
            waiting=seen.waiting,
            troubles=troubles,
        )

    async def _ask_for_ever(self) -> None:
        while True:
            asked_ms = now_ms()
            answers = await asyncio.gather(*(asyncio.to_thread(self._ask, node) for node in NODES))
            self._seen = seen(asked_ms, dict(zip(NODES, answers, strict=True)))
            await asyncio.sleep(ASK_S)

    def _ask(self, node: str) -> dict[str, Any] | None:
        try:
            return whole(Remote(self._home / node / "run" / SOCKET_NAME, ANSWER_S))
        except RelayError:
            return None


def seen(asked_ms: float, answers: dict[str, dict[str, Any] | None]) -> Look:
    """Read the nodes' own words; whoever does not answer is a trouble. Pure."""
    there = {node: answer for node, answer in answers.items() if answer is not None}
    troubles = [f"{node} does not answer" for node in answers if node not in there]
    unprotected = waiting = 0
    for node, answer in there.items():
        copies = answer["copies"] or {}
        unprotected += int(copies.get("unprotected", 0))
        waiting += sum(int(answer["by_state"].get(state, 0)) for state in WAITING)
        own = [*answer["readiness"]["reasons"], *troubles_of(answer)]
        own += [] if copies.get("shadow") else ["copies to nobody"]
        own += [f"{copies['unprotected']} messages on one machine"] if copies.get("unprotected") else []
        troubles += [f"{node}: {text}" for text in own]
    leaders = [str((answer["cluster"] or {}).get("leader") or "") for answer in there.values()]
    return Look(
        at_ms=asked_ms,
        asked_ms=asked_ms,
        leader=next(filter(None, leaders), ""),
        ready=tuple(node for node, answer in there.items() if answer["readiness"]["ready"]),
        unprotected=unprotected,
        waiting=waiting,
        troubles=tuple(troubles),
    )


def fill(file: Path) -> None:
    """Leave no block. Raises OSError when the file cannot be made at all."""
    with file.open("wb") as handle:
        at, step = 0, 8 << 20
        while step >= LEAST_BLOCK_BYTES:
            try:
                os.posix_fallocate(handle.fileno(), at, step)
                at += step
            except OSError:
                step //= 2


@contextmanager
def small_disks(places: Sequence[Path]) -> Iterator[None]:
    """Mount a small disk in memory at each place where this process may; without that right nothing is done."""
    mounted: list[Path] = []
    mount, umount = shutil.which("mount"), shutil.which("umount")
    try:
        for place in places if os.geteuid() == 0 and mount and umount else ():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            command = [str(mount), "-t", "tmpfs", "-o", f"size={DISK},mode=700", "relay-drill", str(place)]
            if subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - fixed words
                break
            mounted.append(place)
        yield
    finally:
        for place in mounted:
            _unmount(str(umount), place)


def _unmount(umount: str, place: Path) -> None:
    for _ in range(50):  # processes that have just ended may still hold it for a moment
        if not subprocess.run([umount, str(place)], capture_output=True, check=False).returncode:  # noqa: S603
            return
        time.sleep(0.1)
    subprocess.run([umount, "--lazy", str(place)], capture_output=True, check=False)  # noqa: S603
