"""Three relay nodes as processes on loopback addresses of their own, real etcd behind gates, one simulator."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.support.etcd_cluster import EtcdCluster
from tests.support.gates import Gates
from tests.support.pki import ClusterAuthority
from tests.support.relay import RelayProcess
from tests.support.simulated import Simulated
from tests.support.world import settings, unshared

NAMES = ("relay-a", "relay-b", "relay-c")
CLUSTER = "test"


class RelayCluster:
    """``with RelayCluster(home, cloud, accounts) as cluster``: ``cluster.nodes``, ``cluster.gates`` by name."""

    def __init__(self, home: Path, cloud: Simulated, accounts: dict[str, dict], *, timing: str = "fast", **changes):
        self.home, self.cloud = home, cloud
        self.accounts, self.timing, self.changes = accounts, timing, changes
        self.nodes: dict[str, RelayProcess] = {}
        self.gates: dict[str, Gates] = {}
        self.authority = ClusterAuthority(CLUSTER)
        self._stack = ExitStack()

    def address(self, name: str) -> str:
        return f"127.0.0.{11 + NAMES.index(name)}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self.home / "etcd").mkdir(parents=True)
            self.etcd = EtcdCluster(self.home / "etcd").start()
            stack.callback(self.etcd.close)
            for name in NAMES:
                self.gates[name] = stack.enter_context(Gates([member.client_port for member in self.etcd.members]))
                self.nodes[name] = RelayProcess(self.home / name, self.config(name), "--node", name)
            for node in self.nodes.values():
                stack.callback(node.__exit__, None, None, None)
                node.start(wait=False)
            for node in self.nodes.values():
                node.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self._stack.close()

    def config(self, name: str) -> dict:
        plain = settings(self.cloud, self.home / name, self.accounts, **self.changes)
        plain["hostname"] = f"{name}.test"
        plain["listeners"] = {"smtp": {"port": 0, "address": self.address(name), "auth": "none"}}
        plain["cluster"] = {
            "name": CLUSTER,
            "nodes": {each: {"site": "dc1", "address": self.address(each)} for each in NAMES},
            "etcd": [f"http://127.0.0.1:{port}" for port in self.gates[name].ports],
            "pki": str(self.authority.write(self.home / name / "pki", name, addresses=[self.address(name)])),
            "copies": "one",
            "timing": self.timing,
        }
        return json.loads(json.dumps(unshared(plain)))
