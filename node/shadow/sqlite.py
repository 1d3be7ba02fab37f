"""The copy store on SQLite: the contract put together from engine, body files and the check at start.

It lies in a directory of its own beside the spool's database, so that neither waits for the other's transactions.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from node.shadow import putting, statements
from node.shadow.contract import Held, KeptCopy, Past, Stream
from node.shadow.engine import Engine
from node.shadow.entries import Copy, Discard, Piece
from node.shadow.files import BodyFiles, Files
from node.shadow.frames import Batch
from node.shadow.opening import DATABASE, open_checked, renew
from node.shadow.telling import Told, fold, progress_of, told_of
from node.spool.bodies import INLINE_BYTES
from node.spool.database import Database, Row
from node.spool.errors import MessageGone, SpoolUnusable
from node.spool.place import Place
from node.spool.readers import Readers
from node.spool.rows import Cell, journey_of
from node.spool.salvage import SetAside

ROWS_MAX: Final = 1_000


class SqliteCopies:
    """Copies at rest in one directory of a local disk; implements ``contract.Copies``."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 0,
        allow_network: bool = False,
        connect: Callable[..., Database] = Database,
    ) -> None:
        """Name the directory; ``open`` does the rest. ``max_bytes``: what copies may take (0: what the disk has)."""
        self.directory, self.max_bytes = directory, max_bytes
        self.store_id = ""
        self.notes: list[dict[str, str | int]] = []
        """What ``open`` set aside; also in ``set-aside/<time>/report.json``."""
        self._allow_network, self._connect = allow_network, connect
        self._place, self._files = Place(directory), BodyFiles(directory)
        self._readers = Readers(partial(connect, directory / DATABASE, writable=False))
        self._engine = Engine(self._writer, self._discard)
        self._turns: dict[Attached, asyncio.Future[None]] = {}
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
        database = open_checked(self._writer, self.directory, aside)
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
                path.unlink()

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
        await self._readers.run(partial(self._files.drop_pieces, _label(attached)))
        return stream

    async def stream(self, attached: Attached) -> Stream | None:
        """See the contract."""
        rows = await self._readers.ask(statements.run, "pairing", putting.key_of(attached))
        for _, node, stream, expected in rows:
            return Stream(node=str(node), number=cast("int", stream), expected=cast("int", expected))
        return None

    async def put(self, attached: Attached, batch: Batch) -> int:
        """See the contract. Files of several batches are written side by side; their rows go in order."""
        before, turn = self._turns.get(attached), asyncio.get_running_loop().create_future()
        self._turns[attached] = turn
        try:
            files = await self._written(attached, batch)
            if before is not None:
                await before
            job = partial(putting.put, attached=attached, batch=batch, files=files, max_bytes=self.max_bytes)
            future = self._engine.soon(job)
        finally:
            turn.set_result(None)
            if self._turns.get(attached) is turn:
                del self._turns[attached]
        return await self._answered(future, attached, batch, files)

    async def _answered(self, future: "asyncio.Future[int]", attached: Attached, batch: Batch, files: Files) -> int:
        try:
            sequence = await future
        except Exception:
            if files and not self.broken:
                await self._give_back(attached, files)
            raise
        gone = [name for each in batch.entries if isinstance(each, Discard) for name in each.message_ids]
        if gone:
            self._readers.later(partial(self._files.drop_pieces, _label(attached), gone))
        return sequence

    async def _written(self, attached: Attached, batch: Batch) -> Files:
        """Write what of a batch is files; nothing, without leaving the loop, in most batches."""
        pieces = [each for each in batch.entries if isinstance(each, Piece)]
        large = [each for each in batch.entries if isinstance(each, Copy) and _in_file(each)]
        label = _label(attached)
        if pieces:
            await self._readers.run(partial(self._files.add, label, pieces))
        return await self._readers.run(partial(self._files.keep, label, large)) if large else {}

    async def _give_back(self, attached: Attached, files: Files) -> None:
        """Remove files of a batch that was refused; not of rows that are there, from an earlier time it came."""
        kept = await self._readers.ask(_known, attached, list(files))
        self._discard([name for message_id, (name, _) in files.items() if message_id not in kept])

    # ---- looking -----------------------------------------------------------------------------------------------------

    async def held(self) -> list[Held]:
        """See the contract."""
        rows = await self._readers.ask(statements.run, "held")
        return [_held(row) for row in rows]

    async def rows(self, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
        """See the contract; at most ROWS_MAX."""
        return await self._readers.ask(_some, attached, after, min(limit, ROWS_MAX))

    async def body(self, attached: Attached, message_id: str) -> bytes | Path:
        """See the contract."""
        found = await self._readers.ask(_body, attached, message_id)
        return self._files.find(message_id, found) if isinstance(found, str) else found

    async def past(self, message_id: str) -> Past | None:
        """See the contract."""
        for discarded_ms, facts, lines in await self._readers.ask(statements.run, "past", (message_id,)):
            return Past(
                message_id=message_id,
                facts=cast("bytes", facts),
                discarded_ms=cast("int", discarded_ms),
                lines=tuple(journey_of([cast("bytes", lines)])),
            )
        return None

    # ---- forgetting --------------------------------------------------------------------------------------------------

    async def take_away(self, attached: Attached, message_ids: Sequence[str]) -> int:
        """See the contract."""
        return int(await self._engine.soon(lambda database: putting.take_away(database, attached, message_ids)))

    async def drop(self, attached: Attached) -> int:
        """See the contract."""
        number = await self._readers.ask(putting.number_of, attached)
        dropped = await self._drop(number) if number else 0
        await self._readers.run(partial(self._files.drop_pieces, _label(attached)))
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

    async def prune(self, before_ms: int, limit: int) -> int:
        """See the contract."""
        return int(await self._engine.soon(partial(putting.prune, before_ms=before_ms, limit=limit)))


def _label(attached: Attached) -> str:
    return f"{attached.key.spool}.{attached.epoch}"


def _in_file(copy: Copy) -> bool:
    return copy.pieced or len(copy.body) > INLINE_BYTES


def _held(row: Row) -> Held:
    spool, shadow, epoch, node, messages, size_bytes = row
    attached = Attached(key=PairKey(spool=str(spool), shadow=str(shadow)), epoch=cast("int", epoch))
    return Held(attached=attached, node=str(node), messages=cast("int", messages), size_bytes=cast("int", size_bytes))


def _known(database: Database, attached: Attached, ids: Sequence[str]) -> set[str]:
    chosen: dict[str, Cell] = {"pairing": putting.number_of(database, attached), "ids": putting.text(ids)}
    return {str(row[0]) for row in statements.run(database, "known", chosen)}


def _some(database: Database, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
    number = putting.number_of(database, attached)
    rows = statements.run(database, "some", (number, after, limit))
    chosen: dict[str, Cell] = {"pairing": number, "ids": putting.text(str(row[0]) for row in rows)}
    told: dict[str, list[Told]] = {}
    for name, kind, what in statements.run(database, "told", chosen):
        told.setdefault(str(name), []).append(told_of(cast("int", kind), cast("bytes", what)))
    return [_kept(row, told.get(str(row[0]), [])) for row in rows]


def _kept(row: Row, told: Sequence[Told]) -> KeptCopy:
    name, size_bytes, progress, facts = row
    stands, intents, lines = fold(progress_of(cast("bytes", progress)), told)
    return KeptCopy(
        message_id=str(name),
        facts=cast("bytes", facts),
        size_bytes=cast("int", size_bytes),
        progress=stands,
        intents=intents,
        lines=lines,
    )


def _body(database: Database, attached: Attached, message_id: str) -> bytes | str:
    rows = statements.run(database, "body", (putting.number_of(database, attached), message_id))
    if not rows:
        raise MessageGone(f"no copy of {message_id} is kept")
    file, data = rows[0]
    return str(file) if file else cast("bytes", data)
