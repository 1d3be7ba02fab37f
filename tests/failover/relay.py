"""The relay on three hosts: relay-node, relay-coordinator and an etcd member on each, as in operations' sample."""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.failover.etcd import Members
from tests.failover.lan import VIP, Lan
from tests.failover.local import ask
from tests.failover.processes import Child, wait_for
from tests.support.pki import ClusterAuthority

ROOT = Path(__file__).parents[2]
NAMES = ("relay-a", "relay-b", "relay-c")
CLUSTER = "failover"
ADDRESS = "smtp-dc1"
TTL_S = {"steady": 10.0, "fast": 5.0}
START_S = 60.0
HELD_S = 4.0
MOVE_S = 60.0


@dataclass
class Relay:
    """``Subject``: a cluster with one virtual address and no preferred node."""

    home: Path
    lan: Lan
    timing: str = "steady"
    early: bool = True
    _nodes: list[Child] = field(default_factory=list)
    _coordinators: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._short = Path(tempfile.mkdtemp(prefix="fo-"))
        """Directory of the sockets: the kernel takes no path longer than 107 bytes."""

    def runtime(self, number: int) -> Path:
        return self._short / NAMES[number]

    def start(self) -> None:
        authority = ClusterAuthority(CLUSTER)
        pki = [
            authority.write(self.home / name / "pki", name, addresses=(self.lan.address(number), "127.0.0.1"))
            for number, name in enumerate(NAMES)
        ]
        self.etcd = Members(self.home, self.lan, pki)
        self.etcd.start()
        for number, (name, host) in enumerate(zip(NAMES, self.lan.hosts, strict=True)):
            config = self._write(number)
            for program, children in (("node", self._nodes), ("coordinator", self._coordinators)):
                words = ["-m", "node", "run"] if program == "node" else ["-m", "coordinator"]
                command = [sys.executable, *words, str(config), "--node", name]
                children.append(Child(host, command, self.home / f"{program}{number}.log", PYTHONPATH=str(ROOT)))
        for child in (*self._nodes, *self._coordinators):
            child.start()
        for number in range(len(NAMES)):
            wait_for(f"{NAMES[number]} to be ready", lambda number=number: self._ready(number), START_S)

    def _write(self, number: int) -> Path:
        """Write one host's file: the same for all but for the directories, which are one machine's here."""
        home = self.home / NAMES[number]
        config = home / "relay.yaml"
        config.write_text(yaml.safe_dump(json.loads(json.dumps(self._settings(number, home)))))
        return config

    def _settings(self, number: int, home: Path) -> dict:
        nodes = {name: {"site": "dc1", "address": self.lan.address(each)} for each, name in enumerate(NAMES)}
        return {
            "spool": str(home / "spool"),
            "runtime": str(self.runtime(number)),
            "coordinator": {"state": str(home / "state")},
            "cluster": {
                "name": CLUSTER, "nodes": nodes, "etcd": self.etcd.endpoints, "pki": str(home / "pki"),
                "timing": self.timing, "early_takeover": self.early,
            },
            "virtual_addresses": {ADDRESS: {"address": VIP, "site": "dc1"}},
            "listeners": {"smtp": {"port": 25, "tls": "none", "auth": "none"}},
            "tenant": {
                "id": "failover",
                "domains": ["contoso.com"],
                "smarthost": {"host": "127.0.0.1", "port": 9, "tls": "none"},
            },
            "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
            "clients": {"apps": {"networks": ["10.9.0.0/24"], "senders": ["*@contoso.com"], "owner": "it@contoso.com"}},
            "limits": {"disk_free_low": "1MiB", "disk_free_high": "2MiB"},
            "admin": {"port": 8025},
        }  # fmt: skip

    def _ready(self, number: int) -> bool:
        for child in (self._nodes[number], self._coordinators[number]):
            assert child.running, f"ended: {child.said()}"
        found = ask(self.runtime(number) / "admin.sock", "/v1/status")
        return bool(found and found["readiness"]["ready"])

    def coordinator(self, number: int) -> dict | None:
        """Give what a host's coordinator says of itself; None without an answer."""
        return ask(self.runtime(number) / "coordinator.sock", "/v1/status")

    def steady(self, held_s: float, holders: list[int]) -> bool:
        """Say whether one host holds the address, all see that it may be taken early, and sessions are old enough."""
        ttl_s = TTL_S[self.timing]
        if len(holders) != 1 or held_s < HELD_S:
            return False
        views = [self.coordinator(number) for number in range(len(NAMES))]
        old = all(view and view["session"]["age_ms"] > (ttl_s + 1) * 1000 for view in views)
        return old and all(ADDRESS in view["early"]["leashed"] or not self.early for view in views)

    def place_leader(self, host: int) -> None:
        self.etcd.place_leader(host)

    def roll_etcd(self) -> None:
        self.etcd.roll()

    def end_service(self, host: int) -> None:
        """Stop a host's node as systemd does."""
        self._nodes[host].stop()

    def start_service(self, host: int) -> None:
        self._nodes[host].start()
        wait_for(f"{NAMES[host]} to be ready", lambda: self._ready(host), START_S)

    def kill_service(self, host: int) -> None:
        self._nodes[host].kill()

    def kill_keeper(self, host: int) -> None:
        self._coordinators[host].kill()

    def start_keeper(self, host: int) -> None:
        self._coordinators[host].start()

    def freeze(self, host: int) -> None:
        self._coordinators[host].freeze()
        self._nodes[host].freeze()

    def thaw(self, host: int) -> None:
        self._nodes[host].thaw()
        self._coordinators[host].thaw()

    def move(self, host: int, other: int) -> None:
        """``relayctl vip move`` on the holder's host."""
        command = [sys.executable, "-m", "node", "vip", "move", ADDRESS, "--to", NAMES[other], "--reason", "measured"]
        command += ["--socket", str(self.runtime(host) / "admin.sock")]
        with Child(self.lan.hosts[host], command, self.home / "move.log", PYTHONPATH=str(ROOT)) as asked:
            assert asked.process.wait(MOVE_S) == 0, asked.said()

    def stop(self) -> None:
        for child in (*self._coordinators, *self._nodes):
            child.kill()
        if hasattr(self, "etcd"):
            self.etcd.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    def said(self) -> str:
        return "\n".join(child.said(1500) for child in (*self._coordinators, *self._nodes))
