"""The copy store on SQLite: the contract put together from engine, body files and the check at start.

It lies in a directory of its own beside the spool's database, so that neither waits for the other's transactions.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

from coordinator.ownership.rows import Attached
from node.shadow import addresses, finding, looking, putting, statements
from node.shadow.contract import PAIRINGS_MAX, FoundKept, FoundPast, Held, KeptCopy, Past, Stream
from node.shadow.engine import Engine
from node.shadow.entries import Copy, Discard, Piece
from node.shadow.errors import WrongStream
from node.shadow.files import BodyFiles, Files
from node.shadow.frames import Batch
from node.shadow.hidden import HidingVerbs
from node.shadow.keeping import Keeping, label
from node.shadow.opening import DATABASE, open_checked, renew
from node.shadow.rows import held_of
from node.spool.bodies import INLINE_BYTES
from node.spool.contract import Filter
from node.spool.database import Database
from node.spool.erasing import Eraser
from node.spool.errors import SpoolUnusable
from node.spool.pages import Spot
from node.spool.place import Place
from node.spool.readers import Readers
from node.spool.salvage import SetAside
from node.spool.schema import Schema

ROWS_MAX: Final = 1_000


class SqliteCopies(Keeping, HidingVerbs):
    """Copies at rest in one directory of a local disk; implements ``contract.Copies``."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 0,
        allow_network: bool = False,
        connect: Callable[..., Database] = Database,
        schema: Schema | None = None,
    ) -> None:
        """Name the directory; ``open`` does the rest. ``max_bytes``: what copies may take (0: what the disk has).

        ``schema``: which migrations may be applied (None: all).
        """
        self.directory, self.max_bytes, self._schema = directory, max_bytes, schema
        self.store_id = ""
        self.notes: list[dict[str, str | int]] = []
        """What ``open`` set aside; also in ``set-aside/<time>/report.json``."""
        self._allow_network, self._connect = allow_network, connect
        self._place, self._files = Place(directory), BodyFiles(directory)
        self._readers = Readers(partial(connect, directory / DATABASE, writable=False))
        self._engine = Engine(self._writer, self._discard)
        self._turns: dict[Attached, asyncio.Future[None]] = {}
        self._written: dict[Attached, tuple[int, int]] = {}
        """Stream and sequence of the last batch whose files were written."""
        self._open = False

    @property
    def broken(self) -> str:
        """Why nothing is taken until the store is opened anew; empty while all is well."""
        return self._engine.broken

    def _writer(self) -> Database:
        return self._connect(self.directory / DATABASE, writable=True)

    def _discard(self, names: list[str]) -> None:
        if names:
            self._readers.later(partial(self._files.remove, names))

    # ---- opening and closing -----------------------------------------------------------------------------------------

    async def open(self, now_ms: int) -> None:
        """See the contract. Raises SpoolUnusable, SpoolFull, SpoolBroken; afterwards the directory is free again."""
        if self._open:
            raise SpoolUnusable(f"copies {self.directory}: is open already")
        self._readers.start()
        try:
            database = await self._readers.run(partial(self._prepare, now_ms))
        except BaseException:
            await self._readers.stop()
            self._place.leave()
            raise
        self._open = True
        self._engine.start(database)

    def _prepare(self, now_ms: int) -> Database:
        self._place.enter(allow_network=self._allow_network)
        self._files.prepare()
        aside = SetAside(self.directory, now_ms)
        self.notes = aside.notes
        database = open_checked(self._writer, self.directory, aside, self._schema)
        try:
            self._check_files(database, aside)
            self.store_id = str(statements.cell(database, "get_meta", ("store_id",)))
        except BaseException:
            database.close()
            raise
        return database

    def _check_files(self, database: Database, aside: SetAside) -> None:
        """Rows without their file go, and with them the store's identity; files without a row were not promised."""
        known: set[str] = set()
        lost: list[int] = []
        for seq, file, size in statements.run(database, "files"):
            known.add(str(file))
            if not self._files.fits(str(file), cast("int", size)):
                aside.note(lost="body file", file=str(file))
                lost.append(cast("int", seq))
        if lost:
            with database.transaction():
                for seq in lost:
                    statements.run(database, "drop_seq", (seq,))
                statements.run(database, "recount")
                renew(database)
        for path in self._files.strays(known):
            if aside.notes:
                aside.move(path, "no copy names this file")
            else:
                path.unlink(missing_ok=True)

    async def close(self) -> None:
        """See the contract."""
        self._open = False
        await asyncio.to_thread(self._engine.stop)
        await self._readers.stop()
        self._place.leave()

    # ---- taking in ---------------------------------------------------------------------------------------------------

    async def begin(self, attached: Attached, node: str) -> int:
        """See the contract."""
        stream = int(await self._engine.soon(lambda database: putting.begin(database, attached, node)))
        if len(self._written) >= PAIRINGS_MAX:
            self._written.clear()  # it is read again
        self._written[attached] = stream, 0
        await self._readers.run(partial(self._files.drop_pieces, label(attached)))
        return stream

    async def stream(self, attached: Attached) -> Stream | None:
        """See the contract."""
        rows = await self._readers.ask(statements.run, "pairing", putting.key_of(attached))
        for _, node, stream, expected in rows:
            return Stream(node=str(node), number=cast("int", stream), expected=cast("int", expected))
        return None

    async def put(self, attached: Attached, batch: Batch) -> int:
        """See the contract. Files of a batch are written when those before it are handed over, not yet durable."""
        before, turn = self._turns.get(attached), asyncio.get_running_loop().create_future()
        self._turns[attached] = turn
        try:
            if before is not None:
                await asyncio.wait([before])  # not awaited itself: a caller that is cancelled would cancel it
            files = await self._with_files(attached, batch)
            job = partial(putting.put, attached=attached, batch=batch, files=files, max_bytes=self.max_bytes)
            future = self._engine.soon(job)
        except BaseException:
            self._written.pop(attached, None)
            raise
        finally:
            turn.set_result(None)
            if self._turns.get(attached) is turn:
                del self._turns[attached]
        return await self._answered(future, attached, batch, files)

    async def _answered(self, future: "asyncio.Future[int]", attached: Attached, batch: Batch, files: Files) -> int:
        try:
            sequence = await future
        except Exception:
            self._written.pop(attached, None)
            if files and not self.broken:
                await self._give_back(attached, files)
            raise
        gone = [name for each in batch.entries if isinstance(each, Discard) for name in each.message_ids]
        if gone:
            self._readers.later(partial(self._files.drop_pieces, label(attached), gone))
        return sequence

    async def _with_files(self, attached: Attached, batch: Batch) -> Files:
        """Write what of a batch is files; nothing, without leaving the loop, in most batches. Raises WrongStream."""
        pieces = [each for each in batch.entries if isinstance(each, Piece)]
        large = [each for each in batch.entries if isinstance(each, Copy) and _in_file(each)]
        if not pieces and not large:
            return {}
        stream, written = await self._files_of(attached)
        if stream != batch.header.stream:
            raise WrongStream(f"stream {batch.header.stream}, while {stream} is in use")
        if batch.header.sequence <= written:
            return {}  # it came before: what followed it must not be undone
        where = label(attached)
        await self._readers.run(partial(self._files.add, where, pieces))
        files = await self._readers.run(partial(self._files.keep, where, large))
        self._written[attached] = stream, batch.header.sequence
        return files

    async def _files_of(self, attached: Attached) -> tuple[int, int]:
        if attached not in self._written:
            known = await self.stream(attached)
            self._written[attached] = (known.number, known.expected - 1) if known is not None else (0, 0)
        return self._written[attached]

    async def _give_back(self, attached: Attached, files: Files) -> None:
        """Remove files of a batch that was refused; not of rows that are there, from an earlier time it came."""
        kept = await self._readers.ask(looking.known, attached, list(files))
        self._discard([name for message_id, (name, _) in files.items() if message_id not in kept])

    # ---- looking -----------------------------------------------------------------------------------------------------

    async def held(self) -> list[Held]:
        """See the contract."""
        rows = await self._readers.ask(statements.run, "held")
        return [held_of(row) for row in rows]

    async def rows(self, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
        """See the contract; at most ROWS_MAX."""
        return await self._readers.ask(looking.some, attached, after, min(limit, ROWS_MAX))

    async def body(self, attached: Attached, message_id: str) -> bytes | Path:
        """See the contract."""
        found = await self._readers.ask(looking.body, attached, message_id)
        return self._files.find(message_id, found) if isinstance(found, str) else found

    async def past(self, message_id: str) -> Past | None:
        """See the contract."""
        return await self._readers.ask(looking.past, message_id)

    async def find_past(self, which: Filter) -> FoundPast:
        """See the contract."""
        return await self._readers.ask(finding.past, which)

    async def page_past(self, which: Filter, before: Spot | None = None) -> FoundPast:
        """See the contract."""
        return await self._readers.ask(finding.page, which, before)

    async def find_kept(self, which: Filter, pairings: Sequence[Attached]) -> FoundKept:
        """See the contract."""
        return await self._readers.ask(finding.kept, which, pairings)

    async def complete_addresses(self, limit: int) -> int:
        """See the contract."""
        return int(await self._engine.soon(partial(addresses.complete, limit=limit)))

    # ---- forgetting --------------------------------------------------------------------------------------------------

    async def take_away(self, attached: Attached, message_ids: Sequence[str]) -> int:
        """See the contract."""
        return int(await self._engine.soon(lambda database: putting.take_away(database, attached, message_ids)))

    async def drop(self, attached: Attached) -> int:
        """See the contract."""
        number = await self._readers.ask(putting.number_of, attached)
        dropped = await self._drop(number) if number else 0
        self._written.pop(attached, None)
        await self._readers.run(partial(self._files.drop_pieces, label(attached)))
        return dropped

    async def keep_only(self, attached: Attached) -> int:
        """See the contract."""
        numbers = await self._readers.ask(statements.run, "other_epochs", putting.key_of(attached))
        return sum([await self._drop(cast("int", row[0])) for row in numbers])

    async def _drop(self, number: int) -> int:
        total, dropped = 0, putting.DROP_ROWS
        while dropped == putting.DROP_ROWS:
            dropped = int(await self._engine.soon(partial(putting.drop_some, number=number)))
            total += dropped
        return total

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """See the contract."""
        while await self.complete_addresses(ROWS_MAX):
            pass  # what is not found by its addresses yet must be before it can be said that none is left
        job = partial(putting.erase_some, eraser=Eraser(address), actor=actor, now_ms=now_ms)
        total = 0
        while changed := int(await self._engine.soon(job)):
            total += changed
        return total

    async def prune(self, before_ms: int, limit: int) -> int:
        """See the contract."""
        return int(await self._engine.soon(partial(putting.prune, before_ms=before_ms, limit=limit)))


def _in_file(copy: Copy) -> bool:
    return copy.pieced or len(copy.body) > INLINE_BYTES
