"""The spool's one verb more: take a message over from a copy, as it stands, in one transaction."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from node.policy.envelope import NewMessage
from node.shadow.contract import KeptCopy
from node.shadow.settling import entries_of, lines_of, take_over
from node.spool import reading
from node.spool.bodies import INLINE_BYTES, mapped
from node.spool.contract import Accepted, BodyFile
from node.spool.errors import WrongRequest
from node.spool.journal import arrival_of
from node.spool.operations import Step
from node.spool.sqlite import SqliteSpool


class AdoptingSpool(SqliteSpool):
    """A spool that can adopt."""

    async def known(self, message_ids: Sequence[str]) -> set[str]:
        """Say which messages are here, live or past."""
        return {
            each
            for each in message_ids
            if self._engine.pending.holds(each) or await self._engine.readers.ask(reading.knows, each)
        }

    async def adopt(self, message: NewMessage, copy: KeptCopy, body: bytes | Path, origin: str, now_ms: int) -> bool:
        """Durable. Take a message over; False if it is here already, which changes nothing.

        A body that is a file of the same file system is shared, not copied. Raises SpoolFull, SpoolBroken, and
        WrongRequest for what cannot be a message here.
        """
        if await self.known([message.id]):
            return False
        item, file = await self._engine.readers.run(partial(self._placed, message, body))
        arrival = arrival_of(item, copy.size_bytes, file)
        entries = entries_of(message, copy, now_ms)
        apply = partial(take_over, arrival, entries, lines_of(copy, entries, origin, now_ms), now_ms)
        try:
            await self._engine.do(Step(apply=apply, messages=(message.id,), fresh=(message.id,)))
        except WrongRequest:
            if await self.known([message.id]):
                return False
            raise
        return True

    def _placed(self, message: NewMessage, body: bytes | Path) -> tuple[Accepted, str]:
        """Put a large body where the spool keeps them. What no row comes to name is set aside at the next start."""
        if isinstance(body, bytes) and len(body) <= INLINE_BYTES:
            return Accepted(message=message, body=body), ""
        path = self.new_body_path(message.id)
        with mapped("share body"):
            if isinstance(body, bytes):
                path.write_bytes(body)
            else:
                _share(body, path)
            kept = BodyFile(path=str(path), size_bytes=path.stat().st_size)
        return Accepted(message=message, body=kept), self._bodies.take(message.id, kept)


def _share(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
