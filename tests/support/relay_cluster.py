"""Three relay nodes as processes on loopback addresses of their own, real etcd behind gates, one simulator."""

import json
import random
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from node.policy.passwords import token_digest
from node.policy.proof import of_token
from tests.support.etcd_cluster import EtcdCluster
from tests.support.gates import Gates
from tests.support.pki import ClusterAuthority
from tests.support.relay import RelayProcess
from tests.support.simulated import Simulated
from tests.support.world import settings, unshared

NAMES = ("relay-a", "relay-b", "relay-c")
CLUSTER = "test"
TOKEN = "the-token-of-ops"
SOCKET_MAX = 100


class RelayCluster:
    """``with RelayCluster(home, cloud, accounts) as cluster``: ``cluster.nodes``, ``cluster.gates`` by name."""

    def __init__(
        self, home: Path, cloud: Simulated, accounts: dict[str, dict], *, timing: str = "fast",
        coordinators: bool = False, copies: str = "one", **changes,
    ):  # fmt: skip
        self.home, self.cloud, self.coordinators, self.copies = home, cloud, coordinators, copies
        self.accounts, self.timing, self.changes = accounts, timing, changes
        self.nodes: dict[str, RelayProcess] = {}
        self.gates: dict[str, Gates] = {}
        self.authority = ClusterAuthority(CLUSTER)
        # Loopback addresses of its own, since several clusters may run at the same time on the same ports.
        self._net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        self._stack = ExitStack()

    def address(self, name: str) -> str:
        return f"{self._net}.{11 + NAMES.index(name)}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self.home / "etcd").mkdir(parents=True)
            self.etcd = EtcdCluster(self.home / "etcd").start()
            stack.callback(self.etcd.close)
            for name in NAMES:
                self.gates[name] = stack.enter_context(Gates([member.client_port for member in self.etcd.members]))
                self.nodes[name] = RelayProcess(self.home / name, self.config(name), "--node", name)
                self.nodes[name].token_file = self._token()
            for node in self.nodes.values():
                stack.callback(node.__exit__, None, None, None)
                node.start(wait=False)
            for node in self.nodes.values():
                node.wait_ready(120)
            for name in NAMES if self.coordinators else ():
                stack.callback(ended, self._coordinator(name))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self._stack.close()

    def _token(self) -> Path:
        path = self.home / "ops.token"
        path.write_text(TOKEN)
        return path

    def _coordinator(self, name: str) -> subprocess.Popen:
        place = self.home / name / "run" / "coordinator.sock"
        assert len(str(place)) <= SOCKET_MAX, f"give the test a shorter name: {place}"
        with (self.home / name / "coordinator.log").open("ab") as log:
            command = [sys.executable, "-m", "coordinator", str(self.nodes[name].file), "--node", name]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def config(self, name: str) -> dict:
        plain = settings(self.cloud, self.home / name, self.accounts, **self.changes)
        plain["hostname"] = f"{name}.test"
        plain["listeners"] = {"smtp": {"port": 0, "address": self.address(name), "auth": "none"}}
        plain["cluster"] = {
            "name": CLUSTER,
            "nodes": {each: {"site": "dc1", "address": self.address(each)} for each in NAMES},
            "etcd": [f"http://127.0.0.1:{port}" for port in self.gates[name].ports],
            "pki": str(self.authority.write(self.home / name / "pki", name, addresses=[self.address(name)])),
            "copies": self.copies,
            "timing": self.timing,
        }
        plain["admin"] = {"port": 0, "tokens": {"ops": token_entry(TOKEN)}}
        plain["coordinator"] = {"state": str(self.home / name / "coordinator")}
        return json.loads(json.dumps(unshared(plain)))


def token_entry(token: str, role: str = "admin") -> dict[str, str]:
    """A token as the configuration has it."""
    until = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    keys = {"hash": f"sha256:{token_digest(token)}", "sign": f"ed25519:{of_token(token).key.hex()}"}
    return {**keys, "role": role, "until": until}


def ended(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
