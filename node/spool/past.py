"""What a spool that nobody uses says of past attempts, for an operator's command: nothing in it changes."""

from pathlib import Path

from node.spool import reading
from node.spool.contract import OpenAttempt
from node.spool.database import Database
from node.spool.errors import SpoolUnusable
from node.spool.opening import DATABASE
from node.spool.place import Place
from node.spool.sqlite import LEDGER_MS


def past_attempts(directory: Path, now_ms: int) -> list[OpenAttempt]:
    """Give the attempts of the last 25 h, oldest first; none of a directory no node has used yet.

    Raises SpoolUnusable while a node uses it, SpoolBroken when it cannot be read.
    """
    if not (directory / DATABASE).exists():
        if (directory / "set-aside").exists():
            raise SpoolUnusable(f"spool {directory}: its database was set aside, and with it what was sent")
        return []
    place = Place(directory)
    place.enter()
    try:
        database = Database(directory / DATABASE, writable=False)
        try:
            return reading.recent(database, now_ms - LEDGER_MS)
        finally:
            database.close()
    finally:
        place.leave()
