"""Keyed hashes in place of addresses, put into history on disk: row by row, each part a transaction between batches.

A row that is not settled when it is passed is noted, and looked at again. What cannot be read is left: it is set aside
as soon as somebody reads it.
"""

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Final

import msgspec

from node.spool.batch import Book
from node.spool.database import Database, Row
from node.spool.engine import Engine
from node.spool.hiding import Hider
from node.spool.housekeeping import rewrite
from node.spool.operations import Alone
from node.spool.rows import Cell, Unreadable, message_of, text_json

MESSAGES: Final = 200
"""Messages gone through in one transaction: some 20 ms."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction did: messages hidden, the last row looked at, and whether there is more."""

    messages: int
    after: int
    more: bool


class HidingVerbs:
    """The verb of a store; ``before_ms``: what was settled earlier is meant."""

    _engine: Engine

    async def hide(self, hider: Hider, before_ms: int) -> int:
        """Durable. Put keyed hashes in place of addresses in settled messages; messages changed."""
        total = 0
        for run in (partial(onwards, hider, before_ms), partial(left, hider, before_ms)):
            total += await self._all(run)
        return total

    async def _all(self, run: Callable[[Database, int], Part]) -> int:
        total, part = 0, Part(messages=0, after=0, more=True)
        while part.more:
            after = part.after
            part = await self._engine.do(Alone(run=partial(_run, run=run, after=after)))
            total += part.messages
        return total


def _run(database: Database, _book: Book, run: Callable[[Database, int], Part], after: int) -> Part:
    return run(database, after)


def onwards(hider: Hider, before_ms: int, database: Database, _after: int) -> Part:
    """Go on through history from where it ended; stops at what is too young."""
    after = int(database.cell("get_meta", ("hidden",)) or 0)
    rows = database.rows("unhidden_beyond", {"after": after, "before_ms": before_ms, "limit": MESSAGES})
    old = list(takewhile(_old, rows))
    seqs = [_number(row[0]) for row in old if row[2]]
    database.run("leave_unhidden", {"seqs": text_json(_number(row[0]) for row in old if not row[2])})
    changed = _hide(database, hider, seqs)
    if old:
        after = _number(old[-1][0])
        database.run("set_meta", ("hidden", after))
    return Part(messages=changed, after=after, more=len(old) == MESSAGES)


def left(hider: Hider, before_ms: int, database: Database, after: int) -> Part:
    """Hide what was passed, and is settled by now."""
    if not after:
        database.run("forget_unhidden")
    params: dict[str, Cell] = {"after": after, "before_ms": before_ms, "limit": MESSAGES}
    rows = database.rows("unhidden_left", params)
    seqs = [_number(row[0]) for row in rows if row[1]]
    changed = _hide(database, hider, seqs)
    database.run("now_hidden", {"seqs": text_json(seqs)})
    return Part(messages=changed, after=_number(rows[-1][0]) if rows else after, more=len(rows) == MESSAGES)


def _hide(database: Database, hider: Hider, seqs: list[int]) -> int:
    for seq, facts, *_ in database.rows("facts", {"seqs": text_json(seqs)}):
        if _readable(facts):
            rewrite(database, hider, _number(seq), facts)
    return len(seqs)


def _readable(facts: Cell) -> bool:
    try:
        message_of(facts if isinstance(facts, bytes) else b"")
    except Unreadable:
        return False
    return True


def _old(row: Row) -> bool:
    return bool(row[1])


def _number(cell: Cell) -> int:
    return int(cell or 0)
