"""What the holder of an address asks of the thing that carries it. Lease logic is elsewhere, the same for all."""

from typing import Protocol

from coordinator.errors import CoordinatorError


class DriverError(CoordinatorError):
    """The address could not be bound, removed or looked at; the text says which and why."""


class Driver(Protocol):
    """One address. Calls are made one at a time."""

    async def clean(self) -> None:
        """Remove what an earlier process of ours left; before that process's lease is revoked."""
        ...

    async def probe(self) -> bool:
        """Whether somebody else answers for the address now."""
        ...

    async def bind(self, lifetime_s: int) -> None:
        """Add the address, or lengthen or shorten its stay; it ends by itself after ``lifetime_s``."""
        ...

    async def remove(self) -> None:
        """Remove it and return only when it was read back as gone. Raises DriverError."""
        ...

    async def close(self) -> None:
        """Let go of sockets and tasks; the address stays for its lifetime."""
        ...
