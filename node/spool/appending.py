"""The verbs that take mail in, on SQLite: from the event loop, and past it."""

import asyncio
from pathlib import Path

from node.spool.bodies import Bodies
from node.spool.contract import Accepted
from node.spool.engine import Engine
from node.spool.filing import append_file, inline
from node.spool.inlets import Fits, Heard, Inlet, Source


class AppendingVerbs:
    """Added to a spool that has an engine."""

    _engine: Engine
    _bodies: Bodies

    def new_body_path(self, message_id: str) -> Path:
        """See the contract; raises WrongRequest for an id that is no file name."""
        return self._bodies.path_for(message_id)

    async def append(self, item: Accepted) -> None:
        """See the contract; raises WrongRequest for an id already here or a body file that is not as described.

        Bytes above 256 KiB are taken too, and put into a file.
        """
        arrival = inline(item)
        if arrival is None:
            await append_file(item, self._engine, self._bodies)
        else:
            await self._engine.append(arrival)

    def append_soon(self, item: Accepted) -> "asyncio.Future[None]":
        """See the contract."""
        arrival = None if self._engine.full else inline(item)
        return asyncio.ensure_future(self.append(item)) if arrival is None else self._engine.append_soon(arrival)

    def feed(self, inlet: Inlet, heard: Heard = lambda _: None, fits: Fits = lambda _: True) -> bool:
        """Take mail from an inlet until its end, past the event loop; False: it must all come by ``append_soon``."""
        return self._engine.feed(Source(inlet, heard, fits))
