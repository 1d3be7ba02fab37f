"""An etcd member on each host, as operations has it: TLS for clients and peers, every write synced to the disk."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.failover.lan import Lan
from tests.failover.processes import Child, wait_for
from tests.support.etcd_cluster import ETCD_35, ETCDCTL

START_S = 40.0
HEARTBEAT_MS, ELECTION_MS = 100, 500
"""As docs/cluster.md asks of members on one network."""


@dataclass
class Members:
    """etcd over all hosts; ``pki`` gives each host's directory with ca.pem, node.pem and node.key."""

    home: Path
    lan: Lan
    pki: list[Path]
    members: list[Child] = field(default_factory=list)

    @property
    def endpoints(self) -> list[str]:
        return [f"{self.lan.address(number)}:2379" for number in range(len(self.lan.hosts))]

    def start(self) -> None:
        for number, host in enumerate(self.lan.hosts):
            log = self.home / f"etcd{number}.log"
            self.members.append(Child(host, self._command(number), log, GOMAXPROCS="1", ETCD_UNSUPPORTED_ARCH=""))
        for member in self.members:
            member.start()
        wait_for("etcd to be healthy", self.healthy, START_S)

    def _command(self, number: int) -> list[str]:
        address, pki = self.lan.address(number), self.pki[number]
        together = ",".join(f"m{each}=https://{self.lan.address(each)}:2380" for each in range(len(self.lan.hosts)))
        return [
            str(ETCD_35), "--name", f"m{number}", "--data-dir", str(self.home / f"etcd{number}"),
            "--listen-client-urls", f"https://{address}:2379", "--advertise-client-urls", f"https://{address}:2379",
            "--listen-peer-urls", f"https://{address}:2380", "--initial-advertise-peer-urls", f"https://{address}:2380",
            "--initial-cluster", together, "--initial-cluster-token", "failover", "--logger", "zap",
            "--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(ELECTION_MS),
            "--log-level", "warn", "--client-cert-auth", "--trusted-ca-file", str(pki / "ca.pem"),
            "--cert-file", str(pki / "node.pem"), "--key-file", str(pki / "node.key"),
            "--peer-client-cert-auth", "--peer-trusted-ca-file", str(pki / "ca.pem"),
            "--peer-cert-file", str(pki / "node.pem"), "--peer-key-file", str(pki / "node.key"),
        ]  # fmt: skip

    def ctl(self, *words: str, endpoints: list[str] | None = None) -> subprocess.CompletedProcess:
        """Run etcdctl from the client's namespace."""
        pki = self.pki[0]
        command = [
            "ip", "netns", "exec", self.lan.client, str(ETCDCTL), "--command-timeout", "3s",
            "--endpoints", ",".join(f"https://{each}" for each in endpoints or self.endpoints),
            "--cacert", str(pki / "ca.pem"), "--cert", str(pki / "node.pem"), "--key", str(pki / "node.key"),
        ]  # fmt: skip
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=20, check=False)

    def healthy(self) -> bool:
        """Say whether every member answers a linearizable read."""
        return self.ctl("endpoint", "health").returncode == 0

    def _status(self) -> list[dict]:
        done = self.ctl("endpoint", "status", "--write-out", "json")
        return [entry["Status"] for entry in json.loads(done.stdout)] if done.returncode == 0 else []

    def leader(self) -> int | None:
        """Give the host whose member leads."""
        for number, status in enumerate(self._status()):
            if status["leader"] == status["header"]["member_id"]:
                return number
        return None

    def place_leader(self, host: int) -> None:
        """Move the leader to a host's member, and wait until all say so."""
        wanted = self._status()[host]["header"]["member_id"]
        leader = wait_for("etcd's leader", lambda: {"at": at} if (at := self.leader()) is not None else None, START_S)
        if leader["at"] != host:
            moved = self.ctl("move-leader", f"{wanted:x}", endpoints=[self.endpoints[leader["at"]]])
            assert moved.returncode == 0, moved.stderr
        wait_for("the leader to be moved", lambda: all(s["leader"] == wanted for s in self._status()), START_S)

    def roll(self, away_s: float = 3.0) -> None:
        """Restart one member after another, each well again before the next."""
        for member in self.members:
            member.stop()
            wait_for("the member to be away", lambda member=member: not member.running, away_s)
            member.start()
            wait_for("etcd to be healthy again", self.healthy, START_S)

    def stop(self) -> None:
        for member in self.members:
            member.kill()
