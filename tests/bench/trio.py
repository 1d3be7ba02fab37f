"""Three nodes with second copies on loopback addresses of their own, with real etcd and mutual TLS."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from tests.bench.sinks import send
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import CLUSTER, NAMES, RelayCluster
from tests.support.world import unshared

SCOPE = "contoso/smarthost"
ALONE_NET = "127.0.0.2"
"""Who sends from there is answered when one machine has the message."""


class Trio(RelayCluster):
    """``with Trio(home, plain) as trio``: ``plain`` is a configuration for one node."""

    def __init__(self, home: Path, plain: dict, *, copies: str = "preferred", rests: bool = False):
        """``rests``: nothing is sent on from the first moment at which that can be wished."""
        super().__init__(home, None, {}, copies=copies)
        self.plain, self._rests = plain, rests

    def config(self, name: str) -> dict:
        address = self.address
        listener = {**self.plain["listeners"]["smtp"], "address": address(name)}
        one = {**self.plain["clients"]["bench"], "networks": [f"{ALONE_NET}/32"], "plan": "alone"}
        return unshared(
            {
                **self.plain,
                "hostname": f"{name}.example",
                "listeners": {"smtp": listener},
                "clients": {**self.plain["clients"], "alone": one},
                "plans": {**self.plain["plans"], "alone": {"size": "100MiB", "copies": "one"}},
                "cluster": {
                    "name": CLUSTER,
                    "nodes": {each: {"site": "dc1", "address": address(each)} for each in NAMES},
                    "etcd": [f"http://127.0.0.1:{port}" for port in self.gates[name].ports],
                    "pki": str(self.authority.write(self.home / name / "pki", name, addresses=[address(name)])),
                    "copies": self.copies,
                    "timing": self.timing,
                },
                "coordinator": {"state": str(self.home / name / "coordinator")},
            }
        )

    def __enter__(self) -> Self:
        super().__enter__()
        self.ports = {name: node.port() for name, node in self.nodes.items()}
        if self._rests:
            self.rest()
        for name in NAMES:
            wait_for(lambda name=name: self.shadow(name), 60, f"{name} has a shadow")
        return self

    def shadow(self, name: str) -> str:
        """Who keeps the copies of a node."""
        return self.nodes[name].status()["copies"]["shadow"]

    def protected(self, name: str) -> bool:
        copies = self.nodes[name].status()["copies"]
        return bool(copies["shadow"]) and not copies["unprotected"]

    def rest(self) -> None:
        """Nothing is sent on any more, by no node."""
        self.nodes[NAMES[0]].post("/v1/accounts/park", account=SCOPE, reason="bench: accept only")
        for node in self.nodes.values():
            wait_for(lambda node=node: parked(node), 20, "the upstream rests")

    def resume(self, by: RelayProcess) -> None:
        by.post("/v1/accounts/resume", account=SCOPE, reason="bench: deliver")

    def send_to_all(self, count: int, **how) -> float:
        """Have ``count`` messages sent, each node its share at the same time; seconds."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(NAMES)) as pool:
            jobs = [pool.submit(self.send, name, count // len(NAMES), **how) for name in NAMES]
            for job in jobs:
                job.result()
        return time.perf_counter() - started

    def send(self, name: str, count: int, **how) -> float:
        return send(self.ports[name], host=self.address(name), count=count, **how)


def parked(node: RelayProcess) -> bool:
    return any(way["state"] == "parked" for way in node.get("/v1/accounts"))


def wait_for(condition, bound_s: float, what: str, pause_s: float = 0.02):
    """Wait until it gives something true; give it."""
    end = time.monotonic() + bound_s
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {bound_s} s: {what}")
        time.sleep(pause_s)
    return found


def memory_mib(process: subprocess.Popen) -> dict[str, float]:
    """Resident memory of a node's process and of its workers, MiB."""
    found = {"core": 0.0, "workers": 0.0}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
        except OSError:
            continue
        rss = float(fields.get("VmRSS", "0 kB").split()[0]) / 1024
        if int(entry.name) == process.pid:
            found["core"] += rss
        elif int(fields["PPid"]) == process.pid:
            found["workers"] += rss
    return found
