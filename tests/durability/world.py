"""The cluster under test: three machines, etcd on three others, a simulated Microsoft 365, clients that never rest."""

import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.durability.disks import Disk
from tests.durability.hosts import ROOT, Program
from tests.durability.machine import Machine
from tests.durability.star import Line, Star
from tests.failover.etcd import Members
from tests.failover.processes import wait_for
from tests.support.pki import ClusterAuthority
from tests.support.simulated import DOMAIN, Simulated, directory
from tests.support.world import client, settings, unshared

NAMES: Final = ("relay-a", "relay-b", "relay-c")
CLUSTER: Final = "durability"
NODES: Final = {name: f"10.9.0.{11 + number}" for number, name in enumerate(NAMES)}
ETCD: Final = {f"etcd{number}": f"10.9.0.{21 + number}" for number in range(3)}
UPSTREAM: Final = "cloud"
CLIENTS: Final = {"preferred": "10.9.0.101", "strict": "10.9.0.102"}
ADDRESSES: Final = {**NODES, **ETCD, UPSTREAM: "10.9.0.100", **CLIENTS}
TIMING: Final = {"latency": "250ms", "latency_longest": "1s"}
LONGEST_S: Final = 1.0
"""Longest time between a final dot and its answer."""
RETRY: Final = {"delays": ["1s", "2s", "5s"], "jitter": 0.2}
LOAD_END_S: Final = 75.0
"""A little longer than a client waits for an answer."""
PUT_OFF: Final = {
    "at": "dot",
    "when": {"attempt": 1, "id": "*[05]"},
    "reply": "451 4.3.111 Temporary server error. Please try again later MRH1",
}
"""Every fifth message is put off for a minute, so that there is always mail that waits."""
ENDLESS: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is sent: messages a second of each client, and accounts at 30 a minute each."""

    preferred: float = 11.0
    strict: float = 9.0
    accounts: int = 120
    sessions: int = 12


class _Hosts:
    """What ``failover.etcd.Members`` wants to know of a network."""

    def __init__(self, star: Star):
        self.hosts = [star.space(host) for host in ETCD]
        self.client = star.space(next(iter(ETCD)))

    def address(self, number: int) -> str:
        return list(ETCD.values())[number]


class Upstream(Simulated):
    """The simulator on its host, asked from there."""

    def __init__(self, home: Path, star: Star, plain: dict):
        self._star = star
        address = ADDRESSES[UPSTREAM]
        command = ("ip", "netns", "exec", star.space(UPSTREAM))
        history = ("--history", str(home / "history.jsonl"))
        super().__init__(home, plain, "--host", address, "--name", address, *history, command=command)

    def ask(self, path: str, method: str = "GET", body=None):
        with self._star.inside(UPSTREAM):
            return super().ask(path, method, body)


class World:
    """``with World(home, images, load) as world``; logs and ledgers below ``home``, disks below ``images``."""

    def __init__(self, home: Path, images: Path, load: Load, seed: int):
        self.home, self.images, self.load, self.seed = home, images, load, seed
        self.machines: dict[str, Machine] = {}
        self.loads: dict[str, Program] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.runtime = Path(tempfile.mkdtemp(prefix="du-"))
            stack.callback(shutil.rmtree, self.runtime, ignore_errors=True)
            stack.callback(shutil.rmtree, self.images, ignore_errors=True)
            self.star = stack.enter_context(Star(ADDRESSES))
            self._etcd(stack)
            accounts = [f"relay{number}" for number in range(self.load.accounts)]
            plain = directory(accounts, timing=TIMING)
            self.cloud = stack.enter_context(Upstream(self.home / "cloud", self.star, plain))
            for name in NAMES:
                disk = stack.enter_context(Disk(self.images / name))
                self.machines[name] = self._machine(name, disk, accounts)
                stack.callback(self.machines[name].end)
            for machine in self.machines.values():
                machine.boot()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _etcd(self, stack: ExitStack) -> None:
        self.authority = ClusterAuthority(CLUSTER)
        pki = [
            self.authority.write(self.home / host / "pki", f"{host}", addresses=(address, "127.0.0.1"))
            for host, address in ETCD.items()
        ]
        # Its own disks are not what is tested: they lie in memory, so that the machine's disk does not decide.
        self.etcd = Members(self.images, _Hosts(self.star), pki)
        stack.callback(self.etcd.stop)
        self.etcd.start()

    def _machine(self, name: str, disk: Disk, accounts: list[str]) -> Machine:
        home, runtime = self.home / name, self.runtime / name
        config = {"spool": str(disk.mount / "spool"), "runtime": str(runtime), **self._config(name, home, accounts)}
        config["coordinator"] = {"state": str(disk.mount / "coordinator")}
        return Machine(name, self.star.space(name), home, runtime, disk, json.loads(json.dumps(unshared(config))))

    def _config(self, name: str, home: Path, accounts: list[str]) -> dict:
        sources = {each: f"{address}/32" for each, address in CLIENTS.items()}
        plain = settings(
            self.cloud, home, {account: {} for account in accounts},
            plans={"preferred": {"retry": RETRY}, "strict": {"retry": RETRY, "copies": "required"}},
            clients={each: client(network, plan=each) for each, network in sources.items()},
        )  # fmt: skip
        plain["hostname"] = f"{name}.test"
        plain["listeners"] = {"smtp": {"port": 25, "address": NODES[name], "tls": "none", "auth": "none"}}
        plain["admin"] = {"port": 0}
        plain["cluster"] = {
            "name": CLUSTER,
            "nodes": {each: {"site": "dc1", "address": address} for each, address in NODES.items()},
            "etcd": self.etcd.endpoints,
            "pki": str(self.authority.write(home / "pki", name, addresses=[NODES[name], "127.0.0.1"])),
            "copies": "preferred",
            "timing": "fast",
        }
        return plain

    def start_loads(self) -> None:
        """Begin to send to all three; it goes on until ``stop_loads``."""
        self.cloud.script(PUT_OFF)
        for kind in CLIENTS:
            rate = {"preferred": self.load.preferred, "strict": self.load.strict}[kind]
            servers = [word for address in NODES.values() for word in ("--server", f"{address}:25")]
            command = [
                sys.executable, "-m", "node.rehearsal", "load", *servers, "--ledger", str(self.ledger(kind)),
                "--count", str(ENDLESS), "--rate", str(rate), "--sessions", str(self.load.sessions),
                "--per-connection", "20", "--run", kind, "--seed", str(self.seed),
                "--size", "2KiB:80,30KiB:18,300KiB:2", "--sender", f"app{{n}}@{DOMAIN}",
            ]  # fmt: skip
            self.loads[kind] = Program(self.star.space(kind), command, self.home / f"load-{kind}.log")
            self.loads[kind].start()

    def stop_loads(self) -> list[str]:
        """Let the clients end what they are at; complaints about those that cannot."""
        for load in self.loads.values():
            load.process.terminate()
        complaints = []
        for kind, load in self.loads.items():
            try:
                wait_for(
                    f"client {kind} has an answer for all it sends", lambda load=load: not load.running, LOAD_END_S
                )
            except AssertionError as error:
                complaints.append(str(error))
                load.kill()
        return complaints

    def ledger(self, kind: str) -> Path:
        return self.home / f"ledger-{kind}"

    def lines(self, node: str, what: str) -> list[Line]:
        """Give the ways from a node to ``etcd``, ``peers`` or ``upstream``."""
        others = {
            "etcd": list(ETCD),
            "peers": [name for name in NAMES if name != node],
            "upstream": [UPSTREAM],
        }[what]
        return [Line(node, other) for other in others]


def base() -> Path:
    """Give a new directory for logs and ledgers."""
    return Path(tempfile.mkdtemp(prefix=f"durability-{os.getpid()}-", dir="/var/tmp"))


__all__ = ["NAMES", "NODES", "ROOT", "Load", "World", "base"]
