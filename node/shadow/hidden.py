"""Keyed hashes in place of addresses, put into history of other nodes' mail: what comes in is noted, and gone through.

Nobody needs an address here any more: a report of a late bounce is matched by the node whose mail it was.
"""

from functools import partial
from typing import Final

from node.shadow import addresses, putting, statements
from node.shadow.engine import Done, Engine
from node.shadow.erasing import hidden
from node.shadow.rows import past_of
from node.spool.database import Database
from node.spool.hiding import Hider
from node.spool.rows import lines_of

MESSAGES: Final = 200
"""Messages gone through in one transaction."""
HIDING, PASSED = "hiding", "unhidden_to"
"""In meta: whether what comes in is noted; down to which id what was there before is noted too."""


class HidingVerbs:
    """A part of ``SqliteCopies``."""

    _engine: Engine

    async def hide(self, hider: Hider | None) -> int:
        """Durable. Put keyed hashes in place of addresses in history; messages changed. None: it is not wished."""
        if hider is None:
            await self._engine.soon(_end)
            return 0
        while await self._engine.soon(_note):
            pass
        total, changed = 0, -1
        while changed:
            changed = int(await self._engine.soon(partial(_hide, hider=hider)))
            total += changed
        return total


def _end(database: Database) -> Done:
    if statements.number(database, "get_meta", (HIDING,)):
        statements.run(database, "set_meta", (HIDING, 0))
        statements.run(database, "set_meta", (PASSED, ""))
        statements.run(database, "drop_all_unhidden")
    return Done()


def _note(database: Database) -> Done:
    """Note some of what was there before it was wished; how many, 0 when all is noted."""
    if not statements.number(database, "get_meta", (HIDING,)):
        statements.run(database, "set_meta", (HIDING, 1))
    after = str(statements.cell(database, "get_meta", (PASSED,)) or "")
    rows = statements.run(database, "past_after", (after, MESSAGES)) if after != addresses.COMPLETED else []
    statements.run(database, "note_unhidden", {"ids": putting.text(str(row[0]) for row in rows)})
    last = str(rows[-1][0]) if len(rows) == MESSAGES else addresses.COMPLETED
    if last != after:
        statements.run(database, "set_meta", (PASSED, last))
    return Done(value=len(rows))


def _hide(database: Database, hider: Hider) -> Done:
    ids = [str(row[0]) for row in statements.run(database, "first_unhidden", (MESSAGES,))]
    for old in map(past_of, statements.run(database, "past_by_ids", {"ids": putting.text(ids)})):
        new = hidden(old, hider)
        if new is not None:
            statements.run(database, "rewrite_past", (new.facts, lines_of(new.lines), old.message_id))
            addresses.forget(database, [(old.message_id, old.facts)])
            addresses.note(database, [(new.message_id, new.facts)])
    statements.run(database, "drop_unhidden", {"ids": putting.text(ids)})
    return Done(value=len(ids))
