"""What the copy store keeps beside what other nodes send: mail of its own node that is another's now."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from coordinator.ownership.rows import Attached
from node.shadow import looking, putting, statements
from node.shadow.contract import PAIRINGS_MAX, Held
from node.shadow.engine import Done, Engine
from node.shadow.entries import Copy, Discard, Lines
from node.shadow.errors import QuotaReached
from node.shadow.files import BodyFiles, Files
from node.shadow.rows import held_of
from node.spool.bodies import INLINE_BYTES
from node.spool.database import Database
from node.spool.paired import Standing
from node.spool.readers import Readers
from node.spool.rows import Cell

Item = tuple[Standing, bytes | Path]


class Keeping:
    """A part of ``SqliteCopies``."""

    _engine: Engine
    _readers: Readers
    _files: BodyFiles

    async def holding(self, attached: Attached) -> Held | None:
        """See the contract."""
        rows = await self._readers.ask(statements.run, "holding", putting.key_of(attached))
        return held_of(rows[0]) if rows else None

    async def ids(self, attached: Attached, after: str, limit: int) -> list[str]:
        """See the contract."""
        return await self._readers.ask(looking.ids, attached, after, limit)

    async def seen(self, message_ids: Sequence[str]) -> dict[str, bool]:
        """See the contract."""
        return await self._readers.ask(looking.seen, message_ids)

    async def keep(self, attached: Attached, node: str, items: Sequence[Item]) -> None:
        """See the contract."""
        large = [(item.message.id, body) for item, body in items if in_file(body)]
        files = await self._readers.run(partial(self._files.share, label(attached), large)) if large else {}
        await self._engine.soon(partial(_keep, attached=attached, node=node, items=items, files=files))

    async def settle(self, attached: Attached, message_ids: Sequence[str], at_ms: int) -> int:
        """See the contract."""
        gone = Discard(message_ids=tuple(message_ids), at_ms=at_ms)
        return int(await self._engine.soon(partial(_settle, attached=attached, gone=gone)))


def label(attached: Attached) -> str:
    """Name a pairing in the names of files."""
    return f"{attached.key.spool}.{attached.key.shadow}.{attached.epoch}"


def in_file(body: bytes | Path) -> bool:
    """Whether a body is kept as a file."""
    return isinstance(body, Path) or len(body) > INLINE_BYTES


def copy_of(item: Standing, body: bytes | Path) -> Copy:
    """A message of one's own as a copy; ``files`` have a large body."""
    inline = b"" if in_file(body) or isinstance(body, Path) else body
    return Copy(
        message_id=item.message.id, facts=item.facts, size_bytes=item.size_bytes, body=inline, progress=item.progress
    )


def _keep(database: Database, attached: Attached, node: str, items: Sequence[Item], files: Files) -> Done:
    number = putting.number_of(database, attached) or _added(database, attached, node)
    copies = [copy_of(item, body) for item, body in items]
    chosen: dict[str, Cell] = {"pairing": number, "ids": putting.text(each.message_id for each in copies)}
    statements.run(database, "drop_told", chosen)  # the journey comes whole
    putting.add(database, number, copies, files)
    lines = [Lines(message_id=item.message.id, lines=item.lines) for item, _ in items if item.lines]
    putting.tell(database, number, lines)
    return Done()


def _added(database: Database, attached: Attached, node: str) -> int:
    if statements.number(database, "count_pairings") >= PAIRINGS_MAX:
        raise QuotaReached(f"copies of {PAIRINGS_MAX} pairings are kept")
    statements.run(database, "add_pairing", (*putting.key_of(attached), node, 0))
    return putting.number_of(database, attached)


def _settle(database: Database, attached: Attached, gone: Discard) -> Done:
    number = putting.number_of(database, attached)
    rows = statements.run(database, "known", {"pairing": number, "ids": putting.text(gone.message_ids)})
    return Done(value=len(rows), gone=putting.discard(database, number, gone))
