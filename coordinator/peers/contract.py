"""What a process asks of its peers, and how they answer: short questions over mutually authenticated connections.

A route is a short name; bodies are encoded by whoever owns the route. The caller's node name comes from its
certificate, never from what it says. Every call is bounded by the caller's ``timeout_s``; no answer means nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from coordinator.errors import CoordinatorError


class PeerError(CoordinatorError):
    """A peer did not answer as asked."""


class PeerUnreachable(PeerError):  # noqa: N818 - a state of affairs
    """No connection, or no answer in time: nothing is known."""


class PeerRefused(PeerError):  # noqa: N818 - as above
    """The peer answered and refused: another cluster, a node not on the list in force, an unknown route."""

    temporary = False


class WrongProtocol(PeerRefused):
    """The peer is of a version that does not speak the protocol asked in."""


Handler = Callable[[str, bytes], Awaitable[bytes]]
"""Takes the caller's node name and the body, gives the answer's body."""


class Peers(Protocol):
    """The other processes of one role."""

    async def ask(self, node: str, route: str, body: bytes, *, timeout_s: float) -> bytes:
        """Ask a node. Raises PeerUnreachable or PeerRefused."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
