"""Hosts for the collection's tests: each boots its own systemd on an overlay, in a network namespace of its own.

Bridges in one more namespace, the hub, join them; the hub has no way out. Ansible and the tests enter through it. Also
a program: ``python -m tests.ansible.lab up a b c@dc2``, ``ssh a …``, ``down``; state lies under ``$RELAY_LAB``.

Not as on a real host: kernel and clock are shared with the machine, so only ``net.*`` sysctls may be set.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.ansible.lab_base import INSIDE, Base, run, succeeds

HUB: Final = "relaylab"
NETWORK: Final = "10.79"
"""Hosts get NETWORK.<net>.<10 + number>."""
BOOT_S: Final = 120
_AGAIN: Final = 'while :; do "$@" & echo $! > "$0"; wait $!; [ $? = 133 ] || exit; done'
"""systemd-nspawn ends with 133 when the host asks for a reboot."""


def default_home() -> Path:
    """Where base system and state lie, unless ``$RELAY_LAB`` says otherwise."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RELAY_LAB") or cache / "m365-relay-lab")


@dataclass
class Host:
    """One host."""

    name: str
    net: int
    number: int
    capabilities: str = "CAP_NET_ADMIN,CAP_NET_RAW"
    pid: int = 0

    @property
    def address(self) -> str:
        """Its address."""
        return f"{NETWORK}.{self.net}.{10 + self.number}"

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"{HUB}-{self.name}"

    def alive(self) -> bool:
        """Whether it is switched on."""
        try:
            return b"systemd-nspawn" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False


@dataclass
class Lab:
    """All hosts; ``close`` leaves nothing behind but the base system."""

    home: Path = field(default_factory=default_home)
    hosts: dict[str, Host] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take up what an earlier process left."""
        self.base = Base(self.home)
        with suppress(FileNotFoundError):
            known = json.loads((self.home / "state.json").read_text())
            self.hosts = {name: Host(**about) for name, about in known.items()}

    def up(self, *names: str, net: int = 1, **options: Any) -> None:
        """Make hosts in a subnet and boot them; waits until all answer."""
        self.base.prepare()
        for name in names:
            if name not in self.hosts:
                used = {host.number for host in self.hosts.values()}
                number = next(each for each in range(1, 200) if each not in used)
                self.hosts[name] = Host(name, net, number, **options)
        self.start(*names)

    def start(self, *names: str) -> None:
        """Boot hosts that are off, with the files they have."""
        for name in names:
            host = self.hosts[name]
            if not host.alive():
                self._plug(host)
                self._boot(host)
        self._save()
        known = "".join(f"{host.address} {host.name}\n" for host in self.hosts.values())
        for host in self.hosts.values():
            if host.alive():
                (self._folder(host) / "root/etc/hosts").write_text(f"127.0.0.1 localhost\n{known}")
        for name in names:
            self._await(self.hosts[name])

    def ssh(self, name: str, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        found = subprocess.run(
            [*self.hub, "ssh", "-q", "-i", str(self.base.key), *_SSH, f"root@{self.hosts[name].address}", *command],
            **({"capture_output": True, "text": True, "timeout": 120} | options),
            check=False,
        )
        if check and found.returncode:
            raise RuntimeError(f"{name}: {' '.join(command)}: {found.returncode}\n{found.stdout}{found.stderr}")
        return found

    def write(self, name: str, path: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file on a host."""
        file = self._folder(self.hosts[name]) / "root" / path.lstrip("/")
        file.write_text(text)
        file.chmod(mode)

    def put(self, name: str, file: Path, path: str) -> None:
        """Copy a file onto a host."""
        shutil.copyfile(file, self._folder(self.hosts[name]) / "root" / path.lstrip("/"))

    @property
    def hub(self) -> tuple[str, ...]:
        """What to put before a command that is to reach the hosts."""
        return ("ip", "netns", "exec", HUB)

    def kill(self, name: str) -> None:
        """Switch a host off as by power loss."""
        host = self.hosts[name]
        if host.alive():
            os.kill(host.pid, signal.SIGKILL)
        self._halted(host)

    def destroy(self, *names: str) -> None:
        """Switch hosts off and take their disks away."""
        for name in names:
            host = self.hosts.pop(name)
            if host.alive():
                os.kill(host.pid, signal.SIGKILL)
            self._halted(host)
            root = self._folder(host) / "root"
            for _ in range(50):
                if not os.path.ismount(root) or succeeds("umount", root):
                    break
                time.sleep(0.2)
            succeeds("ip", "netns", "del", host.namespace)
            for group in _groups(host):
                for below in (*sorted(group.rglob("*/"), reverse=True), group):
                    with suppress(OSError):
                        below.rmdir()
            shutil.rmtree(self._folder(host))
        self._save()

    def close(self) -> None:
        """Take everything down."""
        self.destroy(*list(self.hosts))
        if Path(f"/run/netns/{HUB}").exists():
            for pid in run("ip", "netns", "pids", HUB).stdout.split():  # shared ssh connections
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
            run("ip", "netns", "del", HUB)

    def inventory(self) -> dict[str, Any]:
        """Give the connection's variables, for ``all``."""
        enter = self.home / "enter-ssh"
        enter.write_text(f'#!/bin/sh\nexec ip netns exec {HUB} ssh "$@"\n')
        enter.chmod(0o755)
        return {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(self.base.key),
            "ansible_ssh_executable": str(enter),
            "ansible_ssh_transfer_method": "piped",
            "ansible_ssh_common_args": " ".join(_SSH),
        }

    # Inside -----------------------------------------------------------------------------------------------------------

    def _folder(self, host: Host) -> Path:
        return self.home / "hosts" / host.name

    def _save(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "state.json").write_text(json.dumps({name: vars(host) for name, host in self.hosts.items()}))

    def _plug(self, host: Host) -> None:
        if not Path(f"/run/netns/{HUB}").exists():
            run("ip", "netns", "add", HUB)
            run("ip", "-n", HUB, "link", "set", "lo", "up")
            run(*self.hub, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        bridge = f"br{host.net}"
        if not succeeds("ip", "-n", HUB, "link", "show", bridge):
            run("ip", "-n", HUB, "link", "add", bridge, "type", "bridge")
            run("ip", "-n", HUB, "addr", "add", f"{NETWORK}.{host.net}.1/24", "dev", bridge)
            run("ip", "-n", HUB, "link", "set", bridge, "up")
        if Path(f"/run/netns/{host.namespace}").exists():
            return
        port = f"p{host.number}"
        run("ip", "netns", "add", host.namespace)
        run("ip", "-n", HUB, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        run("ip", "-n", HUB, "link", "set", port, "master", bridge, "up")
        for words in (
            "link set lo up",
            f"addr add {host.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {NETWORK}.{host.net}.1",
        ):
            run("ip", "-n", host.namespace, *words.split())

    def _boot(self, host: Host) -> None:
        folder = self._folder(host)
        for part in ("upper", "work", "root"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        root = folder / "root"
        if not os.path.ismount(root):
            layers = f"lowerdir={self.base.root},upperdir={folder}/upper,workdir={folder}/work"
            run("mount", "-t", "overlay", "overlay", "-o", layers, root)
        (root / "etc/hostname").write_text(host.name + "\n")
        groups = list(_groups(host))
        for group in groups:
            group.mkdir(exist_ok=True)

        def enter() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        with (folder / "console.log").open("ab") as log:
            booted = subprocess.Popen(
                [
                    "sh", "-c", _AGAIN, str(folder / "pid"),
                    "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", f"--machine={host.name}",
                    f"--directory={root}", f"--network-namespace-path=/run/netns/{host.namespace}",
                    f"--bind-ro={self.base.packages}:{INSIDE}", "--resolv-conf=off", "--timezone=off",
                    "--link-journal=no",
                    f"--capability={host.capabilities}" if host.capabilities else "--drop-capability=CAP_NET_RAW",
                ],
                env=os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=enter,  # noqa: PLW1509 - no threads here
            )  # fmt: skip
        booted.returncode = 0  # it outlives this process, which waits for none of them
        host.pid = booted.pid

    def _await(self, host: Host) -> None:
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and host.alive():
            said = self.ssh(host.name, "systemctl is-system-running", check=False).stdout.strip()
            if said in {"running", "degraded"}:
                return
            time.sleep(0.5)
        raise RuntimeError(f"{host.name} did not come up; see {self._folder(host)}/console.log")

    def _halted(self, host: Host) -> None:
        for _ in range(150):
            if not host.alive():
                break
            time.sleep(0.1)
        for group in _groups(host):
            for listed in group.rglob("cgroup.procs") if group.exists() else []:
                for pid in listed.read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        host.pid = 0
        self._save()


_SSH: Final = (
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=3",
    "-o", "LogLevel=ERROR",
)  # fmt: skip


def _groups(host: Host) -> Any:
    """Give the host's own control group in each hierarchy its systemd manages."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            yield Path(where) / host.namespace


def main(verb: str, *words: str) -> int:
    """Make, enter or take down hosts by hand."""
    lab = Lab()
    match verb:
        case "up":
            for word in words:
                name, _, net = word.partition("@")
                lab.up(name, net=int(net or 1))
        case "down":
            lab.destroy(*words) if words else lab.close()
        case "kill":
            lab.kill(*words)
        case "start":
            lab.start(*words)
        case "ssh":
            return lab.ssh(*words, check=False, capture_output=False, timeout=None).returncode
        case "hub":
            return subprocess.run([*lab.hub, *words], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
