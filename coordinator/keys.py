"""Names of everything kept in the store, under ``<prefix>/<cluster>/`` (design §7); and how values are written.

A value is a JSON object. What cannot be read (garbage, a newer version's form) is None: present but not understood,
so nobody mistakes it for absent.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Role:
    """Which of a host's two processes a session belongs to."""

    NODE = "members"
    COORDINATOR = "coordinators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The key space of one cluster."""

    cluster: str
    prefix: str = "/m365-relay"

    @property
    def root(self) -> str:
        """Everything of this cluster begins so."""
        return f"{self.prefix}/{self.cluster}/"

    def member(self, role: str, node: str) -> str:
        """Give the leased key that says a process is there."""
        return f"{self.root}{role}/{node}"

    @property
    def leader(self) -> str:
        """The leased key of whoever does the cluster's chores."""
        return f"{self.root}leader"

    def address(self, name: str) -> str:
        """Give the leased key of an address's holder."""
        return f"{self.root}vip/{name}"

    def address_nodes(self, name: str) -> str:
        """Give the key of the list of nodes that may ever hold the address; only its holder changes it."""
        return f"{self.root}vip-nodes/{name}"

    def ready(self, node: str) -> str:
        """Give the leased key a coordinator says its node's readiness under."""
        return f"{self.root}ready/{node}"

    def wanted(self, node: str) -> str:
        """Give the leased key a node says under what its configuration wants of the whole cluster."""
        return f"{self.root}wanted/{node}"

    @property
    def config(self) -> str:
        """The values in force in the whole cluster."""
        return f"{self.root}config"

    @property
    def version(self) -> str:
        """The level in force: what every process speaks and writes (``versions``)."""
        return f"{self.root}version"

    def budget(self, scope: str, kind: str) -> str:
        """Give the key of a shared limit."""
        return f"{self.root}budget/{scope}/{kind}"

    def slot(self, scope: str, index: int) -> str:
        """Give the leased key of one of a scope's connections."""
        return f"{self.root}slot/{scope}/{index}"

    @property
    def ownerships(self) -> str:
        """Every pairing's key begins so."""
        return f"{self.root}ownership/"

    def ownership(self, spool: str, shadow: str) -> str:
        """Give the key that says who owns the rows of one spool that one other node keeps copies of."""
        return f"{self.ownerships}{spool}/{shadow}"

    def pairing_of(self, key: str) -> tuple[str, str] | None:
        """Read spool and shadow out of a pairing's key; None for any other key."""
        spool, _, shadow = key.removeprefix(self.ownerships).partition("/")
        return (spool, shadow) if spool and shadow and key == self.ownership(spool, shadow) else None

    def spool(self, spool: str) -> str:
        """Give the key of a spool's sequence: how far it had come, and who had it."""
        return f"{self.root}spool/{spool}"

    def control(self, what: str) -> str:
        """Give the key of an operator's wish."""
        return f"{self.root}control/{what}"


def encode(value: object) -> bytes:
    """Write a value."""
    return msgspec.json.encode(value)


def decode(data: bytes, kind: type[T]) -> T | None:
    """Read a value; None when it is not one of ``kind``."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def plain(data: bytes) -> dict[str, Any] | None:
    """Read any JSON object; None when it is none."""
    found = decode(data, dict)
    return found if isinstance(found, dict) else None
