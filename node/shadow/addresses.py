"""Which addresses settled messages name: rows by which history is searched, written in its transactions."""

from collections.abc import Iterable, Iterator
from typing import Final, cast

import msgspec

from node.shadow import statements
from node.shadow.engine import Done
from node.spool.database import Database
from node.spool.rows import Cell
from node.spool.search import key_of

RECIPIENT, SENDER = 0, 1
COMPLETED: Final = "\U0010ffff"
"""Beyond every id."""


class _Recipient(msgspec.Struct, frozen=True):
    address: str
    original: str = ""


class _Named(msgspec.Struct, frozen=True):
    """What of a message's facts names somebody: a third of the time it takes to read all of them."""

    mail_from: str
    header_from: str
    recipients: tuple[_Recipient, ...]


_named = msgspec.msgpack.Decoder(_Named)


def keys_of(facts: bytes) -> set[tuple[int, str]]:
    """Give roles and keys of every address a message names; none of one that cannot be read."""
    try:
        named = _named.decode(facts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    found = {(RECIPIENT, key_of(one.address)) for one in named.recipients}
    found |= {(RECIPIENT, key_of(one.original)) for one in named.recipients if one.original}
    return found | {(SENDER, key_of(each)) for each in (named.header_from, named.mail_from) if each}


def note(database: Database, items: Iterable[tuple[str, bytes]]) -> None:
    """Let messages, by id and facts, be found by their addresses."""
    statements.bulk(database, "add_addresses", list(_rows(items)))


def forget(database: Database, items: Iterable[tuple[str, bytes]]) -> None:
    """Let them be found no more."""
    for row in _rows(items):
        statements.run(database, "drop_address", row)


def _rows(items: Iterable[tuple[str, bytes]]) -> Iterator[tuple[Cell, ...]]:
    for name, facts in items:
        for role, key in sorted(keys_of(facts)):
            yield role, key, name


def complete(database: Database, limit: int) -> Done:
    """Put in some of what was settled before there were such rows; how many, 0 when all are in."""
    after = str(statements.cell(database, "get_meta", ("addressed",)))
    rows = statements.run(database, "past_after", (after, limit)) if after != COMPLETED else []
    note(database, [(str(name), cast("bytes", facts)) for name, _, facts, _ in rows])
    last = str(rows[-1][0]) if len(rows) == limit else COMPLETED
    if last != after:
        statements.run(database, "set_meta", ("addressed", last))
    return Done(value=len(rows))
