"""A cluster's coordinators as real processes: each in a network namespace of its own, etcd beside them, TLS throughout.

The local node is a small real HTTP server on the socket the coordinator watches, in the namespace of its host; it also
says its name on TCP port 2525 of every address it has, so a client sees who holds the virtual one.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from coordinator.keys import Keys
from coordinator.signing import Signer
from coordinator.wishes import Kind, Wish, suffix_of
from tests.support.etcd_cluster import ETCD_35, ETCDCTL
from tests.support.namespaces import Lan, sh
from tests.support.pki import ClusterAuthority

ROOT = Path(__file__).parents[2]
NAMES = ("relay-a", "relay-b", "relay-c")
CLUSTER = "corp-mail"
KEYS = Keys(cluster=CLUSTER)
VIP = "10.9.0.100"
STORE = "10.9.0.200"
START_S = 120.0
"""Generous: a machine that runs many things at once starts a process in half a minute."""

NODE = """
import asyncio, json, pathlib, sys
path, name = pathlib.Path(sys.argv[1]), sys.argv[2]

async def ready(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            why = path.with_suffix(".why")
            reasons = [why.read_text()] if why.exists() else []
            body = json.dumps({"ready": not reasons, "reasons": reasons}).encode()
            status = b"503 Service Unavailable" if reasons else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def greet(reader, writer):
    writer.write(name.encode())
    await writer.drain()
    writer.close()

async def main():
    path.unlink(missing_ok=True)
    await asyncio.start_unix_server(ready, path)
    server = await asyncio.start_server(greet, "0.0.0.0", 2525)
    await server.serve_forever()

asyncio.run(main())
"""


def wait_for(what, condition, bound_s=START_S):
    end = time.monotonic() + bound_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {bound_s} s: {what}"
        time.sleep(0.1)
    return value


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(2)
        self.sock.connect(str(self._path))


@dataclass
class Child:
    """A program in a namespace; what it said is in its log."""

    space: str
    command: list[str]
    log: Path
    process: subprocess.Popen | None = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.space, *self.command], stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), "GOMAXPROCS": "1", "ETCD_UNSUPPORTED_ARCH": ""},
            )  # fmt: skip

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self, bound_s=20):
        """SIGTERM; the exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(bound_s)

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def events(self):
        """What it logged, line by line."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]


def _read(value):
    try:
        return json.loads(value)
    except ValueError:
        return value


@dataclass
class Coordinators:
    """``with Coordinators(tmp_path) as cluster``."""

    home: Path
    hosts: int = 2
    timing: str = "fast"
    cluster: dict = field(default_factory=dict)
    addresses: dict = field(default_factory=lambda: {"smtp": {"address": VIP, "site": "dc1"}})
    members: int = 1

    def __enter__(self):
        self.memory = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.lan = Lan(self.hosts + 1).__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for child in (*getattr(self, "coordinators", ()), *getattr(self, "nodes", ()), *getattr(self, "etcd", ())):
            child.kill()
        self.lan.__exit__()
        shutil.rmtree(self.memory, ignore_errors=True)

    def _start(self):
        self.authority = ClusterAuthority(CLUSTER)
        self.names = NAMES[: self.hosts]
        pki = self.authority.write(self.home / "store", "store", addresses=(STORE,), uris=())
        sh("ip", "-n", self.lan.bridge, "addr", "add", f"{STORE}/24", "dev", "br0")
        sh("ip", "-n", self.lan.bridge, "link", "set", "lo", "up")
        self.etcd = [self._member(number, pki) for number in range(self.members)]
        (self.home / "pki").mkdir()
        for number, name in enumerate(self.names):
            self.authority.write(self.home / name / "pki", name, addresses=(self.address(number),))
            self.run_dir(number).mkdir(parents=True)
            self.configure(name)
        self.nodes = [self._child(number, "node", "-c", NODE, str(self.run_dir(number) / "admin.sock"), name)
                      for number, name in enumerate(self.names)]  # fmt: skip
        self.coordinators = [
            self._child(number, "coordinator", "-m", "coordinator", str(self.config(name)), "--node", name)
            for number, name in enumerate(self.names)
        ]
        for child in (*self.etcd, *self.nodes, *self.coordinators):
            child.start()

    def _child(self, number, what, *words):
        """Start it where the host's own certificates lie at the path that stands in everybody's file."""
        log, own = self.home / f"{what}-{number}.log", self.home / self.names[number] / "pki"
        inside = ["sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", str(own), str(self.home / "pki")]
        return Child(self.lan.hosts[number], [*inside, sys.executable, *words], log)

    def _member(self, number, pki):
        client, peer = 2379 + 10 * number, 2380 + 10 * number
        together = ",".join(f"m{each}=http://{STORE}:{2380 + 10 * each}" for each in range(self.members))
        command = [
            str(ETCD_35), "--name", f"m{number}", "--data-dir", str(self.home / f"m{number}"),
            "--listen-client-urls", f"https://{STORE}:{client}", "--advertise-client-urls", f"https://{STORE}:{client}",
            "--listen-peer-urls", f"http://{STORE}:{peer}", "--initial-advertise-peer-urls", f"http://{STORE}:{peer}",
            "--initial-cluster", together, "--logger", "zap", "--log-level", "warn", "--unsafe-no-fsync",
            "--cert-file", str(pki / "node.pem"), "--key-file", str(pki / "node.key"),
            "--trusted-ca-file", str(pki / "ca.pem"), "--client-cert-auth",
        ]  # fmt: skip
        return Child(self.lan.bridge, command, self.home / f"m{number}.log")

    @property
    def endpoints(self):
        return [f"{STORE}:{2379 + 10 * number}" for number in range(self.members)]

    def address(self, number):
        return f"10.9.0.{number + 1}"

    def run_dir(self, number):
        """In memory, as /run is: a disk others keep busy must not hold up a coordinator."""
        return self.memory / self.names[number]

    def config(self, name):
        return self.home / name / "relay.yaml"

    def configure(self, name, *, nodes=None, addresses=None, **cluster):
        """Write a host's file."""
        known = {each: {"site": "dc1", "address": self.address(NAMES.index(each))} for each in nodes or self.names}
        told = {
            "runtime": str(self.run_dir(NAMES.index(name))),
            "coordinator": {"state": str(self.home / name / "state")},
            "cluster": {
                "name": CLUSTER, "nodes": known, "etcd": self.endpoints, "pki": str(self.home / "pki"),
                "timing": self.timing, "early_takeover": False, **self.cluster, **cluster,
            },
            "virtual_addresses": addresses or self.addresses,
        }  # fmt: skip
        self.config(name).write_text(yaml.safe_dump(json.loads(json.dumps(told))))

    # What is seen -----------------------------------------------------------------------------------------------------

    def get(self, number, path="/v1/status"):
        """Ask a host's coordinator; None without an answer."""
        connection = _OverSocket(self.run_dir(number) / "coordinator.sock")
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            body = connection.getresponse().read()
            return json.loads(body) if path.startswith("/v1") else body.decode()

    def page(self, number):
        """Give a living coordinator's status page."""
        return wait_for(f"the page of {self.names[number]}", lambda: self.get(number), 30)

    def view(self, number, name="smtp"):
        """Give what a host's coordinator says of an address."""
        return next(each for each in self.page(number)["addresses"] if each["name"] == name)

    def bound(self, number, vip=VIP):
        """Say whether a host's kernel has the address."""
        return f" {vip}/" in self.lan.addresses(number)

    def holders(self, vip=VIP):
        """Whose kernels have the address; AssertionError for two at one moment."""
        first = [number for number in range(self.hosts) if self.bound(number, vip)]
        again = [number for number in first if self.bound(number, vip)]
        assert len(first) < 2 or len(again) < 2 or self.allows_two, f"two holders: {first}"
        return first

    allows_two = False

    def holder(self, *, but=None, bound_s=START_S):
        """Wait for a holder, another than ``but``."""

        def found():
            holders = [number for number in self.holders() if number != but]
            return [holders[0]] if len(holders) == 1 else None

        return wait_for("a holder", found, bound_s)[0]

    def client_sees(self):
        """Who greets at the virtual address; empty for nobody."""
        code = f"import socket; print(socket.create_connection(('{VIP}', 2525), 0.3).recv(20).decode())"
        command = ["ip", "netns", "exec", self.lan.hosts[self.hosts], sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # The store --------------------------------------------------------------------------------------------------------

    def ctl(self, *words):
        pki = self.home / "store"
        command = [
            "ip", "netns", "exec", self.lan.bridge, str(ETCDCTL), "--command-timeout", "3s",
            "--endpoints", ",".join(f"https://{each}" for each in self.endpoints), "--cacert", str(pki / "ca.pem"),
            "--cert", str(pki / "node.pem"), "--key", str(pki / "node.key"), *words,
        ]  # fmt: skip
        env = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def keys(self):
        """Everything of the cluster: key without its root, and value."""
        found = json.loads(self.ctl("get", "--prefix", KEYS.root, "-w", "json")).get("kvs", [])
        pairs = [(base64.b64decode(each["key"]).decode(), base64.b64decode(each["value"])) for each in found]
        return {key.removeprefix(KEYS.root): _read(value) for key, value in pairs}

    def put(self, key, value):
        self.ctl("put", KEYS.root + key, value if isinstance(value, str) else json.dumps(value))

    def wish(self, kind, what="", *, to="", on=True):
        """Sign and store an operator's wish."""
        now_ms = time.time_ns() // 1_000_000
        until_ms = now_ms + 600_000 if on and kind in (Kind.MOVE, Kind.PAUSE) else 0
        made = Wish(kind=kind, what=what, to=to, on=on, actor="root", reason="test", node=self.names[0],
                    sequence=now_ms, made_ms=now_ms, until_ms=until_ms)  # fmt: skip
        pki = self.home / self.names[0] / "pki"
        signer = Signer(CLUSTER, (pki / "node.pem").read_bytes(), (pki / "node.key").read_bytes())
        key = KEYS.control(suffix_of(kind, what))
        self.ctl("put", key, signer.sign(key, made).decode())
