"""Reports handed in by SMTP: read and dealt with before their 250, so that none lies in a queue of its own.

Nothing is kept for later: a report that cannot be written down now is answered 451, and whoever sent it keeps it.
"""

import asyncio
from pathlib import Path
from typing import Final

from node.errors import TemporaryError
from node.policy.ndr.mime import READ_BYTES
from node.policy.return_path import ReturnAddresses
from node.policy.returned import is_returned
from node.spool.contract import Accepted, BodyFile
from node.truth.contract import Came
from node.truth.desk import Desk

AT_ONCE: Final = 4
WAITING_MAX: Final = 64


class TooManyReports(TemporaryError):  # noqa: N818 - a state of affairs
    """More reports wait than are kept in memory."""


class Arriving:
    """The door's side of the room."""

    def __init__(self, desk: Desk) -> None:
        """Hand reports to the desk, few at a time."""
        self._desk = desk
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Future[None]] = set()
        self.addresses = ReturnAddresses(by_tenant={})

    def wants(self, item: Accepted) -> bool:
        """Tell whether a message is for the return path."""
        return is_returned(self.addresses, item.message.client, item.message.recipients)

    def take(self, item: Accepted) -> "asyncio.Future[None]":
        """Deal with a report; done when what it says is durable, with an error of ours when it must come again."""
        crowded = len(self._under_way) >= WAITING_MAX
        task = asyncio.ensure_future(self._taken(item, crowded=crowded))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _taken(self, item: Accepted, *, crowded: bool) -> None:
        body = item.body
        try:
            if crowded:
                raise TooManyReports("too many reports at once")
            async with self._turn:
                data = body if isinstance(body, bytes) else await asyncio.to_thread(_beginning, Path(body.path))
                address = item.message.recipients[0].address
                came = Came(address=address, traceparent=item.message.traceparent)
                await self._desk.take(data, came)
        finally:
            if isinstance(body, BodyFile):
                await asyncio.to_thread(Path(body.path).unlink, missing_ok=True)

    async def settled(self) -> None:
        """Wait for those under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(READ_BYTES + 1)
