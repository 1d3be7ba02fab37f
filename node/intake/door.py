"""The door: everything the front of the house needs from the core, and nothing else.

``LocalDoor`` (local.py) answers within the core's process; ``RemoteDoor`` (remote.py) answers from a worker process
over a Unix socket. The front never learns which one it has. Values here cross that socket.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from node.spool.contract import Accepted

if TYPE_CHECKING:
    from asyncio import Future

    from node.cluster.contract import Refusal


class DoorState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether mail may be accepted now; pushed by the core, read for every MAIL."""

    accepting: bool = True
    reason: str = ""
    """Why not: ``disk``, ``memory``, ``queue``, ``core`` (the core process is away)."""


class Sight(StrEnum):
    """What was seen of a client and belongs into the weak-client report (operations M1)."""

    MESSAGE = "message"
    OLD_TLS = "old_tls"
    CLEAR_AUTH = "clear_auth"
    BARE_LF = "bare_lf"
    LENIENT = "lenient"
    AUTH_FAILED = "auth_failed"
    REFUSED = "refused"


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one AUTH exchange."""

    user: str = ""
    """Canonical user when accepted, else empty."""
    delay_s: float = 0.0
    """How long the refusal is held back."""
    temporary: bool = False
    """Not decided now: too many sign-ins wait."""


class Door(Protocol):
    """What the intake asks of the core."""

    def append(self, item: Accepted) -> "Future[None]":
        """Done when the message is durable; fails with a TemporaryError, then nothing was promised."""
        ...

    def admit(self, client: str, recipients: int, held: int) -> "Future[Refusal | None]":
        """Reserve one message with ``recipients`` for a client, in place of its reservation of ``held``.

        A refusal leaves the old reservation standing (A8: count on acceptance, reserve at RCPT).
        """
        ...

    def client_done(self, client: str, reserved: int, used: int) -> None:
        """End a reservation: ``used`` recipients were accepted, 0 when the transaction was given up."""
        ...

    def state(self) -> DoorState:
        """The newest state; never waits."""
        ...

    def sighting(self, client: str, what: Sight, address: str) -> None:
        """Note something about a client; never waits, may be lost with the process."""
        ...

    def new_body_path(self, message_id: str) -> Path:
        """Where a large body is written before ``append`` takes it over."""
        ...

    async def verify(self, user: str, password: bytes, address: str) -> SignIn:
        """Check a sign-in; guard and caches are shared by all workers. Raises TemporaryError."""
        ...
