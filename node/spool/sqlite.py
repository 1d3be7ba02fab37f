"""The spool on SQLite: the contract put together from engine, body files and the check at start.

It decides nothing about mail (``steps`` does) and holds no SQL (``queries.sql`` does).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from node.spool import history, housekeeping, reading, steps
from node.spool.appending import AppendingVerbs
from node.spool.bodies import Bodies, chunks
from node.spool.contract import (
    AttemptStart,
    Counts,
    Due,
    Filter,
    LaneState,
    MessageView,
    OpenAttempt,
    RecipientResult,
    Settlement,
)
from node.spool.database import Database
from node.spool.engine import Engine
from node.spool.errors import SpoolUnusable
from node.spool.filing import check_files
from node.spool.hidden import HidingVerbs
from node.spool.opening import DATABASE, all_known, make_ready, open_checked
from node.spool.operations import Alone, Step
from node.spool.pages import Page, Spot
from node.spool.pairing import PairedVerbs
from node.spool.pending import Unapplied
from node.spool.place import Place
from node.spool.replaying import replay
from node.spool.salvage import SetAside, salvage
from node.spool.schema import Schema
from node.spool.segments import Segments
from node.spool.work import Arrival

LEDGER_MS = 25 * 3_600_000
"""Attempts are kept this long: a day budget looks back 24 h, in quarter hours counted whole."""

MAX_PEEK = 1_000
RECOVER_CHUNK = 500
"""Messages judged in one transaction after a crash."""


class SqliteSpool(AppendingVerbs, PairedVerbs, HidingVerbs):
    """Mail at rest in one directory of a local disk; implements ``paired.PairedSpool``."""

    def __init__(
        self,
        directory: Path,
        *,
        now_ms: Callable[[], int],
        max_bytes: int = 0,
        allow_network: bool = False,
        connect: Callable[..., Database] = Database,
        journal: bool = True,
    ) -> None:
        """Name the directory; ``open`` does the rest.

        ``max_bytes`` bounds the database file (0: only the disk does). ``allow_network`` is for tests. ``connect``
        makes connections as ``Database`` does. Without ``journal`` each append waits for the database.
        """
        self.directory = directory
        self.spool_id = ""
        """UUID made with the directory: a wiped or new disk is a new spool. Set by ``open``."""
        self.sequence_at_open = 0
        """Number of write transactions so far, when opened: tells a disk put back to an older snapshot."""
        self.notes: list[dict[str, str | int]] = []
        """What ``open`` and later reads set aside; also in ``set-aside/<time>/report.json``."""
        self.schema: Schema | None = None
        """Which migrations ``open`` may apply; None: all."""
        self.schema_at_open = 0
        self._now_ms = now_ms
        self._max_bytes = max_bytes
        self._allow_network = allow_network
        self._connect = connect
        self._place = Place(directory)
        self._bodies = Bodies(directory)
        connect_reader = partial(connect, directory / DATABASE, writable=False)
        self._engine = Engine(
            Segments(directory),
            connect_reader,
            self._connect_writer,
            self._discard,
            self._refuse,
            lambda: self.on_changed,
            journal=journal,
        )
        self._aside = SetAside(directory, 0)
        self._open = False

    @property
    def broken(self) -> str:
        """Why nothing is written until the spool is opened anew; empty while all is well. For readiness."""
        return self._engine.broken

    def _connect_writer(self) -> Database:
        return self._connect(self.directory / DATABASE, writable=True, max_bytes=self._max_bytes)

    def _discard(self, files: list[str]) -> None:
        if files:
            self._engine.readers.later(partial(self._bodies.remove, files))

    def _refuse(self, arrival: Arrival, why: str) -> None:
        self._aside.keep(arrival.item.message.id, f"the database refused it: {why}", arrival.facts, arrival.item.body)

    # ---- opening and closing -----------------------------------------------------------------------------------

    async def open(self, now_ms: int) -> None:
        """See the contract. Raises SpoolUnusable, SpoolFull, SpoolBroken; afterwards the directory is free again."""
        if self._open:
            raise SpoolUnusable(f"spool {self.directory}: is open already")
        self._engine.readers.start()
        try:
            database, batches = await self._engine.readers.run(partial(self._prepare, now_ms))
        except BaseException:
            await self._engine.readers.stop()
            self._place.leave()
            raise
        self._open = True
        await self._engine.start(database, batches)
        lose = partial(self._set_aside, reason="body_missing", now_ms=now_ms)
        await check_files(self._engine, self._bodies, self._aside, lose)

    def _prepare(self, now_ms: int) -> tuple[Database, list[Unapplied]]:
        self._place.enter(allow_network=self._allow_network)
        self._bodies.prepare()
        self._aside = SetAside(self.directory, now_ms)
        self.notes = self._aside.notes
        schema, path = self.schema or all_known(), self.directory / DATABASE
        ready = partial(make_ready, where=self.directory, now_ms=now_ms, schema=schema)
        mend = partial(salvage, self.directory, self._connect_writer, ready, self._aside)
        database = open_checked(self._connect_writer, ready, mend, path=path, newest=schema.newest)
        self.schema_at_open = database.number_text("PRAGMA user_version")
        self.spool_id = str(database.cell("get_meta", ("spool_id",)) or "")
        self.sequence_at_open = int(database.cell("get_meta", ("sequence",)) or 0)
        try:
            return database, replay(self._engine.segments, database, self._aside)
        except BaseException:
            database.close()
            raise

    async def _set_aside(self, message_id: str, reason: str, now_ms: int) -> None:
        run = partial(housekeeping.set_aside, message_id=message_id, reason=reason, aside=self._aside, now_ms=now_ms)
        await self._engine.do(Alone(run=run))

    async def close(self) -> None:
        """See the contract."""
        self._open = False
        await self._engine.stop()
        self._place.leave()

    # ---- dispatch ----------------------------------------------------------------------------------------------

    async def lanes(self) -> list[LaneState]:
        """See the contract."""
        return await self._engine.ask_anyway(reading.lanes)

    async def peek(self, lane: str, now_ms: int, limit: int, exclude: Sequence[str] = ()) -> list[Due]:
        """See the contract; at most MAX_PEEK messages."""
        question = partial(reading.peek, lane=lane, now_ms=now_ms, limit=min(limit, MAX_PEEK), exclude=exclude)
        return await self._readable(question)

    async def _readable(self, question: Callable[[Database], tuple[list[Any], reading.Damage]]) -> list[Any]:
        """Ask, and set aside what turned out to be unreadable, so that it does not stand in the way again."""
        found, damage = await self._engine.ask_anyway(question)
        for message_id in damage:
            await self._set_aside(message_id, "unreadable", self._now_ms())
        return found

    async def claim(self, start: AttemptStart) -> bool:
        """See the contract; raises WrongRequest for an attempt id used before."""
        names = (start.attempt_id,)
        step = Step(apply=partial(steps.claim, start), messages=(start.message_id,), attempts=names, fresh=names)
        return bool(await self._engine.do(step))

    async def intend(self, attempt_id: str, dot_ms: int) -> None:
        """See the contract; raises AttemptUnknown, WrongRequest."""
        await self._engine.do(Step(apply=partial(steps.intend, attempt_id, dot_ms), attempts=(attempt_id,)))

    async def settle(self, settlement: Settlement) -> None:
        """See the contract; raises AttemptUnknown, MessageGone, IllegalMove, WrongRequest.

        A second settlement of one attempt changes nothing.
        """
        await self._engine.do(
            Step(
                apply=partial(steps.settle, settlement),
                messages=(settlement.message_id,),
                attempts=(settlement.attempt_id,),
            )
        )

    async def postpone(self, message_id: str, indexes: Sequence[int], until_ms: int, reason: str) -> None:
        """See the contract; recipients that no longer wait are left alone. Raises MessageGone."""
        apply = partial(steps.postpone, message_id, indexes, until_ms, reason, self._now_ms())
        await self._engine.do(Step(apply=apply, messages=(message_id,)))

    async def recover(self, now_ms: int, counted_ms: int = 0) -> list[OpenAttempt]:
        """See the contract. Attempts whose MAIL was never said are left out: they hold no budget."""
        found = await self._engine.ask(reading.recent, now_ms - LEDGER_MS)
        classes, attempts = await self._engine.ask(reading.interrupted)
        ids = list(classes)
        for start in range(0, max(len(ids), 1), RECOVER_CHUNK):
            # The first chunk names every open attempt; those of later messages are only read by the next ones.
            apply = partial(steps.recover, now_ms, counted_ms, classes.__getitem__)
            await self._engine.do(
                Step(apply=apply, messages=tuple(ids[start : start + RECOVER_CHUNK]), attempts=attempts)
            )
        return found

    async def unknowns(self, now_ms: int, limit: int) -> list[Due]:  # noqa: ARG002 - the contract's
        """See the contract; at most MAX_PEEK messages."""
        return await self._readable(partial(reading.unknowns, limit=min(limit, MAX_PEEK)))

    async def expired(self, now_ms: int, limit: int) -> list[Due]:
        """See the contract; at most MAX_PEEK messages."""
        return await self._readable(partial(reading.expired, now_ms=now_ms, limit=min(limit, MAX_PEEK)))

    async def finish(self, message_id: str, results: Sequence[RecipientResult], now_ms: int, event: str) -> None:
        """See the contract; raises MessageGone, IllegalMove, WrongRequest."""
        apply = partial(steps.finish, message_id, results, now_ms, event)
        await self._engine.do(Step(apply=apply, messages=(message_id,)))

    async def body(self, message_id: str) -> bytes | Path:
        """See the contract."""
        file, data = await self._engine.ask_of(message_id, reading.body, message_id)
        return self._bodies.find(message_id, file) if file else data

    async def export(self, message_id: str) -> AsyncIterator[bytes]:
        """See the contract; raises MessageGone."""
        found = await self.body(message_id)
        if isinstance(found, bytes):
            yield found
            return
        pieces = chunks(found)
        while piece := await self._engine.readers.run(lambda: next(pieces, b"")):
            yield piece

    async def _change(self, step: Step) -> int:
        return int(await self._engine.do(step))

    async def find(self, which: Filter) -> list[MessageView]:
        """See the contract; at most 1,000 messages."""
        await self._engine.flush()
        return await self._readable(partial(reading.find, which=which))

    async def page(self, which: Filter, before: Spot | None = None) -> Page:
        """See the contract; at most 1,000 messages."""
        await self._engine.flush()
        looked = await self._engine.ask_anyway(partial(history.look, which=which, before=before))
        found = await self._readable(partial(reading.views, order=looked.order))
        return Page(messages=tuple(found), looked_to=looked.looked_to)

    async def journey(self, message_id: str) -> MessageView | None:
        """See the contract."""
        found, damage = await self._engine.ask_of(message_id, reading.journey, message_id)
        if not damage:
            return found
        await self._set_aside(message_id, "unreadable", self._now_ms())
        return (await self._engine.ask_of(message_id, reading.journey, message_id))[0]

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """See the contract."""
        total, after, changed = 0, 0, -1
        while changed:
            run = partial(housekeeping.erase, address=address, actor=actor, now_ms=now_ms, after=after)
            changed, after = await self._engine.do(Alone(run=run))
            total += changed
        return total

    async def prune(self, before_ms: int, limit: int) -> int:
        """See the contract; drops attempts older than 25 h as well."""
        old_ms = self._now_ms() - LEDGER_MS
        run = partial(housekeeping.prune, before_ms=before_ms, attempts_before_ms=old_ms, limit=limit)
        pruned = await self._engine.do(Alone(run=lambda database, _book: run(database)))
        self._discard(pruned.files)
        return int(pruned.messages)

    async def count(self) -> Counts:
        """See the contract."""
        return await self._engine.ask_anyway(reading.count)
