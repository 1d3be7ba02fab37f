"""What the administration interface asks about an address that is to be erased everywhere."""

from typing import Protocol

import msgspec

from node.admin.queries import BadRequestError
from node.policy.proof import Credential

ADDRESS_MAX = 320


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An order to erase an address, without the address itself."""

    id: str
    digest: str
    """Keyed hash of the address: tells orders apart, and whoever has the address whether it was this one."""
    actor: str
    reason: str
    at_ms: int
    changed: int = 0
    """Messages and other rows changed on all nodes so far."""
    done_ms: int = 0
    """When no node had any row with it left; 0: it goes on."""
    waiting: dict[str, str] = msgspec.field(default_factory=dict)
    """Nodes that were not done when last asked, and why."""


class ErasureControl(Protocol):
    """Orders made on this node, carried out on all."""

    async def order(self, address: str, actor: str, reason: str, credential: Credential | None = None) -> ErasureView:
        """Durable. Begin to erase, and say how far it is after the first round.

        Raises a temporary error when the disk refuses, BadRequestError when too many orders are under way.
        """
        ...

    async def all(self) -> list[ErasureView]:
        """Give the orders under way, and those that ended lately."""
        ...


def address_of(text: str) -> str:
    """Read an address to erase; raises BadRequestError."""
    if "@" not in text.strip("@") or len(text) > ADDRESS_MAX or not text.isprintable() or " " in text:
        raise BadRequestError("address: expected an address to erase from the history")
    return text
