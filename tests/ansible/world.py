"""A cluster made by the collection: three hosts, a fourth with the simulated Microsoft 365, and an inventory."""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.ansible.lab import Lab
from tests.ansible.lab_base import run
from tests.ansible.support import COLLECTION, REPOSITORY, Ansible, Played, read

ADDRESS = "10.79.1.100"
MAILBOXES = 200
"""A hundred messages a second, thirty a minute each."""
SECRET = "rehearsal-secret"
HERE = REPOSITORY / "tests/ansible"
NODES = ("a", "b", "c")
FIRST = read(COLLECTION / "galaxy.yml")["version"]


@dataclass
class World:
    """Hosts, Ansible, and what the inventory says."""

    lab: Lab
    ansible: Ansible
    version: str = FIRST

    @property
    def work(self) -> Path:
        """Where inventory, bundles and the authorities lie."""
        return self.ansible.work

    def prepare(self) -> None:
        """Boot hosts, make the bundle, start the simulator."""
        self.lab.up(*NODES, "sim")
        self.bundle(REPOSITORY)
        (self.work / "app-secret").write_text(SECRET)
        self.ansible.play(HERE / "simulator.yml", self.inventory()).fine()

    def bundle(self, source: Path) -> None:
        """Pack a source tree."""
        self.ansible.play("bundle.yml", self.inventory(), "-e", f"bundle_source={source} bundle_to={self.work}").fine()

    def other_version(self, version: str, **replaced: str) -> None:
        """Pack this product under another version; *replaced*: text of files, by path with ``__`` for ``/``."""
        source = self.work / f"source-{version}"
        for name in ("node", "coordinator"):
            shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "LICENSE", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, source / name)
        for name, before in (
            ("pyproject.toml", f'version = "{FIRST}"'),
            ("node/__init__.py", f'__version__ = "{FIRST}"'),
        ):
            text = (source / name).read_text()
            assert before in text
            (source / name).write_text(text.replace(before, before.replace(FIRST, version)))
        for name, text in replaced.items():
            (source / f"{name.replace('__', '/')}.py").write_text(text)
        self._repack(source, version)

    def _repack(self, source: Path, version: str) -> None:
        """Make a bundle of the one there is: the same wheels but for the product's."""
        parts, packed = source / "bundle", self.work / f"m365-relay-{version}.tar.gz"
        parts.mkdir()
        run("tar", "-xzf", self.work / f"m365-relay-{FIRST}.tar.gz", "-C", parts)
        (parts / f"wheels/m365_relay-{FIRST}-py3-none-any.whl").unlink()
        run(self.ansible.home / "bin/python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", parts / "wheels", source)
        digest = hashlib.sha256((parts / f"wheels/m365_relay-{version}-py3-none-any.whl").read_bytes()).hexdigest()
        wanted = (parts / "requirements.txt").read_text().rpartition("m365-relay==")[0]
        (parts / "requirements.txt").write_text(f"{wanted}m365-relay=={version} --hash=sha256:{digest}\n")
        run("tar", "-czf", packed, "-C", parts, "requirements.txt", "wheels")
        packed.with_name(packed.name + ".sha256").write_text(hashlib.sha256(packed.read_bytes()).hexdigest() + "\n")

    def play(self, playbook: str, *words: str, **changes: Any) -> Played:
        """Run a playbook; *changes*: of the inventory's variables of the cluster."""
        return self.ansible.play(playbook, self.inventory(**changes), *words)

    def inventory(self, members: tuple[str, ...] = NODES, relays: tuple[str, ...] = NODES, **changes: Any) -> Path:
        """Write the inventory."""
        hosts = {
            name: {"ansible_host": host.address, "relay_site": f"dc{host.net}", "relay_node_name": f"relay-{name}"}
            for name, host in self.lab.hosts.items()
        }
        whole = {
            "vars": self.lab.inventory()
            | {
                "relay_version": self.version,
                "relay_bundle": f"{self.work}/m365-relay-{{{{ relay_version }}}}.tar.gz",
                "simulator_ca": f"{self.work}/sim-ca.pem",
                "simulator_secret": SECRET,
                "simulator_mailboxes": MAILBOXES,
            },
            "children": {
                "relay_cluster": {
                    "children": {
                        "etcd": {"hosts": {name: hosts.get(name, {}) for name in members}},
                        "relay": {"hosts": {name: hosts.get(name, {}) for name in relays}},
                    },
                    "vars": self.variables() | changes,
                },
                "simulator": {"hosts": {"sim": hosts.get("sim", {})}},
                "monitoring": {"hosts": {"sim": {}}},
            },
        }
        file = self.work / "inventory.yml"
        file.write_text(yaml.safe_dump({"all": whole}))
        return file

    def variables(self) -> dict[str, Any]:
        """Give the cluster's variables."""
        return {
            "relay_cluster_name": "lab",
            "relay_addresses": [{"address": f"{ADDRESS}/32", "site": "dc1", "driver": "netlink"}],
            "relay_secrets": {"app-secret": {"from_file": f"{self.work}/app-secret"}},
            "relay_files": [{"name": "sim-ca.pem", "from_file": f"{self.work}/sim-ca.pem"}],
            "relay_config": self.config(),
            "preflight_fsync_ms": 2000,  # the disk of a test machine is shared
        }

    def config(self) -> dict[str, Any]:
        """Give the relay's configuration."""
        return {
            "cluster": {"timing": "steady"},  # hosts of a laboratory share a machine that has other work
            "tenant": {
                "id": "8f2c1a0e-0000-4000-8000-000000000000",
                "domains": ["contoso.com"],
                "app": {"client_id": "1b7d2c3e-0000-4000-8000-000000000000", "secret": {"credential": "app-secret"}},
                "service_accounts": [f"relay{number}@contoso.com" for number in range(MAILBOXES)],
                "cloud": {"submission": "sim:40587", "authority": "https://sim:40443", "graph": "https://sim:40444"},
            },
            "clients": {
                "apps": {"networks": ["10.79.0.0/16"], "senders": ["*@contoso.com"], "owner": "it@contoso.com"}
            },
            "listeners": {"smtp": {"port": 25, "tls": "optional"}},
            "egress": {"ca": "/etc/m365-relay/files/sim-ca.pem"},
        }

    # What is seen -----------------------------------------------------------------------------------------------------

    def relayctl(self, host: str, *words: str) -> Any:
        """Ask a node; its exit code is no matter."""
        said = self.lab.ssh(host, "relayctl", *words, "--json", check=False)
        return json.loads(said.stdout)

    def holders(self) -> list[str]:
        """Say in whose kernels the virtual address is."""
        return [name for name in NODES if name in self.lab.hosts and self.lab.hosts[name].alive() and self._bound(name)]

    def _bound(self, name: str) -> bool:
        return f"{ADDRESS}/32" in self.lab.ssh(name, "ip", "-4", "address", "show").stdout

    def whole(self, *more: str, patience_s: float = 120) -> None:
        """Wait until every node, *more* of them besides the three, says that nothing is wrong."""
        end = time.monotonic() + patience_s
        troubles: dict[str, Any] = {}
        while time.monotonic() < end:
            troubles = {}
            for name in (*NODES, *more):
                try:
                    seen = self.relayctl(name, "status")
                    troubles[name] = [*seen["troubles"], *seen["readiness"]["reasons"]]
                except (ValueError, KeyError) as error:
                    troubles[name] = [str(error)]
            if not any(troubles.values()):
                return
            time.sleep(1)
        raise AssertionError(f"the cluster is not whole: {troubles}")

    def send(self, count: int = 5, *, to: str = ADDRESS) -> None:
        """Send mail from the fourth host, to the virtual address if no other is said; what is not a 250 is an error."""
        program = f"""
import smtplib
with smtplib.SMTP("{to}", 25, timeout=20) as session:
    for number in range({count}):
        to = f"somebody{{number}}@example.com"
        session.sendmail("app@contoso.com", [to], "From: app@contoso.com\\r\\n\\r\\nhello")
"""
        self.lab.ssh("sim", "python3", "-", input=program)

    def innocent(self) -> None:
        """Demand that the simulator has seen nothing twice and no limit exceeded."""
        seen = self.stats()
        assert seen["messages"]["duplicates"] == 0
        assert seen["violations"]["total"] == 0

    def counted(self) -> int:
        """Say how many recipients of a day etcd counts, of all accounts together."""
        said = self.lab.ssh("a", "relay-etcdctl get --prefix --print-value-only /m365-relay/lab/budget/").stdout
        records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        days = [units for record in records for start, units in record.items() if start.isdecimal()]
        return sum(days)

    def reaches(self, name: str, port: int, *, by: str = "sim") -> bool:
        """Whether a port of a host lets another one connect."""
        program = f"""
import socket
socket.create_connection(("{self.lab.hosts[name].address}", {port}), timeout=3)
"""
        return self.lab.ssh(by, "python3", "-", input=program, check=False).returncode == 0

    def stats(self) -> dict[str, Any]:
        """Give what the simulator counted."""
        found: dict[str, Any] = json.loads(self.lab.ssh("sim", "python3", "-", input=_STATS).stdout)
        return found

    def arrived(self) -> int:
        """Say how many messages the simulator has."""
        return int(self.stats()["messages"]["accepted"])

    def arrives(self, wanted: int, patience_s: float = 90) -> None:
        """Wait until the simulator has so many."""
        end = time.monotonic() + patience_s
        while self.arrived() < wanted:
            assert time.monotonic() < end, f"{self.arrived()} of {wanted} messages have arrived"
            time.sleep(1)


_STATS = """
import socket, urllib.request
address = socket.gethostbyname(socket.gethostname())
print(urllib.request.urlopen(f"http://{address}:40080/stats").read().decode())
"""
