"""What delivery asks of whoever keeps second copies, and the answers of a node that has no peers."""

from typing import NamedTuple, Protocol

from node.spool.contract import Accepted, Spool


class Intention(NamedTuple):
    """An attempt whose final dot is about to be sent."""

    pairing: int
    """Number of the pairing the message belongs to; 0: it is here alone."""
    message_id: str
    attempt_id: str
    indexes: tuple[int, ...]
    dot_ms: int


class Second(Protocol):
    """The other machine's side of an attempt (design §5.6, coordination-review §3)."""

    def taking(self, message_id: str) -> bool:
        """Whether a message is not answered to its client yet: it may still be refused, so it is not attempted."""
        ...

    def may_intend(self, pairing: int) -> bool:
        """Whether an attempt that must not be repeated could be told to the other machine now, or need not be."""
        ...

    async def intend(self, about: Intention) -> bool:
        """Make an intent durable at the other machine; False: it is not, and the final dot must not be sent."""
        ...

    def epoch(self, pairing: int) -> int:
        """Give the epoch of the pairing with this number, for show; 0: the mail is here alone."""
        ...

    async def append(self, item: Accepted) -> None:
        """Keep a message of the node's own, like one from a client. Raises what the spool's ``append`` raises."""
        ...


class Alone:
    """A node without peers."""

    def __init__(self, spool: Spool) -> None:
        """Everything of its own goes into the spool."""
        self._spool = spool

    def taking(self, message_id: str) -> bool:  # noqa: ARG002 - the contract's
        """See Second: durable here is enough."""
        return False

    def may_intend(self, pairing: int) -> bool:  # noqa: ARG002 - the contract's
        """See Second."""
        return True

    async def intend(self, about: Intention) -> bool:  # noqa: ARG002 - the contract's
        """See Second: nobody else need know."""
        return True

    def epoch(self, pairing: int) -> int:  # noqa: ARG002 - the contract's
        """See Second."""
        return 0

    async def append(self, item: Accepted) -> None:
        """See Second."""
        await self._spool.append(item)
