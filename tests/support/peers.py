"""Peer servers and clients with certificates of their own on loopback."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.peers.channel import PeerClient, PeerServer, Target
from coordinator.peers.contract import Handler
from coordinator.pki import Pki
from tests.support.pki import ClusterAuthority

CLUSTER = "corp-mail"
NODES = ("relay-a", "relay-b", "relay-c")


async def echo(node: str, body: bytes) -> bytes:
    return node.encode() + b":" + body


@dataclass
class PeerHouse:
    """Directories of several nodes under one root; what is opened here is closed here."""

    root: Path
    authority: ClusterAuthority = field(default_factory=ClusterAuthority)
    nodes: set[str] = field(default_factory=lambda: set(NODES))
    """The list in force, as every server sees it."""
    targets: dict[str, Target] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)

    def pki(self, node: str, **issue) -> Pki:
        """Give a node's directory, written at its first mention or when told how."""
        directory = self.root / node
        if issue or not directory.exists():
            self.authority.write(directory, node, **issue)
        return Pki(directory)

    async def server(self, node: str, routes: Mapping[str, Handler] | None = None, **options) -> PeerServer:
        server = PeerServer(
            options.pop("pki", None) or self.pki(node),
            CLUSTER,
            lambda: self.nodes,
            routes or {"echo": echo},
            alarm=self.alarms.append,
            **options,
        )
        self.targets[node] = Target("127.0.0.1", await server.start("127.0.0.1", 0))
        self.closing.push_async_callback(server.close)
        return server

    def client(self, node: str, *, pki: Pki | None = None, targets: Callable | None = None, **options) -> PeerClient:
        client = PeerClient(pki or self.pki(node), CLUSTER, targets or (lambda: self.targets), **options)
        self.closing.push_async_callback(client.close)
        return client
