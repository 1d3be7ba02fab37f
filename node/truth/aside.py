"""Reports that changed nothing: their beginnings kept for people, bounded in number, size and time."""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from node.errors import RelayError
from node.spool.database import Database
from node.truth import statements
from node.truth.contract import Came, Judged
from node.truth.store import Store

KEPT_MAX: Final = 1_000
KEPT_BYTES: Final = 64 << 10
"""So much of each; a thousand are 64 MB at most."""
KEEP_MS: Final = 30 * 86_400_000
ERASE_ROWS: Final = 50
_log = logging.getLogger(__name__)


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """One report kept aside, as people see it listed."""

    id: int
    at_ms: int
    outcome: str
    why: str
    came: str
    """The mailbox it lay in, or the return address it was sent to."""
    size_bytes: int


class Aside:
    """The shelf."""

    def __init__(self, store: Store) -> None:
        """Keep reports in the room's store."""
        self._store = store

    async def keep(self, data: bytes, judged: Judged, came: Came, now_ms: int) -> None:
        """Keep one; a store that cannot is logged and loses it: nothing depends on it."""
        try:
            await self._store.do(lambda database: shelved(database, data, judged, came, now_ms))
        except RelayError as error:
            _log.warning("a report that fits nothing could not be kept: %s", error)

    async def listed(self, limit: int) -> list[KeptReport]:
        """Give the latest, newest first."""
        rows = await self._store.do(lambda database: statements.run(database, "asides", (limit,)))
        return [
            KeptReport(
                id=int(number or 0),
                at_ms=int(at_ms or 0),
                outcome=str(outcome),
                why=str(why),
                came=str(came),
                size_bytes=int(size or 0),
            )
            for number, at_ms, outcome, why, came, size in rows
        ]

    async def content(self, number: int) -> bytes | None:
        """Give the beginning of one."""
        found = await self._store.do(lambda database: statements.cell(database, "aside_data", (number,)))
        return found if isinstance(found, bytes) else None

    async def erase(self, address: str) -> int:
        """Drop every one in which an address occurs; how many."""
        wanted, after, dropped = address.lower().encode(), 0, 0
        while True:
            last, gone = await self._store.do(_erase_some(wanted, after))
            dropped += gone
            if not last:
                return dropped
            after = last


def shelved(database: Database, data: bytes, judged: Judged, came: Came, now_ms: int) -> int:
    """Put one on the shelf and take from it what is beyond its bounds; the number it has there."""
    row = (now_ms, judged.outcome.value, judged.why, came.address or came.mailbox, len(data), data[:KEPT_BYTES])
    statements.run(database, "add_aside", row)
    statements.run(database, "trim_aside", (KEPT_MAX, now_ms - KEEP_MS))
    return int(statements.cell(database, "last_aside") or 0)


def _erase_some(wanted: bytes, after: int) -> Callable[[Database], tuple[int, int]]:
    def work(database: Database) -> tuple[int, int]:
        gone, last = 0, 0
        for number, data in statements.run(database, "aside_all", (after, ERASE_ROWS)):
            last = int(number or 0)
            if isinstance(data, bytes) and wanted in data.lower():
                statements.run(database, "drop_aside", (last,))
                gone += 1
        return last, gone

    return work
